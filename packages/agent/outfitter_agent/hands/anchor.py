"""The trust anchor: public keys from the settings, what was learnt since, and the verification of signatures.

The keys are read whenever they are asked for: one that cannot be read fails the job, never the agent, because the
software that runs would go with it. What was learnt is one file, replaced whole; when it cannot be read back, nothing is
trusted until a person has looked at it, since revoked keys and minimum versions would be forgotten otherwise.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from outfitter_contract.signed import (
    PublicKey,
    Signed,
    SignedError,
    build_public_key,
    parse_key_id,
    parse_public_key,
    parse_public_keys,
    parse_signed,
)
from outfitter_contract.statements import IMAGE_KIND, KEYS_KIND, parse_image_statement, parse_keys_statement

from outfitter_agent.hands.durable import write_durably
from outfitter_agent.plans import effects
from outfitter_agent.plans.effects import Effect, KeysChanged, Vouched
from outfitter_agent.plans.keys import Trust, keys_that_count, with_minimum, with_statement
from outfitter_agent.plans.troubles import Refusal, Trouble

FILE_NAME: Final = "trust.json"
FORMAT: Final = 1
KEY_FILES: Final = "*.pub"
KEY_FILES_MAX: Final = 64
KEY_FILE_BYTES_MAX: Final = 64 * 1024

log = logging.getLogger(__name__)


class Anchor:
    """What this device trusts."""

    def __init__(self, keys: Path | None, state: Path) -> None:
        """``keys``: a file of public keys, or a folder of such files (``*.pub``); None: images need no signature."""
        self._keys = keys
        self._path = state / FILE_NAME

    def perform(self, effect: Effect[Any]) -> Vouched | KeysChanged | None:
        """One of the effects about trust; raises Trouble, OSError."""
        match effect:
            case effects.VerifyImage():
                return self.verify_image(effect.signed)
            case effects.ChangeKeys():
                return self.change_keys(effect.signed)
            case effects.KeepMinimum():
                self.keep_minimum(effect.name, effect.minimum)
        return None

    def verify_image(self, text: str | None) -> Vouched:
        """What a key that counts says of an image; raises Trouble."""
        if text is None:
            raise Trouble(
                "the image is not signed; this device installs only what one of its trusted keys has signed"
            )
        trust = self.load()
        signed = _parsed(text, IMAGE_KIND)
        key_id = _verified(signed, keys_that_count(self.anchors(), trust), trust)
        try:
            statement = parse_image_statement(signed.payload)
        except SignedError as error:
            raise Trouble(f"the signed statement is not acceptable: {error}") from None
        log.info("key %s vouches for %s %s", key_id, statement.name, statement.version)
        return Vouched(statement=statement, key_id=key_id, minimum=trust.minimums.get(statement.name))

    def change_keys(self, text: str | None) -> KeysChanged:
        """Put a statement about keys in force; raises Trouble, Refusal."""
        if self._keys is None:
            raise Refusal("this device trusts no keys: 'trusted_keys' of its settings names none")
        if text is None:
            raise Trouble("the job document has no 'signed', which trust-update needs")
        trust, anchors = self.load(), self.anchors()
        signed = _parsed(text, KEYS_KIND)
        digest = hashlib.sha256(signed.payload).hexdigest()
        if digest != trust.digest:
            key_id = _verified(signed, keys_that_count(anchors, trust), trust)
            try:
                statement = parse_keys_statement(signed.payload)
            except SignedError as error:
                raise Trouble(f"the signed statement is not acceptable: {error}") from None
            trust = with_statement(trust, anchors, statement, digest)
            self._save(trust)
            log.info("key %s has changed what counts, counter %d", key_id, statement.counter)
        return KeysChanged(counter=trust.counter, key_ids=tuple(sorted(keys_that_count(anchors, trust))))

    def keep_minimum(self, name: str, minimum: str) -> None:
        """Refuse lower versions from now on; raises Trouble."""
        trust = self.load()
        changed = with_minimum(trust, name, minimum)
        if changed != trust:
            self._save(changed)
            log.info("from now on no %s below %s is installed", name, minimum)

    def anchors(self) -> tuple[PublicKey, ...]:
        """The keys of the settings; raises Trouble when there are none or one cannot be read."""
        if self._keys is None:
            return ()
        try:
            files = sorted(self._keys.glob(KEY_FILES)) if self._keys.is_dir() else [self._keys]
            found = [key for file in files[:KEY_FILES_MAX] for key in _read_keys(file)]
        except OSError as error:
            raise Trouble(f"the trusted keys cannot be read: {error.filename}: {error.strerror}") from None
        if not found:
            raise Trouble(f"there are no trusted keys in {self._keys}: nothing can be verified")
        return tuple(found)

    def load(self) -> Trust:
        """What was learnt; raises Trouble when it cannot be read back."""
        try:
            return decode(self._path.read_bytes())
        except FileNotFoundError:
            return Trust()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise Trouble(
                f"{self._path}, which holds revoked keys and minimum versions, cannot be read; nothing is trusted"
            ) from None

    def _save(self, trust: Trust) -> None:
        write_durably(self._path, encode(trust))


def encode(trust: Trust) -> bytes:
    """The bytes of the file."""
    members = {
        "format": FORMAT,
        "counter": trust.counter,
        "digest": trust.digest,
        "added": [build_public_key(key) for key in trust.added],
        "revoked": sorted(trust.revoked),
        "minimums": dict(trust.minimums),
    }
    return json.dumps(members, indent=1).encode()


def decode(content: bytes) -> Trust:
    """What the bytes of the file say; raises ValueError, KeyError, TypeError or AttributeError."""
    members = json.loads(content)
    if members["format"] != FORMAT:
        raise ValueError(f"the file is not of format {FORMAT}")
    return Trust(
        counter=int(members["counter"]),
        digest=str(members["digest"]),
        added=tuple(parse_public_key(line) for line in members["added"]),
        revoked=frozenset(parse_key_id(each) for each in members["revoked"]),
        minimums={str(name): str(version) for name, version in members["minimums"].items()},
    )


def _read_keys(file: Path) -> Iterable[PublicKey]:
    with file.open("rb") as opened:
        content = opened.read(KEY_FILE_BYTES_MAX + 1)
    try:
        if len(content) > KEY_FILE_BYTES_MAX:
            raise SignedError(f"it is larger than {KEY_FILE_BYTES_MAX} bytes")
        return parse_public_keys(content.decode())
    except ValueError as error:
        raise Trouble(f"{file} is no file of trusted keys: {error}") from None


def _parsed(text: str, kind: str) -> Signed:
    try:
        return parse_signed(text, kind)
    except SignedError as error:
        raise Trouble(f"the signature is not acceptable: {error}") from None


def _verified(signed: Signed, keys: Mapping[str, PublicKey], trust: Trust) -> str:
    """The id of a key that counts and has signed; raises Trouble when there is none.

    The library is loaded here: a device without trusted keys never needs it.
    """
    from nacl.exceptions import BadSignatureError
    from nacl.signing import VerifyKey

    wrong = []
    for each in signed.signatures:
        key = keys.get(each.key_id)
        if key is None:
            continue
        try:
            VerifyKey(key.raw).verify(signed.message, each.value)
        except (BadSignatureError, ValueError):
            wrong.append(each.key_id)
        else:
            return each.key_id
    if wrong:
        raise Trouble(f"the signature of key {', '.join(wrong)} is wrong: what it covers was changed")
    named = ", ".join(
        f"{each.key_id}{' (revoked)' if each.key_id in trust.revoked else ''}" for each in signed.signatures
    )
    raise Trouble(f"it is signed by no key that counts here; it names {named}")
