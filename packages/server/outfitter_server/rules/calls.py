"""The functions of the SQL that work on values alone. Wrong types give undefined, as on AWS; they raise nothing."""

import base64
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Any, Final

from outfitter_server.rules.bounds import CannotEvaluate, bounded_text, check_items, check_text
from outfitter_server.rules.numbers import (
    CONTEXT,
    UNDEFINED,
    Undefined,
    number,
    to_decimal,
    to_int,
    to_text,
)

SPACES: Final = " \t\n\r\x0b\x0c"


def _abs(value: Any) -> Any:
    found = to_decimal(value)
    return UNDEFINED if isinstance(found, Undefined) else number(abs(found))


def _rounding(mode: str) -> Callable[[Any], Any]:
    def rounded(value: Any) -> Any:
        found = to_decimal(value)
        if isinstance(found, Undefined):
            return UNDEFINED
        return number(found.to_integral_value(rounding=mode, context=CONTEXT))

    return rounded


def remainder(left: Any, right: Any) -> Any:
    """What is left of a division; its sign is the dividend's."""
    first, second = to_decimal(left), to_decimal(right)
    if isinstance(first, Undefined) or isinstance(second, Undefined):
        return UNDEFINED
    return number(CONTEXT.remainder(first, second))


def _text(change: Callable[[str], str]) -> Callable[[Any], Any]:
    def changed(value: Any) -> Any:
        found = to_text(value)
        return UNDEFINED if isinstance(found, Undefined) else change(found)

    return changed


def _texts(judge: Callable[[str, str], Any]) -> Callable[[Any, Any], Any]:
    def judged(left: Any, right: Any) -> Any:
        first, second = to_text(left), to_text(right)
        if isinstance(first, Undefined) or isinstance(second, Undefined):
            return UNDEFINED
        return judge(first, second)

    return judged


def _length(value: Any) -> Any:
    found = to_text(value)
    return UNDEFINED if isinstance(found, Undefined) else len(found)


def _replace(value: Any, old: Any, new: Any) -> Any:
    found, gone, put = to_text(value), to_text(old), to_text(new)
    if isinstance(found, Undefined) or isinstance(gone, Undefined) or isinstance(put, Undefined):
        return UNDEFINED
    check_text(len(found) + found.count(gone) * len(put))
    return found.replace(gone, put)


def _substring(value: Any, start: Any, end: Any = None) -> Any:
    found, first = to_text(value), to_int(start)
    last = len(found) if end is None and isinstance(found, str) else to_int(end)
    if isinstance(found, Undefined) or isinstance(first, Undefined) or isinstance(last, Undefined):
        return UNDEFINED
    return found[max(0, first) : max(0, last)]


def _concat(*values: Any) -> Any:
    if len(values) == 1:
        return values[0]
    if any(value is UNDEFINED for value in values):
        return UNDEFINED
    if any(isinstance(value, list) for value in values):
        check_items(sum(len(value) if isinstance(value, list) else 1 for value in values))
        return [item for value in values for item in (value if isinstance(value, list) else [value])]
    if not any(isinstance(value, str) for value in values):
        return UNDEFINED
    texts = [to_text(value) for value in values]
    return (
        bounded_text([text for text in texts if isinstance(text, str)])
        if UNDEFINED not in texts
        else UNDEFINED
    )


def get(collection: Any, key: Any) -> Any:
    """An item of an array or a string by its index from 0, a member of an object by its key."""
    if isinstance(collection, dict):
        return collection.get(key, UNDEFINED) if isinstance(key, str) else UNDEFINED
    if isinstance(collection, list | str):
        index = to_int(key)
        if isinstance(index, int) and 0 <= index < len(collection):
            return collection[index]
    return UNDEFINED


def encode(value: Any, scheme: Any) -> Any:
    """Base64 of the raw payload (bytes) or of a value's text."""
    if scheme != "base64":
        raise CannotEvaluate("encode knows the scheme 'base64' only")
    data = value if isinstance(value, bytes) else to_text(value)
    if isinstance(data, Undefined):
        return UNDEFINED
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


CALLS: Final[dict[str, Callable[..., Any]]] = {
    "abs": _abs,
    "ceil": _rounding(ROUND_CEILING),
    "concat": _concat,
    "encode": encode,
    "endswith": _texts(str.endswith),
    "floor": _rounding(ROUND_FLOOR),
    "get": get,
    "indexof": _texts(str.find),
    "isnull": lambda value: value is None,
    "isundefined": lambda value: value is UNDEFINED,
    "length": _length,
    "lower": _text(str.lower),
    "ltrim": _text(lambda text: text.lstrip(SPACES)),
    "mod": remainder,
    "replace": _replace,
    "round": _rounding(ROUND_HALF_UP),
    "rtrim": _text(lambda text: text.rstrip(SPACES)),
    "startswith": _texts(str.startswith),
    "substring": _substring,
    "trim": _text(lambda text: text.strip(SPACES)),
    "upper": _text(str.upper),
}


def cast(value: Any, kind: str) -> Any:
    """The standard conversions, and numbers from and to booleans."""
    if kind == "string":
        return to_text(value)
    if kind == "boolean":
        if isinstance(value, int | Decimal):
            return bool(value)
        return (
            {"true": True, "false": False}.get(value.lower(), UNDEFINED)
            if isinstance(value, str)
            else UNDEFINED
        )
    if isinstance(value, bool):
        return int(value)
    found = to_decimal(value)
    if isinstance(found, Undefined):
        return UNDEFINED
    if kind == "int":
        return number(found.to_integral_value(rounding=ROUND_FLOOR, context=CONTEXT))
    return number(found)
