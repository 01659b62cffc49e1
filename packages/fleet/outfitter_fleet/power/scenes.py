"""What the power is cut in: each scene with the disk and the jobs that it begins with, and how it must end, cut or not."""

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from outfitter_agent.hands.base import Base
from outfitter_contract.execution import Status
from outfitter_contract.image import Manifest, build_manifest

from outfitter_fleet.power.deltas import delta_between
from outfitter_fleet.power.disk import Disk
from outfitter_fleet.power.lives import REFUSED, World, live
from outfitter_fleet.power.service import JOB, Service
from outfitter_fleet.power.signatures import key_file, public_key, signed_image, signed_keys

OLD: Final = b'{"lamp": "old"}'
NEW: Final = b'{"lamp": "new"}'
BAD: Final = b'{"lamp": ' + REFUSED + b"}"
URL: Final = "https://store.example/"
PAYLOAD_BYTES: Final = 40_000
"""Does not compress, so that an image is fetched in a few blocks."""


def files_of(version: str) -> dict[str, bytes]:
    """What an image of that version holds, by path."""
    manifest = Manifest(name="pump", version=version, device_types=("p1",), start=("./run",))
    return {
        "outfitter.json": build_manifest(manifest),
        "run": f"#!/bin/sh\nexec pump {version}\n".encode(),
        "lib/pump/data.bin": random.Random(version).randbytes(PAYLOAD_BYTES),
    }


@cache
def image_of(version: str) -> bytes:
    """The image, the same bytes at each call."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as tar,
    ):
        for name, content in files_of(version).items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755 if name == "run" else 0o644
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One job, and how the device is in its end."""

    title: str
    document: dict[str, object]
    ends: Status
    software: str | None = "1.0.0"
    """The version that ran before; None: there was none."""
    runs: str | None = "1.0.0"
    """The version that runs in the end."""
    configuration: bytes | None = OLD
    holds: bytes | None = OLD
    """The configuration in the end."""
    objects: dict[str, bytes] = field(default_factory=dict)
    reboot: str = "restart"
    learns: dict[str, object] | None = None
    """What the device remembers of keys and versions in the end; None: it trusts no keys."""
    may_be_interrupted: bool = False
    """Whether it may also end FAILED, when the power goes while something runs that cannot be done twice."""
    faulted: bool = False
    """Whether each of its steps is also made to fail."""
    may_have_learnt: bool = False
    """Whether what it was to learn may be there or not."""
    live: Callable[[Disk, World, Callable[[str], None]], int] = live

    def begin(self, disk: Disk) -> World:
        """Lay the disk out and queue the job; the world of the first life."""
        world = World(service=Service(), reboot=self.reboot, trusted_keys=self.learns is not None)
        for version in ("1.0.0", "2.0.0", "3.0.0"):
            world.service.objects[f"{version}.tar.gz"] = image_of(version)
        content, name = _delta("1.0.0", "2.0.0")
        world.service.objects[name] = content
        world.service.objects |= self.objects
        if self.configuration is not None:
            folder = disk.root / "etc"
            folder.mkdir()
            (folder / "configuration.json").write_bytes(self.configuration)
            if self.learns is not None:
                (folder / "release.pub").write_bytes(key_file())
            world.told = self.configuration
        if self.software is not None:
            before = install(self.software)
            world.service.queue("before", before if self.learns is None else signed(before))
            self.live(disk, world, lambda _: None)
            world = world.copy()
            world.acts, world.service.ends = [], []
        disk.settle()
        world.service.queue(JOB, self.document)
        return world

    def wrong(self, disk: Disk, world: World) -> list[str]:
        """What is not as it must be; empty when all is well."""
        found = []
        execution = world.service.executions[JOB]
        told = execution.details or {}
        interrupted = self.may_be_interrupted and told.get("reason", "").startswith("interrupted in step")
        ends = Status.FAILED if interrupted else self.ends
        if world.service.ends != [f"{JOB} {ends}"]:
            found.append(f"ends {world.service.ends} instead of one {ends}")
        found += [] if interrupted else self._wrong_details(told)
        found += [
            f"{act} {times} times"
            for act, times in Counter(world.acts).items()
            if times > 1 and act.startswith("step")
        ]
        found += self._wrong_software(disk.root, world)
        found += self._wrong_configuration(disk.root, world)
        found += self._wrong_trust(disk.root)
        found += _left_over(disk.root)
        return found

    def _wrong_details(self, told: dict[str, str]) -> list[str]:
        if self.ends is Status.FAILED:
            return [] if told.get("reason") else ["a failure without a reason"]
        if "sha256" in self.document:
            return _unless(told.get("sha256") == self.document["sha256"], f"proves {told.get('sha256')}")
        return _unless(told.get("step") == "done", f"step {told.get('step')}")

    def _wrong_software(self, root: Path, world: World) -> list[str]:
        running = world.running
        version = running.installed.version if running else None
        if version != self.runs:
            return [f"{version} runs instead of {self.runs}"]
        if running is None:
            return _unless(not (root / "software/current").exists(), "a slot is current, nothing runs")
        folder = running.folder
        current = (root / "software/current").resolve()
        found = {
            str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }
        with Base(root / f"software/{current.name}.frame", current) as base:
            content = base.read(0, base.length)
        return [
            *_unless(content == gzip.decompress(image_of(version or "")), "what runs is no base for a delta"),
            *_unless(not world.on_trial, "still on trial"),
            *_unless(current == folder, f"current is {current.name}, {folder.name} runs"),
            *_unless(found == files_of(version or ""), "the slot that runs is not whole"),
        ]

    def _wrong_trust(self, root: Path) -> list[str]:
        if self.may_have_learnt:
            return []
        path = root / "state/trust.json"
        learnt = json.loads(path.read_bytes()) if path.exists() else {}
        wanted = self.learns or {}
        return _unless(
            wanted == {name: learnt.get(name) for name in wanted} and bool(learnt) == bool(wanted),
            f"has learnt {learnt}",
        )

    def _wrong_configuration(self, root: Path, world: World) -> list[str]:
        path = root / "etc/configuration.json"
        content = path.read_bytes() if path.exists() else None
        return [
            *_unless(content == self.holds, f"the configuration is {content!r}"),
            *_unless(world.told == content, f"the services were told {world.told!r}"),
        ]


