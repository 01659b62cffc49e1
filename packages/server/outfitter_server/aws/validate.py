"""Parameters against their shapes: types, required members, lengths and ranges, patterns, enumerations.

botocore's validator knows the client's half only (types, required, ``min``). Everything that is wrong is told at once,
in the words of AWS's services.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

from outfitter_server.aws.model import Shape
from outfitter_server.aws.patterns import compile_pattern
from outfitter_server.base.refusals import InvalidRequest

ERRORS_SHOWN: Final = 20
VALUE_SHOWN: Final = 256

_WHOLE_NUMBERS: Final = {"integer": 1 << 31, "long": 1 << 63}
_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "structure": (dict,),
    "list": (list,),
    "map": (dict,),
    "string": (str,),
    "boolean": (bool,),
    "blob": (bytes,),
    "timestamp": (dt.datetime,),
    "double": (int, float),
    "float": (int, float),
}

_Tell = Callable[[Any, str, str], None]


def validate(parameters: dict[str, Any], shape: Shape | None) -> None:
    """Check parsed parameters.

    Raises:
        InvalidRequest: with every error (the first ERRORS_SHOWN in words) in one message.
    """
    if shape is None:
        return
    errors: list[str] = []

    def tell(value: Any, path: str, constraint: str) -> None:
        errors.append(f"Value {value} at '{path}' failed to satisfy constraint: {constraint}")

    _check_members(parameters, shape, "", tell)
    if errors:
        count = f"{len(errors)} validation error{'s' if len(errors) > 1 else ''} detected: "
        raise InvalidRequest(count + "; ".join(errors[:ERRORS_SHOWN]))


def _check(value: Any, shape: Shape, path: str, tell: _Tell) -> None:
    if shape.serialization.get("jsonvalue"):
        return  # any JSON value; the model calls it a string
    if not _is_of_type(value, shape):
        tell(_shown(value, shape), path, f"Member must be of type {shape.type_name}")
        return
    kind = shape.type_name
    if kind == "structure":
        _check_members(value, shape, path, tell)
        return
    _check_constraints(value, shape, path, tell)
    if kind == "list":
        for position, item in enumerate(value, start=1):
            _check_item(item, shape.member, f"{path}.{position}.member", tell)
    elif kind == "map":
        for key, item in value.items():
            _check(key, shape.key, f"{path}.{_short(key)}.key", tell)
            _check_item(item, shape.value, f"{path}.{_short(key)}.member", tell)


def _check_members(value: dict[str, Any], shape: Shape, path: str, tell: _Tell) -> None:
    prefix = f"{path}." if path else ""
    for name in shape.required_members:
        if name not in value:
            tell("null", prefix + name, "Member must not be null")
    members = shape.members
    for name, item in value.items():
        _check(item, members[name], prefix + name, tell)


def _check_item(item: Any, shape: Shape, path: str, tell: _Tell) -> None:
    if item is None:
        tell("null", path, "Member must not be null")
    else:
        _check(item, shape, path, tell)


def _is_of_type(value: Any, shape: Shape) -> bool:
    kind = shape.type_name
    limit = _WHOLE_NUMBERS.get(kind)
    if limit is not None:
        return isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit
    if kind != "boolean" and isinstance(value, bool):
        return False
    return isinstance(value, _KINDS[kind])


def _check_constraints(value: Any, shape: Shape, path: str, tell: _Tell) -> None:
    metadata = shape.metadata
    if not metadata:
        return
    numeric = shape.type_name in {"integer", "long", "double", "float"}
    size = value if numeric or isinstance(value, bool | dt.datetime) else len(value)
    noun = "value" if numeric else "length"
    if "max" in metadata and size > metadata["max"]:
        tell(_shown(value, shape), path, f"Member must have {noun} less than or equal to {metadata['max']}")
    if "min" in metadata and size < metadata["min"]:
        tell(
            _shown(value, shape), path, f"Member must have {noun} greater than or equal to {metadata['min']}"
        )
    if shape.type_name != "string":
        return
    pattern = metadata.get("pattern")
    # A value that is too long is refused already; its match would only cost time.
    if pattern and size <= metadata.get("max", size) and not compile_pattern(pattern).fullmatch(value):
        tell(_shown(value, shape), path, f"Member must satisfy regular expression pattern: {pattern}")
    if "enum" in metadata and value not in metadata["enum"]:
        tell(
            _shown(value, shape), path, f"Member must satisfy enum value set: [{', '.join(metadata['enum'])}]"
        )


def _shown(value: Any, shape: Shape) -> str:
    if shape.metadata.get("sensitive"):
        return "***"
    return f"'{_short(value)}'"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= VALUE_SHOWN else text[:VALUE_SHOWN] + "…"
