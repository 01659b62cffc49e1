"""Attacks on updates: who owns network, store and server, but no key, tries each on a real agent that trusts keys.

Each attack is a job on a real server. The software that runs must not notice any of them; the table is
docs/reference/update-attacks.md, and has a row for each.
"""

import contextlib
import gzip
import hashlib
import io
import itertools
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from outfitter_contract.delta import Window, build_head, build_window, read_head
from outfitter_contract.signed import Signed, build_signed, parse_signed
from outfitter_contract.statements import IMAGE_KIND, KEYS_KIND, image_payload
from outfitter_fleet.power.deltas import delta_between
from signed_images import RUNS, Signer, image, member, statement

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TABLE = Path(__file__).parents[2] / "docs" / "reference" / "update-attacks.md"
IMAGE_BYTES_MAX = 4_000_000
SETTINGS = f"""
trusted_keys = "keys"
image_bytes_max = {IMAGE_BYTES_MAX}
download_attempts_max = 3
download_seconds_max = 3
"""


class Store:
    """Serves what the attacker has put under a path: bytes, or a function that writes the answer."""

    def __init__(self):
        self.objects = {}
        self.closing = threading.Event()
        store = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                found = store.objects[self.path]
                with contextlib.suppress(ConnectionError):
                    found(self) if callable(found) else store.plain(self, found, len(found))

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    @staticmethod
    def plain(handler, content, length):
        """The content under a Content-Length that may be a lie."""
        handler.send_response(200)
        handler.send_header("ETag", '"fixed"')
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(content)

    def put(self, content):
        path = f"/{len(self.objects)}"
        self.objects[path] = content
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def close(self):
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Ground:
    """A device whose agent trusts keys, with proven software on it, and the attacker's store."""

    def __init__(self, server, folder):
        self.tools = sys.modules[type(server).__module__]
        self.server, self.folder = server, folder
        self.release, self.second, self.revoked, self.stranger = Signer(), Signer(), Signer(), Signer()
        self._numbers = itertools.count(1)
        self.device = self.tools.AgentDevice(
            server, folder / "device", f"target-{os.getpid()}", "--type", "p1", settings=SETTINGS
        )
        keys = self.device.folder / "keys"
        keys.mkdir()
        (keys / "release.pub").write_text(self.release.line)
        (keys / "revoked.pub").write_text(self.revoked.line)
        self.store = Store()
        self.device.start()

    @property
    def state(self):
        return self.device.folder / "state"

    def job(self, **document):
        """A job of the attacker's, or of the owner's: its status and details at the end."""
        iot = self.server.client("iot")
        job_id = f"{self.device.name}-{next(self._numbers)}"
        iot.create_job(
            jobId=job_id,
            targets=[iot.describe_thing(thingName=self.device.name)["thingArn"]],
            document=json.dumps({"operation": "install"} | document),
        )
        return self.device.ends(job_id)

    def seen(self):
        """All that an attack must leave alone."""
        software = self.device.folder / "software"
        slot = (software / "current").readlink()
        files = sorted((software / slot).rglob("*"))
        return {
            "slot": str(slot),
            "record": (software / f"{slot}.json").read_bytes(),
            "files": [
                (str(path), path.stat().st_mode, path.is_file() and path.read_bytes()) for path in files
            ],
            "starts": (self.state / "starts").read_text(),
            "trust": (self.state / "trust.json").read_bytes(),
            "beside": sorted(path.name for path in self.device.folder.iterdir() if path.name != "log"),
        }

    def close(self):
        code = self.device.stop()
        self.store.close()
        assert code == 0, self.device.log()


@pytest.fixture(scope="module")
def ground(server, tmp_path_factory):
    """Runs 2.0.0, whose minimum is 1.5.0; has learnt one more key, and that another one is revoked."""
    made = Ground(server, tmp_path_factory.mktemp("attacked"))
    try:
        for version, minimum in (("1.0.0", None), ("2.0.0", "1.5.0")):
            content = image(version)
            signed = made.release.image(content, version=version, minimum=minimum)
            assert made.job(url=made.store.put(content), signed=signed)[0] == "SUCCEEDED"
        signed = made.release.keys(10, add=[made.second], revoke=[made.revoked])
        status, told = made.job(operation="trust-update", signed=signed)
        assert status == "SUCCEEDED"
        assert told["keys"].split() == sorted([made.release.key_id, made.second.key_id])
        yield made
    finally:
        made.close()


@dataclass(frozen=True, kw_only=True)
class Attack:
    """What is sent to the device, and what its reason for refusing it must say."""

    document: object
    """A function of the ground."""
    reason: str


