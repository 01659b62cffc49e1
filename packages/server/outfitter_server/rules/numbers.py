"""Values of the SQL and the standard conversions between their types (AWS IoT SQL reference, data types).

A number is an int when it is whole and has at most 34 digits, else a Decimal of 34 digits: version 2016-03-23 takes 10.0
for 10. ``UNDEFINED`` is what has no value; it is no error, and what is made of it is mostly undefined too.
"""

import re
from decimal import ROUND_HALF_UP, Context, Decimal
from enum import Enum
from typing import Any, Final

import msgspec

DIGITS: Final = 34
CONTEXT: Final = Context(prec=DIGITS, Emin=-999, Emax=999, rounding=ROUND_HALF_UP, traps=[])
_NUMERAL: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE]-?[0-9]+)?")
_NUMERAL_CHARACTERS_MAX: Final = 4_000


class Undefined(Enum):
    """The type of UNDEFINED."""

    UNDEFINED = "undefined"


UNDEFINED: Final = Undefined.UNDEFINED


def number(value: Decimal) -> int | Decimal | Undefined:
    """A result of arithmetic in its usual form; undefined when it is no number or too large."""
    if not value.is_finite():
        return UNDEFINED
    if value.adjusted() < DIGITS and value == value.to_integral_value(context=CONTEXT):
        return int(value)
    return value


def to_decimal(value: Any) -> Decimal | Undefined:
    """A number, or a string that spells one."""
    if isinstance(value, bool):
        return UNDEFINED
    if isinstance(value, str):
        if len(value) > _NUMERAL_CHARACTERS_MAX or not _NUMERAL.fullmatch(value):
            return UNDEFINED
        found = CONTEXT.create_decimal(value)
    elif isinstance(value, int | Decimal):
        found = CONTEXT.create_decimal(value)
    else:
        return UNDEFINED
    return found if found.is_finite() else UNDEFINED


def to_int(value: Any) -> int | Undefined:
    """As ``to_decimal``, cut to its whole part."""
    found = to_decimal(value)
    if found is UNDEFINED or found.adjusted() >= DIGITS:
        return UNDEFINED
    return int(found)


def to_boolean(value: Any) -> bool | Undefined:
    """A boolean, or a string that says so in any case."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower(), UNDEFINED)
    return UNDEFINED


def to_text(value: Any) -> str | Undefined:
    """Everything but null and undefined has a text; arrays and objects are JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, list | dict):
        return to_json(value).decode()
    return UNDEFINED


def equal(left: Any, right: Any) -> bool:
    """Whether two values are the same; values of different types are not."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | Decimal) and isinstance(right, int | Decimal):
        return left == right
    return type(left) is type(right) and bool(left == right)


def _read_number(text: str) -> int | Decimal:
    value = number(CONTEXT.create_decimal(text))
    if isinstance(value, Undefined):
        raise ValueError("a number is beyond 1E1000")  # noqa: TRY004 - the decoder takes this as its own
    return value


_DECODER: Final = msgspec.json.Decoder(float_hook=_read_number)
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def from_json(data: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none.
        RecursionError: it nests too deep.
    """
    return _DECODER.decode(data)


def to_json(value: Any) -> bytes:
    """Compact JSON; numbers with all their digits."""
    return _ENCODER.encode(value)
