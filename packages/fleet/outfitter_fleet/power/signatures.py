"""The owner's keys in the proof, the same at each call, and what they sign."""

import hashlib
from collections.abc import Sequence
from typing import Final

from nacl.signing import SigningKey
from outfitter_contract.signed import (
    PublicKey,
    Signature,
    Signed,
    build_public_key,
    build_signed,
    signed_bytes,
)
from outfitter_contract.statements import (
    IMAGE_KIND,
    KEYS_KIND,
    ImageStatement,
    KeysStatement,
    image_payload,
    keys_payload,
)

_SEEDS: Final = {"release": bytes(range(32)), "next": bytes(range(1, 33))}


def public_key(name: str) -> PublicKey:
    """The public half of the key ``release`` or ``next``."""
    return PublicKey(raw=SigningKey(_SEEDS[name]).verify_key.encode())


def key_file() -> bytes:
    """The file of the device's trusted keys: ``release`` and no other."""
    return f"{build_public_key(public_key('release'))}\n".encode()


def signed_image(image: bytes, version: str, minimum: str | None = None) -> str:
    """What ``release`` says of an image."""
    statement = ImageStatement(
        name="pump",
        version=version,
        device_types=("p1",),
        sha256=hashlib.sha256(image).hexdigest(),
        size=len(image),
        minimum=minimum,
    )
    return _signed(IMAGE_KIND, image_payload(statement))


def signed_keys(counter: int, *, add: Sequence[str] = (), revoke: Sequence[str] = ()) -> str:
    """What ``release`` says of the keys by name."""
    statement = KeysStatement(
        counter=counter,
        add=tuple(public_key(name) for name in add),
        revoke=tuple(public_key(name).key_id for name in revoke),
        minimums={},
    )
    return _signed(KEYS_KIND, keys_payload(statement))


def _signed(kind: str, payload: bytes) -> str:
    value = SigningKey(_SEEDS["release"]).sign(signed_bytes(kind, payload)).signature
    signature = Signature(key_id=public_key("release").key_id, value=value)
    return build_signed(Signed(kind=kind, payload=payload, signatures=(signature,)))