def sent(content, signed=None, **more):
    """A document for an image that lies in the store."""
    return lambda ground: (
        {
            "url": ground.store.put(content),
            "signed": signed(ground) if callable(signed) else signed,
        }
        | more
    )


def from_signer(version, *more, **document):
    """An image that a trusted key has signed: by mistake, or in the hands of who has stolen it."""
    content = image(version, *more)
    return sent(content, lambda ground: ground.release.image(content, version=version), **document)


def changed_payload(ground):
    """The signature of one statement beside another one."""
    signed = parse_signed(ground.release.image(NEW, version="3.0.0"), IMAGE_KIND)
    other = image_payload(statement(NEWER, version="3.1.0"))
    return build_signed(Signed(kind=signed.kind, payload=other, signatures=signed.signatures))


def one_bit_off(ground):
    """A signature with its last byte changed."""
    signed = parse_signed(ground.release.image(NEW, version="3.0.0"), IMAGE_KIND)
    value = signed.signatures[0].value
    wrong = type(signed.signatures[0])(
        key_id=ground.release.key_id, value=value[:-1] + bytes([value[-1] ^ 1])
    )
    return build_signed(Signed(kind=signed.kind, payload=signed.payload, signatures=(wrong,)))


def answering(answer, **more):
    """A store that answers for the new image as it pleases."""

    def document(ground):
        signed = ground.release.image(NEW, version="3.0.0")
        return {"url": ground.store.put(lambda handler: answer(ground, handler)), "signed": signed} | more

    return document


def endless(ground, handler):
    handler.send_response(200)
    handler.end_headers()
    while not ground.store.closing.is_set():
        handler.wfile.write(bytes(65536))


def slow(ground, handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(NEW)))
    handler.end_headers()
    for byte in NEW:
        handler.wfile.write(bytes([byte]))
        if ground.store.closing.wait(0.05):
            return


def by_delta(content, **head):
    """A job for the owner's new image, and a delta of the attacker's that says, mostly, that it makes it."""

    def document(ground):
        said = read_head(io.BytesIO(delta_between(RUNNING, NEW)))
        told = {name: getattr(said, name) for name in type(said).__dataclass_fields__} | head
        delta = build_head(type(said)(**told)) + content()
        return {
            "url": ground.store.put(NEW),
            "signed": ground.release.image(NEW, version="3.0.0"),
            "sha256": hashlib.sha256(NEW).hexdigest(),
            "deltas": [
                {
                    "base": hashlib.sha256(RUNNING).hexdigest(),
                    "url": ground.store.put(delta),
                    "sha256": hashlib.sha256(delta).hexdigest(),
                    "size": len(delta),
                }
            ],
            "delta_policy": "fail",
        }

    return document


def expanding():
    """A window of some kilobytes that expands to gigabytes."""
    packer = zstd.ZstdCompressor()
    block = bytes(1 << 20)
    packed = b"".join(packer.compress(block) for _ in range(2048)) + packer.flush()
    return build_window(Window(base_offset=0, base_length=0, length=10_000, packed=packed))


def another_content():
    content = gzip.decompress(NEW).replace(b"sleep(60)", b"sleep(61)")
    return build_window(
        Window(base_offset=0, base_length=0, length=len(content), packed=zstd.compress(content))
    )


def about_keys(signed):
    return lambda ground: {"operation": "trust-update", "signed": signed(ground)}


def bomb():
    return member("zeros", bytes(8 * IMAGE_BYTES_MAX))


def claim():
    """An archive whose header says that a name of three gigabytes follows."""
    header = tarfile.TarInfo("header")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 3 << 30
    return gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024), mtime=0)


