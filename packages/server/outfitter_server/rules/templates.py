"""Substitution templates: text with ``${expression}`` in it, as in the topic of a republish action."""

from dataclasses import dataclass

from outfitter_server.base.refusals import MalformedSql
from outfitter_server.rules.bounds import CannotEvaluate
from outfitter_server.rules.evaluate import Incoming, value_of
from outfitter_server.rules.numbers import Undefined, to_text
from outfitter_server.rules.parser import parse_expression
from outfitter_server.rules.syntax import Expression


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template; ``parts`` are text as it stands and expressions."""

    parts: tuple[str | Expression, ...]

    def fill(self, message: Incoming) -> str:
        """The text for one message; what is undefined or null is nothing.

        Raises:
            CannotEvaluate: an expression and the message do not fit.
        """
        texts: list[str] = []
        for part in self.parts:
            try:
                found = part if isinstance(part, str) else to_text(value_of(part, message))
            except (RecursionError, UnicodeEncodeError) as error:
                raise CannotEvaluate(f"the payload is beyond what can be evaluated: {error}") from error
            if not isinstance(found, Undefined):
                texts.append(found)
        return "".join(texts)


def parse_template(text: str) -> Template:
    """A template; ``$$`` stands for one dollar sign.

    Raises:
        MalformedSql: an expression is none, or its brace is not closed.
    """
    parts: list[str | Expression] = []
    plain, at = "", 0
    while at < len(text):
        if text.startswith("${", at):
            end = _closing(text, at + 2)
            parts += [plain, _expression(text, at + 2, end)]
            plain, at = "", end + 1
        elif text.startswith("$$", at):
            plain, at = plain + "$", at + 2
        else:
            plain, at = plain + text[at], at + 1
    return Template(tuple(part for part in [*parts, plain] if part != ""))


def _expression(text: str, start: int, end: int) -> Expression:
    try:
        return parse_expression(text[start:end])
    except MalformedSql as error:
        raise MalformedSql(f"In ${{…}} at character {start - 1} of '{text}': {error.message}") from error


def _closing(text: str, start: int) -> int:
    """Where the brace that opened before ``start`` closes; braces in strings and of objects do not count."""
    depth, quote = 1, ""
    for at in range(start, len(text)):
        letter = text[at]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "{":
            depth += 1
        elif letter == "}":
            depth -= 1
            if not depth:
                return at
    raise MalformedSql(f"The ${{ at character {start - 1} of '{text}' has no closing brace.")
