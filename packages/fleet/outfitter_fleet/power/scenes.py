"""What the power is cut in: each scene with the disk and the jobs that it begins with, and how it must end, cut or not."""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from outfitter_agent.hands.base import Base
from outfitter_contract.configuration import build_configuration, parse_configuration
from outfitter_contract.execution import Status

from outfitter_fleet.power.disk import Disk
from outfitter_fleet.power.documents import (
    BAD,
    BAD_FOR_A_HOOK,
    HOOKED,
    NEW,
    OLD,
    SICKENING,
    URL,
    by_delta,
    configure,
    delta_of,
    files_of,
    image_of,
    install,
    signed,
    steps_document,
    without_digest,
)
from outfitter_fleet.power.lives import World, live
from outfitter_fleet.power.service import JOB, SIGNATURE, Service
from outfitter_fleet.power.signatures import key_file, public_key, signed_keys


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
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the agent that only this scene has."""
    hooks: Mapping[str, bytes] = field(default_factory=dict)
    """The hooks of the configuration, and what each is told of it in the end."""
    url_expires: bool = False
    """Whether the URL expires in the middle of the download."""
    otherwise: "Scene | None" = None
    """How it is right as well, when the power went before an operator canceled the job."""

    def begin(self, disk: Disk) -> World:
        """Lay the disk out and queue the job; the world of the first life."""
        keys = {} if self.learns is None else {"trusted_keys": Path("etc/release.pub")}
        world = World(service=Service(), settings={"reboot": self.reboot, **keys, **self.settings})
        for version in ("1.0.0", "2.0.0", "3.0.0"):
            world.service.objects[f"{version}.tar.gz"] = image_of(version)
        content, name = delta_of("1.0.0", "2.0.0")
        world.service.objects[name] = content
        world.service.objects |= self.objects
        if self.configuration is not None:
            folder = disk.root / "etc"
            folder.mkdir()
            (folder / "configuration.json").write_bytes(self.configuration)
            if self.learns is not None:
                (folder / "release.pub").write_bytes(key_file())
            world.told = self.configuration
        for name in self.hooks:
            (disk.root / "etc/hooks").mkdir(exist_ok=True)
            (disk.root / "etc/hooks" / name).touch()
            world.hooked[name] = told_of(name, self.configuration)
        if self.software is not None:
            before = install(self.software)
            world.service.queue("before", before if self.learns is None else signed(before))
            self.live(disk, world, lambda _: None)
            world = world.copy()
            world.acts, world.service.ends = [], []
        disk.settle()
        world.service.queue(JOB, self.document)
        world.service.expires = self.url_expires
        return world

    @property
    def right(self) -> str:
        """How the device is in the end, for people."""
        software = f"version {self.runs} runs, whole" if self.runs else "no software runs"
        learnt = "" if self.learns is None else "; the device has learnt what was signed"
        hooks = "; so is what the hooks were told" if self.hooks else ""
        ends = f"{self.ends}, or FAILED as interrupted," if self.may_be_interrupted else f"{self.ends},"
        told = "not reported by the device" if self.ends is Status.CANCELED else "reported once"
        text = f"{ends} {told}; {software}; the configuration is {self._named()}{hooks}{learnt}"
        return (
            text if self.otherwise is None else f"{text}. Cut before it was canceled: {self.otherwise.right}"
        )

    def _named(self) -> str:
        if self.holds is None:
            return "none, as before"
        return "the one before" if self.holds == self.configuration else "the new one"

    def wrong(self, disk: Disk, world: World) -> list[str]:
        """What is not as it must be; empty when all is well."""
        found = []
        execution = world.service.executions[JOB]
        if self.otherwise is not None and execution.status is not Status.CANCELED:
            return self.otherwise.wrong(disk, world)
        told = execution.details or {}
        interrupted = self.may_be_interrupted and told.get("reason", "").startswith("interrupted in step")
        ends = Status.FAILED if interrupted else self.ends
        found += wrong_end(world, ends)
        found += [] if interrupted else self._wrong_details(told)
        found += [
            f"{act} {times} times"
            for act, times in Counter(world.acts).items()
            if times > 1 and act.startswith("step")
        ]
        found += self._wrong_software(disk.root, world)
        found += self._wrong_configuration(disk.root, world)
        found += self._wrong_trust(disk.root)
        found += left_over(disk.root)
        return found

    def _wrong_details(self, told: dict[str, str]) -> list[str]:
        if self.ends is Status.FAILED:
            return [] if told.get("reason") else ["a failure without a reason"]
        if self.ends is Status.CANCELED:
            return []
        if "sha256" in self.document:
            return unless(told.get("sha256") == self.document["sha256"], f"proves {told.get('sha256')}")
        return unless(told.get("step") == "done", f"step {told.get('step')}")

    def _wrong_software(self, root: Path, world: World) -> list[str]:
        running = world.running
        version = running.installed.version if running else None
        if version != self.runs:
            return [f"{version} runs instead of {self.runs}"]
        if running is None:
            return unless(not (root / "software/current").exists(), "a slot is current, nothing runs")
        folder = running.folder
        current = (root / "software/current").resolve()
        found = {
            str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }
        with Base(root / f"software/{current.name}.frame", current) as base:
            content = base.read(0, base.length)
        return [
            *unless(content == gzip.decompress(image_of(version or "")), "what runs is no base for a delta"),
            *unless(not world.on_trial, "still on trial"),
            *unless(current == folder, f"current is {current.name}, {folder.name} runs"),
            *unless(found == files_of(version or ""), "the slot that runs is not whole"),
        ]

    def _wrong_trust(self, root: Path) -> list[str]:
        if self.may_have_learnt:
            return []
        path = root / "state/trust.json"
        learnt = json.loads(path.read_bytes()) if path.exists() else {}
        wanted = self.learns or {}
        return unless(
            wanted == {name: learnt.get(name) for name in wanted} and bool(learnt) == bool(wanted),
            f"has learnt {learnt}",
        )

    def _wrong_configuration(self, root: Path, world: World) -> list[str]:
        path = root / "etc/configuration.json"
        content = path.read_bytes() if path.exists() else None
        return [
            *unless(content == self.holds, f"the configuration is {content!r}"),
            *unless(world.told == content, f"the services were told {world.told!r}"),
            *unless(world.hooked == self.hooks, f"the hooks were told {world.hooked}"),
        ]


def wrong_end(world: World, ends: Status) -> list[str]:
    """Whether the job has ended so, by the device's own report unless it was canceled."""
    status, told = world.service.executions[JOB].status, world.service.ends
    reports = [] if ends is Status.CANCELED else [f"{JOB} {ends}"]
    return [
        *unless(status is ends, f"is {status} instead of {ends}"),
        *unless(told == reports, f"ends {told} instead of {reports}"),
    ]