RUNNING = image("2.0.0")
NEW, NEWER = image("3.0.0"), image("3.1.0")
BODY = image("3.0.0", program=RUNS.replace("sleep(60)", "sleep(61)"))
OLD = image("1.4.0")
BAD_MEMBERS = {
    "a path out of the folder": member("a/../../../escaped"),
    "an absolute path": member("/tmp/outfitter-escaped"),
    "a symbolic link": member("link", kind=tarfile.SYMTYPE, linkname="/etc"),
    "a hard link": member("link", kind=tarfile.LNKTYPE, linkname="outfitter.json"),
    "a device node": member("null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "a block device": member("disk", kind=tarfile.BLKTYPE, devmajor=8),
    "a pipe": member("pipe", kind=tarfile.FIFOTYPE),
    "the same name twice": member("main.py", "other"),
    "a second outfitter.json": member("./outfitter.json", "{}"),
    "a file that is also a folder": member("main.py/inside"),
    "a path with a very long part": member("x" * 300),
    "a path that is very deep": member("/".join("d" * 40)),
    "a sparse file": member(
        "sparse", pax_headers={"GNU.sparse.size": str(1 << 40), "GNU.sparse.map": f"{(1 << 40) - 1},1"}
    ),
    "a decompression bomb": bomb(),
}
REASONS = {
    "a path out of the folder": "leads out of its folder",
    "an absolute path": "is an absolute path",
    "the same name twice": "is in it twice",
    "a second outfitter.json": "is in it twice",
    "a file that is also a folder": "unpacking failed",
    "a path with a very long part": "too long or too deep",
    "a path that is very deep": "too long or too deep",
    "a sparse file": "is a sparse file",
    "a decompression bomb": f"larger than {IMAGE_BYTES_MAX} bytes",
}

ATTACKS = {
    # the signature
    "an unsigned image": Attack(document=sent(NEW), reason="the image is not signed"),
    "what is no signature": Attack(document=sent(NEW, "trust me"), reason="the signature is not acceptable"),
    "a key that nobody knows": Attack(
        document=sent(NEW, lambda ground: ground.stranger.image(NEW, version="3.0.0")),
        reason="signed by no key that counts here",
    ),
    "an unknown key under a known key's id": Attack(
        document=sent(
            NEW,
            lambda ground: ground.stranger.signs(
                IMAGE_KIND, image_payload(statement(NEW, version="3.0.0")), ground.release.key_id
            ),
        ),
        reason="the signature of key [0-9a-f]{16} is wrong",
    ),
    "a revoked key": Attack(
        document=sent(NEW, lambda ground: ground.revoked.image(NEW, version="3.0.0")),
        reason=r"\(revoked\)",
    ),
    "a changed signature": Attack(document=sent(NEW, one_bit_off), reason="the signature of key .* is wrong"),
    "the signature of another version": Attack(
        document=sent(NEWER, changed_payload), reason="the signature of key .* is wrong"
    ),
    "a statement about keys as one of an image": Attack(
        document=sent(NEW, lambda ground: ground.release.keys(99).replace(KEYS_KIND, IMAGE_KIND)),
        reason="the signature of key .* is wrong",
    ),
    # mix and match
    "the manifest of one image, the body of another": Attack(
        document=sent(BODY, lambda ground: ground.release.image(NEW, version="3.0.0")),
        reason="the image is corrupt",
    ),
    "another file of the same length": Attack(
        document=sent(
            NEW[:-9] + bytes([NEW[-9] ^ 1]) + NEW[-8:],
            lambda ground: ground.release.image(NEW, version="3.0.0"),
        ),
        reason="its SHA-256 is .* instead of",
    ),
    "a job that names another digest": Attack(
        document=sent(
            BODY,
            lambda ground: ground.release.image(NEW, version="3.0.0"),
            sha256=hashlib.sha256(BODY).hexdigest(),
        ),
        reason="the signature is for another image: its sha256",
    ),
    "a job that names another version": Attack(
        document=sent(NEW, lambda ground: ground.release.image(NEW, version="3.0.0"), version="3.0.1"),
        reason="the signature is for another image: its version",
    ),
    "the signature for another device type": Attack(
        document=sent(NEW, lambda ground: ground.release.image(NEW, version="3.0.0", device_types=("p2",))),
        reason="the signature is for device types p2; this device is a p1",
    ),
    "an image for more device types than were signed": Attack(
        document=sent(
            WIDE := image("3.0.0", device_types=("p1", "p2")),
            lambda ground: ground.release.image(WIDE, version="3.0.0"),
        ),
        reason="the signature is for another image",
    ),
    # replay and downgrade
    "an old image, played back": Attack(
        document=from_signer("1.9.0"), reason="1.9.0 is not newer than 2.0.0"
    ),
    "another image of the version that runs": Attack(
        document=sent(
            TWIN := image("2.0.0", member("more")),
            lambda ground: ground.release.image(TWIN, version="2.0.0"),
        ),
        reason="another image of the same version",
    ),
    "an old image, forced, below the minimum": Attack(
        document=from_signer("1.4.0", forced=True), reason="below 1.5.0, the lowest of pump"
    ),
    "a pre-release of the minimum, forced": Attack(
        document=from_signer("1.5.0-rc.1", forced=True), reason="below 1.5.0, the lowest of pump"
    ),
    # what the store sends
    "endless data": Attack(document=answering(endless), reason="bytes or more instead of"),
    "a length without end": Attack(
        document=answering(lambda _, handler: Store.plain(handler, b"x", 1 << 60)),
        reason="larger than this device",
    ),
    "slow data": Attack(document=answering(slow), reason="was not complete after 3 seconds"),
    "an image cut short": Attack(
        document=answering(lambda _, handler: Store.plain(handler, NEW[:200], 200)),
        reason="it has 200 bytes instead",
    ),
    "a connection that always breaks": Attack(
        document=answering(lambda _, handler: Store.plain(handler, b"", len(NEW))),
        reason="gave up after 3 attempts",
    ),
    "a delta that expands endlessly": Attack(
        document=by_delta(expanding), reason="a window of it does not give the 10000 bytes that it says"
    ),
    "a delta that says that it makes gigabytes": Attack(
        document=by_delta(expanding, content_size=1 << 40), reason="larger than this device takes"
    ),
    "a delta that makes another image": Attack(
        document=by_delta(another_content), reason="what the delta makes here is not the image"
    ),
    "a file of this device": Attack(
        document=lambda ground: {
            "url": "file:///etc/passwd",
            "signed": ground.release.image(NEW, version="3.0.0"),
        },
        reason="neither https nor http",
    ),
    # the archive, as if the signer had been fooled
    **{
        f"in the archive, {name}": Attack(
            document=from_signer("4.0.0", bad), reason=REASONS.get(name, "neither a file nor a folder")
        )
        for name, bad in BAD_MEMBERS.items()
    },
    "in the archive, a header that claims gigabytes": Attack(
        document=sent(
            CLAIM := claim(),
            lambda ground: ground.release.image(CLAIM, version="4.0.0"),
        ),
        reason="a header claims 3221225472 bytes",
    ),
    # the keys
    "an old statement about keys, played back": Attack(
        document=about_keys(lambda ground: ground.release.keys(9, minimums={"pump": "1.0"})),
        reason="its counter is 9, that of the one in force 10",
    ),
    "another statement with the same counter": Attack(
        document=about_keys(lambda ground: ground.release.keys(10, add=[ground.stranger])),
        reason="its counter is 10, that of the one in force 10",
    ),
    "new keys from an unknown key": Attack(
        document=about_keys(lambda ground: ground.stranger.keys(99, add=[ground.stranger])),
        reason="signed by no key that counts here",
    ),
    "a revoked key that takes itself back": Attack(
        document=about_keys(lambda ground: ground.revoked.keys(99, add=[ground.revoked])),
        reason=r"\(revoked\)",
    ),
    "all keys revoked": Attack(
        document=about_keys(lambda ground: ground.release.keys(99, revoke=[ground.release, ground.second])),
        reason="would leave no key that counts",
    ),
    "a statement of an image as one about keys": Attack(
        document=about_keys(lambda ground: ground.release.image(NEW, version="3.0.0")),
        reason="of the kind outfitter-image-1 instead of outfitter-keys-1",
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_refused(name, ground):
    attack = ATTACKS[name]
    before = ground.seen()
    status, told = ground.job(
        **{key: value for key, value in attack.document(ground).items() if value is not None}
    )
    assert (status, told["step"]) == ("FAILED", "refused"), told
    assert re.search(attack.reason, told["reason"]), told["reason"]
    assert ground.seen() == before
    os.kill(int(before["starts"].split()[-1]), 0)
    assert not Path("/tmp/outfitter-escaped").exists()


def test_what_is_signed_is_still_installed(ground):
    """After all of that, by a key that the device has learnt; and the bits that nobody may give are dropped."""
    content = image("5.0.0", member("tool", mode=0o6755, uid=0))
    signed = ground.second.image(content, version="5.0.0")
    status, told = ground.job(url=ground.store.put(content), signed=signed)
    assert (status, told.get("version")) == ("SUCCEEDED", "5.0.0"), told
    tool = ground.device.folder / "software" / told["slot"] / "tool"
    assert tool.stat().st_mode & 0o7777 == 0o755


def test_the_status_tells_what_is_trusted(ground):
    command = [
        ground.tools.BIN / "outfitter-agent",
        "status",
        "--json",
        "--config",
        ground.device.folder / "agent.toml",
    ]
    told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert told["trusted_keys"].split() == sorted([ground.release.key_id, ground.second.key_id])
    assert told["minimum_version"] == "1.5.0"


def test_the_document_has_a_row_for_each_attack():
    rows = re.findall(r"^\| ([^|]+?) \|", TABLE.read_text("utf-8"), re.MULTILINE)
    assert [row for row in rows if row not in ("attack", "---")] == list(ATTACKS)
