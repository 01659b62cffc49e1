"""From when until when a certificate is valid, read out of its DER form (RFC 5280 4.1): the agent needs no library for that."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_LONG_FORM: Final = 0x80
_LENGTH_BYTES_MAX: Final = 3
_CENTURY_TURNS: Final = 50
"""Two-digit years below are of the 2000s (RFC 5280 4.1.2.5.1)."""
_PEM_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_PEM_END: Final = "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """Both ends are within."""

    begins: datetime
    ends: datetime


def validities(pem: str) -> list[Validity]:
    """Of each certificate in a PEM text, in its order; raises ValueError."""
    parts = [part.partition(_PEM_END)[0] for part in pem.split(_PEM_BEGIN)[1:]]
    if not parts:
        raise ValueError("it holds no certificate")
    return [validity(ssl.PEM_cert_to_DER_cert(f"{_PEM_BEGIN}{part}{_PEM_END}")) for part in parts]


def validity(der: bytes) -> Validity:
    """Of one certificate; raises ValueError."""
    try:
        _, certificate = next(_elements(der))
        _, signed = next(_elements(certificate))
        parts = list(_elements(signed))
        after_serial = parts[2:] if parts[0][0] == _VERSION else parts[1:]
        tag, period = after_serial[2]  # past the algorithm and the issuer
        begins, ends = _elements(period)
    except (IndexError, StopIteration):
        raise ValueError("it is no certificate") from None
    if tag != _SEQUENCE:
        raise ValueError("it is no certificate")
    return Validity(begins=_time(*begins), ends=_time(*ends))


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of one after the other; raises IndexError, ValueError."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & _LONG_FORM:
            count = length - _LONG_FORM
            if not 1 <= count <= _LENGTH_BYTES_MAX:
                raise ValueError("it is no certificate: a length of its own")
            length = int.from_bytes(der[at : at + count])
            at += count
        if at + length > len(der):
            raise ValueError("it is no certificate: it ends too early")
        yield tag, der[at : at + length]
        at += length


def _time(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("20" if int(text[:2]) < _CENTURY_TURNS else "19") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("it is no certificate: a time of neither kind")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