def signed(document: dict[str, object], minimum: str | None = None) -> dict[str, object]:
    """An install document with the owner's signature of its image."""
    version = str(document["version"])
    return {**document, "signed": signed_image(image_of(version), version, minimum)}


def install(version: str, **more: object) -> dict[str, object]:
    """An install document as the update application writes it."""
    digest = hashlib.sha256(image_of(version)).hexdigest()
    return {
        "operation": "install",
        "url": f"{URL}{version}.tar.gz?signed",
        "version": version,
        "sha256": digest,
        **more,
    }


def by_delta(base: str, version: str, **more: object) -> dict[str, object]:
    """An install document with a delta for those that run the version ``base``."""
    content, name = _delta(base, version)
    delta = {
        "base": hashlib.sha256(image_of(base)).hexdigest(),
        "url": f"{URL}{name}?signed",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }
    return install(version, deltas=[delta], **more)


@cache
def _delta(base: str, version: str) -> tuple[bytes, str]:
    return delta_between(image_of(base), image_of(version)), f"{base}-{version}.delta"


def configure(content: bytes, **more: object) -> dict[str, object]:
    """A config-download document."""
    digest = hashlib.sha256(content).hexdigest()
    return {"operation": "config-download", "url": f"{URL}new.json?signed", "sha256": digest, **more}


