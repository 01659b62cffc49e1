"""Documents of AWS's device client: steps that run handlers or commands, as values.

Source: AWS IoT Device Client, jobs README and job document schema 1.0.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from outfitter_agent.plans.troubles import Trouble

VERSION: Final = "1.0"
STEPS_MAX: Final = 50
WORDS_MAX: Final = 64
TEXT_MAX: Final = 4096
EQUAL: Final = "stringEqual"
_COMMA: Final = re.compile(r"(?<!\\),")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """An executable of a folder of handlers; ``folder`` None: the device's own."""

    name: str
    arguments: tuple[str, ...]
    folder: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program and its arguments; no shell reads them."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One action; ``stderr_lines_max`` None: what it writes to stderr does not matter."""

    name: str
    act: Handler | Command
    user: str | None
    stderr_lines_max: int | None
    ignore_failure: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Holds when the device's attribute is one of the values."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsDocument:
    """What a job asks for, in order; ``final`` runs when all the others have succeeded."""

    steps: tuple[Step, ...]
    final: Step | None
    conditions: tuple[Condition, ...]
    include_stdout: bool

    @property
    def in_order(self) -> tuple[Step, ...]:
        """All the steps, the final one last."""
        return self.steps if self.final is None else (*self.steps, self.final)


def is_steps(document: object) -> bool:
    """Whether the document is one for AWS's device client, well-formed or not."""
    return isinstance(document, Mapping) and "steps" in document and "operation" not in document


def parse_steps(document: object) -> StepsDocument:
    """The document as a value; raises Trouble that names the member that is wrong."""
    given = _mapping(document, "the job document")
    version = given.get("version")
    if version != VERSION:
        raise Trouble(f"version must be the text {VERSION!r}; it is {version!r:.40}")
    listed = _items(given.get("steps"), "steps", STEPS_MAX)
    if not listed:
        raise Trouble("steps must have one step at least")
    final = given.get("finalStep")
    return StepsDocument(
        steps=tuple(_step(each, f"steps[{index}]") for index, each in enumerate(listed)),
        final=None if final is None else _step(final, "finalStep"),
        conditions=tuple(
            _condition(each, f"conditions[{index}]")
            for index, each in enumerate(_items(given.get("conditions", []), "conditions", STEPS_MAX))
        ),
        include_stdout=_truth(given, "includeStdOut", "includeStdOut"),
    )


def _step(value: object, where: str) -> Step:
    where = f"{where}.action"
    action = _mapping(_mapping(value, where.removesuffix(".action")).get("action"), where)
    given = _mapping(action.get("input"), f"{where}.input")
    lines = action.get("allowStdErr")
    if lines is not None and (not isinstance(lines, int) or isinstance(lines, bool) or lines < 0):
        raise Trouble(f"{where}.allowStdErr must be a number of lines, 0 or more")
    return Step(
        name=_text(action.get("name"), f"{where}.name"),
        act=_act(action.get("type"), given, where),
        user=_optional(action, "runAsUser", where),
        stderr_lines_max=lines,
        ignore_failure=_truth(action, "ignoreStepFailure", f"{where}.ignoreStepFailure"),
    )


def _act(kind: object, given: Mapping[str, Any], where: str) -> Handler | Command:
    if kind == "runHandler":
        name = _text(given.get("handler"), f"{where}.input.handler")
        if "/" in name or name in {".", ".."}:
            raise Trouble(f"{where}.input.handler must be the name of a file, without a path: {name[:80]}")
        arguments = _items(given.get("args", []), f"{where}.input.args", WORDS_MAX)
        folder = _optional(given, "path", f"{where}.input")
        return Handler(
            name=name,
            arguments=tuple(
                _text(each, f"{where}.input.args[{index}]", empty=True)
                for index, each in enumerate(arguments)
            ),
            folder=None if folder == "default" else folder,
        )
    if kind == "runCommand":
        return Command(words=_words(_text(given.get("command"), f"{where}.input.command"), where))
    raise Trouble(f"{where}.type must be runHandler or runCommand; it is {kind!r:.40}")


def _words(command: str, where: str) -> tuple[str, ...]:
    words = tuple(word.replace("\\,", ",") for word in _COMMA.split(command))
    if len(words) > WORDS_MAX:
        raise Trouble(f"{where}.input.command has more than {WORDS_MAX} words")
    if not words[0] or re.search(r"\s", words[0]):
        raise Trouble(f"{where}.input.command must begin with a program; its words are separated by commas")
    return words


def _condition(value: object, where: str) -> Condition:
    given = _mapping(value, where)
    if given.get("type", EQUAL) != EQUAL:
        raise Trouble(f"{where}.type must be {EQUAL!r}, the only comparison there is")
    values = _items(given.get("value"), f"{where}.value", WORDS_MAX)
    if not values:
        raise Trouble(f"{where}.value must have one value at least")
    return Condition(
        key=_text(given.get("key"), f"{where}.key"),
        values=tuple(_text(each, f"{where}.value[{index}]") for index, each in enumerate(values)),
    )


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Trouble(f"{where} must be a JSON object")
    return value


def _items(value: object, where: str, most: int) -> list[object]:
    if not isinstance(value, list):
        raise Trouble(f"{where} must be a list")
    if len(value) > most:
        raise Trouble(f"{where} has {len(value)} entries; {most} is the most")
    return value


def _text(value: object, where: str, *, empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or empty) or len(value) > TEXT_MAX or "\0" in value:
        raise Trouble(
            f"{where} must be a text of at most {TEXT_MAX} characters{'' if empty else ', not empty'}"
        )
    return value


def _optional(given: Mapping[str, Any], member: str, where: str) -> str | None:
    """An empty text is as good as none: a template leaves one for a parameter that is not given."""
    value = given.get(member)
    return None if value is None or value == "" else _text(value, f"{where}.{member}")


def _truth(given: Mapping[str, Any], member: str, where: str) -> bool:
    """The client takes the text "true"; its documentation shows the JSON truth as well."""
    value = given.get(member, False)
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise Trouble(f'{where} must be true or false, or "true" or "false"')
