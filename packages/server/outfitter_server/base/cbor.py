"""The part of CBOR (RFC 8949) that has a counterpart in JSON: maps with text keys, lists, text, numbers, true, false, null.

Devices send it and get it where a request's topic ends in ``cbor``. Read by code of our own because what is read is
foreign: a declared length is believed only as far as bytes are there, nesting and the number of values are bounded, tags are refused.
"""

import math
import struct
from typing import Any, Final

DEPTH_MAX: Final = 16
PARTS_MAX: Final = 500  # values of all levels, and parts of texts: a microsecond and more each
_UINT, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG, _SIMPLE = range(8)
_INDEFINITE: Final = 31
_BREAK: Final = object()
_CONSTANTS: Final = {20: False, 21: True, 22: None, 23: None}
_DETAILS: Final = {value: detail for detail, value in _CONSTANTS.items() if detail < 23}  # noqa: PLR2004 - undefined is read only
_SIZES: Final = {24: ">B", 25: ">H", 26: ">I", 27: ">Q"}
_FLOATS: Final = {25: ">e", 26: ">f", 27: ">d"}
_DIRECT: Final = 24  # values below this stand in the first byte itself
_INTEGER_MAX: Final = 2**64 - 1


class CborError(ValueError):
    """The bytes are no CBOR, or hold what JSON does not have."""


def decode(data: bytes) -> Any:
    """The one value that the bytes hold.

    Raises:
        CborError: see there; also bytes after the value.
    """
    reader = _Reader(data)
    value = reader.value(0)
    if value is _BREAK or reader.at != len(data):
        raise CborError("not exactly one CBOR value")
    return value


def encode(value: Any) -> bytes:
    """Text, numbers, booleans, None, lists and maps of them.

    Raises:
        CborError: another kind of value.
    """
    out = bytearray()
    _write(out, value)
    return bytes(out)


class _Reader:
    __slots__ = ("_data", "_parts", "at")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._parts = 0
        self.at = 0

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self._data):
            raise CborError("the bytes end within a value")
        taken = self._data[self.at : end]
        self.at = end
        return taken

    def _head(self) -> int:
        self._parts += 1
        if self._parts > PARTS_MAX:
            raise CborError(f"more than {PARTS_MAX} values")
        return self._take(1)[0]

    def value(self, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise CborError(f"nested more than {DEPTH_MAX} levels deep")
        head = self._head()
        kind, detail = head >> 5, head & 31
        if kind == _SIMPLE:
            return self._simple(detail)
        length = self._length(kind, detail)
        if kind == _UINT:
            return length
        if kind == _NEGATIVE:
            return -1 - (length or 0)
        if kind == _TEXT:
            return self._text(length)
        if kind == _LIST:
            return self._list(length, depth + 1)
        if kind == _MAP:
            return self._map(length, depth + 1)
        raise CborError("tags and byte strings have no place here")

    def _length(self, kind: int, detail: int) -> int | None:
        if detail < _DIRECT:
            return detail
        if detail in _SIZES:
            form = _SIZES[detail]
            return int(struct.unpack(form, self._take(struct.calcsize(form)))[0])
        if detail == _INDEFINITE and kind in {_TEXT, _LIST, _MAP}:
            return None
        raise CborError("a length that CBOR does not have")

    def _simple(self, detail: int) -> Any:
        if detail == _INDEFINITE:
            return _BREAK
        if detail in _CONSTANTS:
            return _CONSTANTS[detail]
        form = _FLOATS.get(detail)
        if form is None:
            raise CborError("a simple value that JSON does not have")
        number = float(struct.unpack(form, self._take(struct.calcsize(form)))[0])
        if not math.isfinite(number):
            raise CborError("NaN and Infinity have no place here")
        return number

    def _text(self, length: int | None) -> str:
        if length is None:
            parts = []
            while (part := self._chunk()) is not None:
                parts.append(part)
            return "".join(parts)
        try:
            return self._take(length).decode()
        except UnicodeDecodeError as error:
            raise CborError("text that is not UTF-8") from error

    def _chunk(self) -> str | None:
        head = self._head()
        if head == (_SIMPLE << 5 | _INDEFINITE):
            return None
        length = self._length(head >> 5, head & 31)
        if head >> 5 != _TEXT or length is None:
            raise CborError("a part of a text that is none")
        return self._text(length)

    def _list(self, length: int | None, depth: int) -> list[Any]:
        found: list[Any] = []
        while length is None or len(found) < length:
            value = self.value(depth)
            if value is _BREAK:
                if length is None:
                    break
                raise CborError("a list ends before its length")
            found.append(value)
        return found

    def _map(self, length: int | None, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while length is None or len(found) < length:
            key = self.value(depth)
            if key is _BREAK and length is None:
                break
            if not isinstance(key, str) or key in found:
                raise CborError("the keys of a map must be texts, each once")
            value = self.value(depth)
            if value is _BREAK:
                raise CborError("a map ends after a key")
            found[key] = value
        return found


def _write(out: bytearray, value: Any) -> None:
    match value:
        case None | bool():
            out.append(_SIMPLE << 5 | _DETAILS[value])
        case int() if 0 <= value <= _INTEGER_MAX:
            _head(out, _UINT, value)
        case int() if 0 <= -1 - value <= _INTEGER_MAX:
            _head(out, _NEGATIVE, -1 - value)
        case float():
            out += b"\xfb" + struct.pack(">d", value)
        case str():
            text = value.encode()
            _head(out, _TEXT, len(text))
            out += text
        case list() | tuple():
            _head(out, _LIST, len(value))
            for each in value:
                _write(out, each)
        case dict():
            _head(out, _MAP, len(value))
            for key, each in value.items():
                _write(out, key)
                _write(out, each)
        case _:
            raise CborError(f"{type(value).__name__} has no form here")


def _head(out: bytearray, kind: int, number: int) -> None:
    if number < _DIRECT:
        out.append(kind << 5 | number)
        return
    for detail, form in _SIZES.items():
        if number < 1 << (8 * struct.calcsize(form)):
            out.append(kind << 5 | detail)
            out += struct.pack(form, number)
            return
