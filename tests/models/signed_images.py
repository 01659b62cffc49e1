"""Keys, signed statements and images for tests of trust: made by the contract's rules, and with a library of their own."""

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from outfitter_contract.signed import PublicKey, Signature, Signed, build_public_key, build_signed
from outfitter_contract.statements import (
    IMAGE_KIND,
    KEYS_KIND,
    ImageStatement,
    KeysStatement,
    image_payload,
    keys_payload,
)

RUNS = """import os, pathlib, sys, time
state = pathlib.Path(os.environ["OUTFITTER_AGENT_STATE"])
with (state / "starts").open("a") as file:
    file.write(f"{os.environ['OUTFITTER_SOFTWARE_VERSION']} {os.getpid()}\\n")
while True:
    time.sleep(60)
"""


class Signer:
    """A key pair."""

    def __init__(self):
        self._key = Ed25519PrivateKey.generate()
        self.public = PublicKey(raw=self._key.public_key().public_bytes_raw())
        self.key_id = self.public.key_id
        self.line = build_public_key(self.public) + "\n"

    def signature(self, kind, payload, key_id=None):
        return Signature(key_id=key_id or self.key_id, value=self._key.sign(f"{kind}\n".encode() + payload))

    def signs(self, kind, payload, key_id=None):
        """The signed text; ``key_id``: under a false name."""
        return build_signed(
            Signed(kind=kind, payload=payload, signatures=(self.signature(kind, payload, key_id),))
        )

    def image(self, content, **told):
        """A signed text for an image file."""
        return self.signs(IMAGE_KIND, image_payload(statement(content, **told)))

    def keys(self, counter, add=(), revoke=(), minimums=None):
        """A signed text about keys."""
        made = KeysStatement(
            counter=counter,
            add=tuple(each.public for each in add),
            revoke=tuple(each.key_id for each in revoke),
            minimums=minimums or {},
        )
        return self.signs(KEYS_KIND, keys_payload(made))


def statement(content, version="2.0.0", name="pump", device_types=("p1",), minimum=None, **changes):
    made = ImageStatement(
        name=name,
        version=version,
        device_types=tuple(device_types),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        minimum=minimum,
    )
    return replace(made, **changes)


def image(version="2.0.0", *more, name="pump", device_types=("p1",), program=RUNS):
    """The bytes of an image; ``more``: members beside the two that it needs, as (TarInfo, content)."""
    manifest = {
        "name": name,
        "version": version,
        "device_types": list(device_types),
        "start": ["python3", "main.py"],
    }
    members = [member("outfitter.json", json.dumps(manifest)), member("main.py", program), *more]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), 1, mtime=0)


def member(name, content="x", kind=tarfile.REGTYPE, **more):
    """One member of an archive; ``more``: attributes of its TarInfo."""
    content = content.encode() if isinstance(content, str) else content
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(content) if kind == tarfile.REGTYPE else 0
    info.mode = 0o644
    for attribute, value in more.items():
        setattr(info, attribute, value)
    return info, content if kind == tarfile.REGTYPE else b""
