"""Signed texts: what an offline key says, in one line that a file, a package's attribute and a job document can carry.

    KIND.PAYLOAD.KEY_ID.SIGNATURE[.KEY_ID.SIGNATURE]…

``KIND`` names the sort of statement and the version of its form, ``PAYLOAD`` is the statement, both binary parts are in
base64url without padding. What is signed (Ed25519, RFC 8032) is ``KIND``, a line feed and the payload's bytes, so that a
signature for one kind is never one for another.

A public key is a line of its own: ``outfitter-key-1 KEY_ID KEY [comment]``. The key id is made of the key, so that
it cannot name another one.
"""

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Final

SIGNED_LENGTH_MAX: Final = 24 * 1024
SIGNATURES_MAX: Final = 8
KEY_FORM: Final = "outfitter-key-1"
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
KEY_LINE_LENGTH_MAX: Final = 512

_KIND: Final = re.compile(r"outfitter-[a-z]{1,16}-[0-9]{1,3}")
_KEY_ID: Final = re.compile(r"[0-9a-f]{16}")


class SignedError(ValueError):
    """A signed text, a statement or a key is malformed; the message says what of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """The public half of an Ed25519 key."""

    raw: bytes
    """32 bytes."""

    @property
    def key_id(self) -> str:
        """16 hex digits, made of the key."""
        return hashlib.sha256(f"{KEY_FORM}\n".encode() + self.raw).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One key's signature, not verified."""

    key_id: str
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A signed text, parsed; nothing of it is verified."""

    kind: str
    payload: bytes
    signatures: tuple[Signature, ...]

    @property
    def message(self) -> bytes:
        """The bytes that are signed."""
        return signed_bytes(self.kind, self.payload)


def signed_bytes(kind: str, payload: bytes) -> bytes:
    """The bytes that a key signs for a payload of that kind."""
    return f"{kind}\n".encode() + payload


def parse_signed(text: str, kind: str) -> Signed:
    """The signed text, which must be of that kind; raises SignedError. Verifies nothing."""
    if len(text) > SIGNED_LENGTH_MAX:
        raise SignedError(f"the signed statement is longer than {SIGNED_LENGTH_MAX} characters")
    found, *parts = text.split(".")
    if not _KIND.fullmatch(found):
        raise SignedError("the signed statement does not begin with its kind")
    if found != kind:
        raise SignedError(f"the signed statement is of the kind {found} instead of {kind}")
    if len(parts) < 3 or len(parts) % 2 == 0 or len(parts) > 1 + 2 * SIGNATURES_MAX:  # noqa: PLR2004 - payload and pairs
        raise SignedError(
            f"the signed statement is not a payload with 1 to {SIGNATURES_MAX} pairs of key and signature"
        )
    signatures = tuple(
        Signature(key_id=parse_key_id(key_id), value=_decoded(value, "signature", SIGNATURE_BYTES))
        for key_id, value in zip(parts[1::2], parts[2::2], strict=True)
    )
    if len({each.key_id for each in signatures}) != len(signatures):
        raise SignedError("a key has signed the statement twice")
    return Signed(kind=kind, payload=_decoded(parts[0], "payload"), signatures=signatures)


def build_signed(signed: Signed) -> str:
    """The text of it; raises SignedError when that becomes too long or has no signature."""
    parts = [signed.kind, _encoded(signed.payload)]
    for each in signed.signatures:
        parts += [each.key_id, _encoded(each.value)]
    text = ".".join(parts)
    parse_signed(text, signed.kind)
    return text


def parse_public_key(line: str) -> PublicKey:
    """The key in a line of a key file; raises SignedError."""
    parts = line.split(None, 3) if len(line) <= KEY_LINE_LENGTH_MAX else []
    if len(parts) < 3 or parts[0] != KEY_FORM:  # noqa: PLR2004 - form, id, key
        raise SignedError(f"not a line of the form '{KEY_FORM} KEY_ID KEY'")
    key = PublicKey(raw=_decoded(parts[2], "key", KEY_BYTES))
    if key.key_id != parts[1]:
        raise SignedError(f"the key is not the one of the id {parts[1][:32]}")
    return key


def parse_public_keys(content: str) -> tuple[PublicKey, ...]:
    """The keys in a key file; empty lines and those that begin with ``#`` do not count. Raises SignedError."""
    lines = (line.strip() for line in content.splitlines())
    return tuple(parse_public_key(line) for line in lines if line and not line.startswith("#"))


def build_public_key(key: PublicKey, comment: str = "") -> str:
    """The line for a key, with a comment for people if one is given."""
    return f"{KEY_FORM} {key.key_id} {_encoded(key.raw)} {comment}".rstrip()


def parse_key_id(text: str) -> str:
    """The key id; raises SignedError when it is none."""
    if not _KEY_ID.fullmatch(text):
        raise SignedError(f"'{text[:32]}' is no key id: it has 16 hex digits")
    return text


def _encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def _decoded(text: str, what: str, length: int | None = None) -> bytes:
    """The bytes, when the text is the one way to write them; raises SignedError."""
    try:
        content = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        content = b""
    if not content or _encoded(content) != text or length not in (None, len(content)):
        raise SignedError(f"the {what} is not {length or 'one or more'} bytes in base64url")
    return content
