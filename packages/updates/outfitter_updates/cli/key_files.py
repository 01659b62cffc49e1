"""Files of keys: private ones as PEM (PKCS #8) for their owner alone, public ones as a line of text.

The library is imported where it is used: it costs every other command a tenth of a second otherwise.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outfitter_contract.signed import PublicKey, Signature, SignedError, build_public_key, parse_public_keys

from outfitter_updates.catalogue.problems import BadKey, Conflict, Problem

SECRET_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644
OTHERS: Final = 0o077
PUBLIC_SUFFIX: Final = ".pub"
KEY_FILE_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateKey:
    """A key that signs."""

    public: PublicKey
    sign: Callable[[bytes], bytes]

    def signature(self, message: bytes) -> Signature:
        """Its signature of the bytes."""
        return Signature(key_id=self.public.key_id, value=self.sign(message))


def public_file(private: Path) -> Path:
    """Where the public half of a key goes."""
    return private.with_suffix(PUBLIC_SUFFIX)


def make_key(private: Path, passphrase: str | None, comment: str) -> PublicKey:
    """A new key in two new files, the private one encrypted if there is a passphrase.

    Raises Conflict when one of the files exists, Problem when one cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = public_file(private)
    for path in (private, public):
        if path.exists() or path.is_symlink():
            raise Conflict(f"{path} is there already and is not overwritten: choose another --out.")
    key = Ed25519PrivateKey.generate()
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    made = PublicKey(raw=key.public_key().public_bytes_raw())
    write_new(private, pem, SECRET_MODE)
    try:
        write_new(public, f"{build_public_key(made, comment)}\n".encode(), PUBLIC_MODE)
    except Problem:
        private.unlink(missing_ok=True)
        raise
    return made


def read_private_key(file: Path, passphrase: Callable[[], str]) -> PrivateKey:
    """The key in a file; ``passphrase`` is asked only when it is encrypted. Raises BadKey."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        content, mode = _bounded(file), file.stat().st_mode
    except OSError as error:
        raise BadKey(f"{file} cannot be read: {error.strerror}.") from error
    if b"PRIVATE KEY" not in content:
        raise BadKey(f"{file} is no private key. `outfitter software keygen` makes keys.")
    if mode & OTHERS:
        raise BadKey(f"{file} may be read by others; run: chmod 600 {file}")
    secret = passphrase().encode() if b"ENCRYPTED" in content else None
    try:
        key = load_pem_private_key(content, secret)
    except (ValueError, TypeError) as error:
        raise BadKey(
            f"{file} is no private key, or the passphrase is wrong. `outfitter software keygen` makes keys."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKey(f"{file} holds a key of another sort: signatures are made with Ed25519.")
    return PrivateKey(public=PublicKey(raw=key.public_key().public_bytes_raw()), sign=key.sign)


def read_public_keys(places: Iterable[Path]) -> tuple[PublicKey, ...]:
    """The keys in files, and in the ``*.pub`` files of folders; raises BadKey when a file holds none."""
    found: list[PublicKey] = []
    for place in places:
        files = sorted(place.glob(f"*{PUBLIC_SUFFIX}")) if place.is_dir() else [place]
        if not files:
            raise BadKey(f"{place} has no file *{PUBLIC_SUFFIX}.")
        for file in files:
            found += _read_public(file)
    return tuple(found)


def is_valid(key: PublicKey, signature: Signature, message: bytes) -> bool:
    """Whether the key has made the signature of the bytes."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key.raw).verify(signature.value, message)
    except InvalidSignature:
        return False
    return True


def write_new(file: Path, content: bytes, mode: int) -> None:
    """A file that was not there before, on disk; raises Problem."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError as error:
        raise Conflict(f"{file} is there already and is not overwritten.") from error
    except OSError as error:
        raise Problem(f"{file} cannot be written: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        file.unlink(missing_ok=True)
        raise Problem(f"{file} cannot be written: {error.strerror}.") from error


def _read_public(file: Path) -> tuple[PublicKey, ...]:
    try:
        keys = parse_public_keys(_bounded(file).decode())
    except OSError as error:
        raise BadKey(f"{file} cannot be read: {error.strerror}.") from error
    except (SignedError, UnicodeDecodeError) as error:
        raise BadKey(f"{file} is no file of public keys: {error}.") from error
    if not keys:
        raise BadKey(f"{file} holds no public key.")
    return keys


def _bounded(file: Path) -> bytes:
    with file.open("rb") as opened:
        content = opened.read(KEY_FILE_BYTES_MAX + 1)
    if len(content) > KEY_FILE_BYTES_MAX:
        raise BadKey(f"{file} is too large for a key.")
    return content