def told_of(hook: str, content: bytes | None) -> bytes:
    """What the hook that is named after one parameter is told of a configuration."""
    name = hook.partition("-")[2]
    parameters = {} if content is None else parse_configuration(content)
    return build_configuration({name: parameters[name]} if name in parameters else {})


def unless(fine: bool, what: str) -> list[str]:
    """``what`` is wrong, unless it is fine."""
    return [] if fine else [what]


def left_over(root: Path) -> list[str]:
    """What a job that has ended should have tidied up."""
    journal = json.loads((root / "state/journal.json").read_bytes())
    parts = [path.name for path in (root / "state").rglob("*.part")]
    return [
        *unless(
            not any(journal[name] for name in ("update", "change", "steps", "final")),
            "the journal is not closed",
        ),
        *unless(not parts, f"left over: {parts}"),
    ]


def _hooks(content: bytes) -> dict[str, Any]:
    """Two hooks that know that configuration in the end."""
    return {
        "hooks": {name: told_of(name, content) for name in ("05-fan", "10-lamp")},
        "settings": {"configuration_hooks": Path("etc/hooks")},
    }


WATCHED: Final[Mapping[str, Any]] = {
    "configuration_health": True,
    "health_command": ("healthy",),
    "health_timeout_seconds": 0.0,
}
"""Settings of a device that looks at its health after a change of its configuration."""

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
        document=without_digest(install("2.0.0")),
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
        document={"operation": "config-upload", "url": f"{URL}sent.json?{SIGNATURE}"},
        ends=Status.SUCCEEDED,
    ),
    Scene(
        title="install: the URL expires half way",
        document=install("2.0.0"),
        ends=Status.SUCCEEDED,
        runs="2.0.0",
        url_expires=True,
    ),
    Scene(
        title="configuration: hooks are told of it",
        document=configure(HOOKED),
        ends=Status.SUCCEEDED,
        objects={"new.json": HOOKED},
        holds=HOOKED,
        **_hooks(HOOKED),
    ),
    Scene(
        title="configuration: the second hook refuses it",
        document=configure(BAD_FOR_A_HOOK),
        ends=Status.FAILED,
        objects={"new.json": BAD_FOR_A_HOOK},
        **_hooks(OLD),
    ),
    Scene(
        title="configuration: the device is not healthy with it",
        document=configure(SICKENING),
        ends=Status.FAILED,
        objects={"new.json": SICKENING},
        settings=WATCHED,
    ),
)
