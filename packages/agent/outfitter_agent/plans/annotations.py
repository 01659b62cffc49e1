"""What a device's JSON Schema says of its parameters beside their form: which are the device's own, which are secret.

``"x-outfitter": "device"`` marks a value that belongs to this device alone: no configuration that is sent overwrites
it. ``"writeOnly": true`` or ``"x-outfitter": "secret"`` marks one that never leaves the device, and stays where a
configuration does not name it. Both together: ``"x-outfitter": ["device", "secret"]``.

Marks count in nested ``properties``, in branches (``allOf``, ``if``, …) whether these apply or not, and through
references within the schema. A mark somewhere within a list, or within members without a name of their own
(``additionalProperties``, ``patternProperties``), counts for the whole list or object. What cannot be followed raises
Trouble: a mark that is overlooked would give a secret away.
"""

import copy
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from outfitter_agent.plans.troubles import Trouble

Path = tuple[str, ...]
"""Names from the top to one value."""

ANNOTATION: Final = "x-outfitter"
DEVICE: Final = "device"
SECRET: Final = "secret"  # noqa: S105 - the word of the schema, no password
_BRANCHES: Final = ("allOf", "anyOf", "oneOf")
_BRANCH: Final = ("if", "then", "else")
_NAMELESS: Final = (
    *("items", "prefixItems", "additionalItems", "unevaluatedItems", "contains"),
    *("additionalProperties", "patternProperties", "unevaluatedProperties"),
)
_NAMED_BRANCHES: Final = ("dependentSchemas", "dependencies")
_NOT_FOLLOWED: Final = ("$dynamicRef", "$recursiveRef")
_MISSING: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Where the marked parameters are."""

    device: tuple[Path, ...] = ()
    secret: tuple[Path, ...] = ()


@dataclass(slots=True)
class _Walk:
    schema: Any
    device: set[Path] = field(default_factory=set)
    secret: set[Path] = field(default_factory=set)

    def visit(self, rules: Any, path: Path, following: tuple[str, ...], *, nameless: bool = False) -> None:
        if not isinstance(rules, dict):
            return
        self._note(rules, path)
        for name, child in _members(rules, "properties"):
            self.visit(child, path if nameless else (*path, name), following, nameless=nameless)
        for child in _branches(rules):
            self.visit(child, path, following, nameless=nameless)
        for child in _nameless(rules):
            self.visit(child, path, following, nameless=True)
        for word in _NOT_FOLLOWED:
            if word in rules:
                raise _cannot_follow(str(rules[word]))
        if "$ref" in rules:
            reference = str(rules["$ref"])
            if reference in following:
                raise _cannot_follow(f"{reference} in a circle")
            target = _resolved(self.schema, reference)
            self.visit(target, path, (*following, reference), nameless=nameless)

    def _note(self, rules: Mapping[str, Any], path: Path) -> None:
        told = rules.get(ANNOTATION, ())
        words = {told} if isinstance(told, str) else set(told) if isinstance(told, list | tuple) else {told}
        unknown = words - {DEVICE, SECRET}
        if unknown:
            raise Trouble(
                f"the schema of this device has {ANNOTATION!r} with {min(map(str, unknown))!r}: "
                f"it may be {DEVICE!r} or {SECRET!r}"
            )
        if rules.get("writeOnly") is True:
            words.add(SECRET)
        if words and not path:
            raise Trouble(
                "the schema of this device marks the configuration as a whole: mark named parameters, and none "
                "within patternProperties or additionalProperties at the top"
            )
        if DEVICE in words:
            self.device.add(path)
        if SECRET in words:
            self.secret.add(path)


def read_marks(schema: bytes) -> Marks:
    """The marks in the text of a schema; raises Trouble when they cannot be told, ValueError when it is no JSON."""
    rules = json.loads(schema)
    if not _has_marks(rules):
        return Marks()
    walk = _Walk(rules)
    walk.visit(rules, (), ())
    return Marks(device=tuple(sorted(walk.device)), secret=tuple(sorted(walk.secret)))


def without_secrets(parameters: Mapping[str, Any], marks: Marks) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The parameters as they may leave the device, and the names of what was left out."""
    kept = copy.deepcopy(dict(parameters))
    left_out = [path for path in marks.secret if _remove(kept, path)]
    return kept, tuple(map(".".join, left_out))


def for_this_device(
    sent: Mapping[str, Any], own: Mapping[str, Any], marks: Marks
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What was sent with the device's own values as they are, and the names of those that it would have overwritten.

    Raises Trouble when there is no place for an own value in what was sent.
    """
    result, ignored = copy.deepcopy(dict(sent)), []
    for path in marks.device:
        mine, theirs = _value(own, path), _value(result, path)
        if theirs is not _MISSING and not _same(mine, theirs):
            ignored.append(".".join(path))
        if mine is _MISSING:
            _remove(result, path)
        else:
            _put(result, path, mine)
    for path in marks.secret:
        mine = _value(own, path)
        if mine is not _MISSING and _value(result, path) is _MISSING:
            _put(result, path, mine)
    return result, tuple(ignored)


def _has_marks(rules: Any) -> bool:
    waiting = [rules]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if ANNOTATION in value or value.get("writeOnly") is True:
                return True
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return False


def _members(rules: Mapping[str, Any], word: str) -> Collection[tuple[str, Any]]:
    found = rules.get(word)
    return found.items() if isinstance(found, dict) else ()


def _branches(rules: Mapping[str, Any]) -> list[Any]:
    found = [rules[word] for word in _BRANCH if word in rules]
    for word in _BRANCHES:
        branches = rules.get(word)
        found += branches if isinstance(branches, list) else []
    for word in _NAMED_BRANCHES:
        found += [child for _, child in _members(rules, word)]
    return found


def _nameless(rules: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = []
    for word in _NAMELESS:
        value = rules.get(word)
        if word == "patternProperties":
            found += [child for _, child in _members(rules, word)]
        else:
            found += value if isinstance(value, list) else [value]
    return found


def _resolved(schema: Any, reference: str) -> Any:
    if reference != "#" and not reference.startswith("#/"):
        raise _cannot_follow(reference)
    value = schema
    for part in reference.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise _cannot_follow(reference)
    return value


def _cannot_follow(reference: str) -> Trouble:
    return Trouble(
        f"the schema of this device marks parameters and refers to {reference}: with marks, references must lead "
        "to a place in the schema itself, such as #/$defs/NAME, and not in a circle"
    )


def _value(parameters: Any, path: Path) -> Any:
    for name in path:
        if not isinstance(parameters, dict) or name not in parameters:
            return _MISSING
        parameters = parameters[name]
    return parameters


def _remove(parameters: Any, path: Path) -> bool:
    parent = _value(parameters, path[:-1])
    if not isinstance(parent, dict) or path[-1] not in parent:
        return False
    del parent[path[-1]]
    return True


def _put(parameters: dict[str, Any], path: Path, value: Any) -> None:
    for name in path[:-1]:
        child = parameters.setdefault(name, {})
        if not isinstance(child, dict):
            raise Trouble(f"the configuration has no place for this device's own {'.'.join(path)}")
        parameters = child
    parameters[path[-1]] = copy.deepcopy(value)


def _same(mine: Any, theirs: Any) -> bool:
    return mine is not _MISSING and json.dumps(mine, sort_keys=True) == json.dumps(theirs, sort_keys=True)