def steps_document() -> dict[str, object]:
    """A document of AWS's device client."""
    actions = [
        {"name": "first", "type": "runCommand", "input": {"command": "touch,/first"}},
        {"name": "reboot", "type": "runHandler", "input": {"handler": "reboot.sh"}},
        {"name": "second", "type": "runCommand", "input": {"command": "touch,/second"}},
    ]
    return {"version": "1.0", "steps": [{"action": action} for action in actions]}


def _without_digest(document: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in document.items() if name != "sha256"}


def _unless(fine: bool, what: str) -> list[str]:
    return [] if fine else [what]


def _left_over(root: Path) -> list[str]:
    journal = json.loads((root / "state/journal.json").read_bytes())
    parts = [path.name for path in (root / "state").rglob("*.part")]
    return [
        *_unless(
            not any(journal[name] for name in ("update", "change", "steps", "final")),
            "the journal is not closed",
        ),
        *_unless(not parts, f"left over: {parts}"),
    ]


SCENES: Final = (
    Scene(
        title="install: a newer version",
        document=install("2.0.0"),
        ends=Status.SUCCEEDED,
        runs="2.0.0",
        faulted=True,
    ),
    Scene(
        title="install: the first software, without a digest in the document",
        document=_without_digest(install("2.0.0")),
        ends=Status.SUCCEEDED,
        software=None,
        runs="2.0.0",
    ),
    Scene(
        title="install: a newer version, the machine reboots",
        document=install("2.0.0"),
        ends=Status.SUCCEEDED,
        runs="2.0.0",
        reboot="systemd",
    ),
    Scene(
        title="rollback: the newer version does not run, the machine reboots",
        document=install("3.0.0"),
        ends=Status.FAILED,
        reboot="systemd",
        faulted=True,
    ),
    Scene(title="rollback: the newer version does not run", document=install("3.0.0"), ends=Status.FAILED),
    Scene(
        title="rollback: the first software does not run",
        document=install("3.0.0"),
        ends=Status.FAILED,
        faulted=True,
        software=None,
        runs=None,
    ),
    Scene(
        title="install: signed, with a minimum version",
        document=signed(install("2.0.0"), minimum="1.5.0"),
        ends=Status.SUCCEEDED,
        runs="2.0.0",
        faulted=True,
        learns={"minimums": {"pump": "1.5.0"}},
    ),
    Scene(
        title="install: a newer version, made with a delta",
        document=by_delta("1.0.0", "2.0.0", delta_policy="fail"),
        ends=Status.SUCCEEDED,
        runs="2.0.0",
    ),
    Scene(
        title="install: a newer version, with a delta for another base",
        document=by_delta("3.0.0", "2.0.0"),
        ends=Status.SUCCEEDED,
        runs="2.0.0",
    ),
    Scene(
        title="trust: another key, and the first one revoked",
        document={
            "operation": "trust-update",
            "signed": signed_keys(7, add=["next"], revoke=["release"]),
        },
        ends=Status.SUCCEEDED,
        learns={"counter": 7, "revoked": [public_key("release").key_id]},
    ),
    Scene(
        title="configuration: a new one",
        document=configure(NEW),
        ends=Status.SUCCEEDED,
        faulted=True,
        objects={"new.json": NEW},
        holds=NEW,
    ),
    Scene(
        title="configuration: the services refuse it",
        document=configure(BAD),
        ends=Status.FAILED,
        faulted=True,
        objects={"new.json": BAD},
    ),
    Scene(
        title="configuration: the services refuse the first one",
        document=configure(BAD),
        ends=Status.FAILED,
        faulted=True,
        software=None,
        runs=None,
        configuration=None,
        holds=None,
        objects={"new.json": BAD},
    ),
    Scene(
        title="steps: a command, a reboot, another command",
        document=steps_document(),
        ends=Status.SUCCEEDED,
        reboot="systemd",
        may_be_interrupted=True,
        faulted=True,
    ),
    Scene(
        title="configuration: sent to the store",
        document={"operation": "config-upload", "url": f"{URL}sent.json?signed"},
        ends=Status.SUCCEEDED,
    ),
)
