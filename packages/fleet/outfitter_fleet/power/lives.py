"""One life of the agent: its own code from its start until it rests, dies or reboots, on the proof's disk and service."""

import logging
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import pycurl
from outfitter_agent.hands import checks, partial, reboot
from outfitter_agent.hands import jobs as jobs_hand
from outfitter_agent.hands.signals import Signals
from outfitter_agent.hands.supervisor import Program, Running
from outfitter_agent.main import agent as wiring
from outfitter_agent.main.settings import Settings
from outfitter_agent.plans.effects import StepOutcome, Verdict
from outfitter_agent.plans.steps import Step
from outfitter_agent.plans.transaction import Installed

from outfitter_fleet.power.disk import Disk
from outfitter_fleet.power.service import THING, Curl, Link, Service

LIVES_MAX: Final = 12
SICK_VERSION: Final = "3.0.0"
REFUSED: Final = b'"refused"'
REFUSED_BY_HOOK: Final = b'"refused by a hook"'
UNHEALTHY: Final = b'"unhealthy"'
HALF_DONE: Final = b"a part of it"

Replaced = tuple[object, str, object]
"""A part of the agent: where it is, its name, and what takes its place."""


class Rest(BaseException):
    """The agent waits for something to do."""


class Rebooted(BaseException):
    """The agent has replaced itself."""


class Fault(Exception):  # noqa: N818 - what a life ends with
    """The agent met what it did not expect, or never came to rest."""


def never() -> None:
    """What the agent must not have to do where nothing fails."""
    raise Fault("the agent would try again later: see its log")


@dataclass(slots=True)
class World:
    """What one life has to do with, beside the disk."""

    service: Service
    acts: list[str] = field(default_factory=list)
    """Everything that must not be done twice without need, as it is done."""
    told: bytes | None = None
    """The configuration that the services were told of last."""
    running: Program | None = None
    on_trial: bool = False
    hooked: dict[str, bytes] = field(default_factory=dict)
    """What each hook was told of last, or that it did only a part of it."""
    boot: int = 1
    """What the kernel calls the boot."""
    slot: str = ""
    """The slot that a boot loader has chosen."""
    slot_boot: int = 0
    """The boot in which it has."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of this device beside the usual ones; a path is one on its disk."""
    wait: Callable[[], None] = never
    """Called when the agent waits to try again."""

    def copy(self) -> "World":
        """Another world that goes its own way from here, after a cut: no program runs in it."""
        return replace(
            self,
            service=self.service.copy(),
            acts=list(self.acts),
            hooked=dict(self.hooked),
            running=None,
            on_trial=False,
        )


class Programs:
    """Takes the place of the supervisor: at most one program, which is sick or not by its version."""

    world: World
    step: Callable[[str], None]

    def __init__(self, **_settings: object) -> None:
        """Nothing runs."""
        self._ended = ""

    def start(self, program: Program, *, probation: bool) -> None:
        """Run it, instead of another one."""
        world, version = self.world, program.installed.version
        if world.running != program:
            label = f"exec {version}" + (" on trial" if probation else "")
            self.step(f"before {label}")
            world.running = program
            world.acts.append(label)
            self.step(f"after {label}")
        world.on_trial = probation
        self._ended = "it ended with exit code 1 after 0.0 s" if version == SICK_VERSION else ""

    def stop(self) -> None:
        """End it."""
        self.world.running = None

    def running(self) -> Running:
        """How it is."""
        program = self.world.running
        return Running(
            program=program, alive=program is not None and not self._ended, ended=self._ended, restarts=0
        )

    def process_id(self) -> int | None:
        """It has none."""
        return None

    def output_tail(self) -> str:
        """What it wrote."""
        return "no such lamp\n"

    def environment(self, _installed: Installed) -> dict[str, str]:
        """Nothing is run in it."""
        return {}


class Untold:
    """Takes the place of the status file, which only people rely on: its times would be another disk each time."""

    def __init__(self, _folder: Path) -> None:
        """Nothing is written."""

    def link(self, *, up: bool) -> None:
        """Nobody asks."""

    def ended(self, _job_id: str, _status: str) -> None:
        """Nobody asks."""

    def handed_over(self, _document: object) -> None:
        """Nobody asks."""

    def close(self) -> None:
        """Nothing waits."""


class Services:
    """Takes the place of the reload command and of hooks: the services of the device, which refuse one configuration."""

    world: World
    step: Callable[[str], None]
    configuration: Path

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str], **_settings: object
    ) -> None:
        """A hook is told what of the configuration is its own."""
        self._hook, self._told = Path(command[0]).name, environment.get("OUTFITTER_NEW")

    def run(self, _process: int | None) -> Verdict:
        """Tell the services, or what the hook is for."""
        return self._reload() if self._told is None else self._run_hook(Path(self._told).read_bytes())

    def _run_hook(self, content: bytes) -> Verdict:
        label = f"hook {self._hook}"
        self.step(f"before exec {label}")
        self.world.acts.append(label)
        refuses = REFUSED_BY_HOOK in content
        self.world.hooked[self._hook] = HALF_DONE if refuses else content
        self.step(f"after exec {label}")
        return Verdict(healthy=not refuses, reason=f"the {label} {'failed' if refuses else 'passed'}")

    def _reload(self) -> Verdict:
        content = self.configuration.read_bytes() if self.configuration.exists() else None
        self.step("before exec reload")
        self.world.acts.append("reload")
        refuses = content is not None and REFUSED in content
        if not refuses:
            self.world.told = content
        self.step("after exec reload")
        reason = "the reload command ended with exit code 3" if refuses else "the reload command passed"
        return Verdict(healthy=not refuses, reason=reason, log="no such lamp\n" if refuses else "")


class Runner:
    """Takes the place of what runs the steps of a device client's document."""

    world: World
    step: Callable[[str], None]

    def __init__(self, **_settings: object) -> None:
        """Nothing to set."""

    def check(self, _step: Step) -> None:
        """All can be run."""

    def run(self, step: Step) -> StepOutcome:
        """Run it."""
        self.step("before exec step")
        self.world.acts.append(f"step {step.name}")
        self.step("after exec step")
        return StepOutcome()


def settings_of(root: Path, own: Mapping[str, Any]) -> Settings:
    """The settings of the device whose disk is ``root``."""
    settings = Settings(
        thing_name=THING,
        device_type="p1",
        endpoint="device.example",
        tls=False,
        system_ca=root / "none.pem",
        state=root / "state",
        slots=root / "software",
        configuration=root / "etc" / "configuration.json",
        configuration_reload=("reload",),
        boot_log_command=(),
        device_client=True,
        settle_seconds=0,
        answer_timeout_seconds=0.5,
    )
    placed: dict[str, Any] = {
        name: root / value if isinstance(value, Path) else value for name, value in own.items()
    }
    return replace(settings, **placed)


@contextmanager
def _outside(
    disk: Disk, world: World, step: Callable[[str], None], parts: Sequence[Replaced]
) -> Iterator[None]:
    """In it, the agent's code meets this disk and this world."""

    def rest(_signals: Signals, pause: float | None) -> None:
        if pause is None:
            raise Rest
        world.wait()

    def sleep(signals: Signals, _seconds: float, *, abandonable: bool) -> None:
        signals.check(abandonable=abandonable)  # time is not what this proof is about

    def replace_process(*_arguments: object) -> None:
        step("before exec agent")
        world.acts.append("restart")
        raise Rebooted

    def reboot_machine(*_arguments: object, **_options: object) -> None:
        step("before exec reboot")
        world.acts.append("restart")
        world.boot += 1
        raise Rebooted

    def look(*_arguments: object, **_settings: object) -> str | None:
        return "ended with 1" if UNHEALTHY in (world.told or b"") else None

    for part in (Link, Curl, Programs, Services, Runner):
        part.step = staticmethod(step)
    Link.service = Curl.service = world.service
    Programs.world = Services.world = Runner.world = world
    Services.configuration = disk.root / "etc" / "configuration.json"
    with ExitStack() as stack:
        for owner, name, stand_in in (
            (wiring, "Supervisor", Programs),
            (wiring, "Reload", Services),
            (wiring, "StepRunner", Runner),
            (wiring, "StatusFile", Untold),
            (wiring, "end_strays", lambda _folder: 0),
            (jobs_hand, "Connection", Link),
            (pycurl, "Curl", Curl),
            (partial, "kernel_boot_id", lambda: f"boot {world.boot}"),
            (reboot, "kernel_boot_id", lambda: f"boot {world.boot}"),
            (subprocess, "run", reboot_machine),
            (Signals, "wait_for_work", rest),
            (Signals, "sleep", sleep),
            (os, "execv", replace_process),
            (checks, "run", look),
            *parts,
        ):
            stack.enter_context(patch.object(owner, name, stand_in))
        stack.enter_context(disk.watched(step))
        yield


def life(disk: Disk, world: World, step: Callable[[str], None], parts: Sequence[Replaced] = ()) -> bool:
    """The agent from its start; whether it came to rest, and not to a reboot. What ``step`` raises ends it."""
    agent: Any = None
    with _outside(disk, world, step, parts):
        try:
            agent = wiring.Agent(settings_of(disk.root, world.settings), arguments=[])
            agent._client.start()  # noqa: SLF001 - run() would take the signals of this process
            agent._work()  # noqa: SLF001 - as above
        except Rest:
            return True
        except Rebooted:
            world.running = None
            return False
        finally:
            if agent is not None:
                os.close(agent._lock)  # noqa: SLF001 - the kernel does it where a process ends
    raise Fault("the agent ended by itself")


def live(disk: Disk, world: World, step: Callable[[str], None]) -> int:
    """Life after life until the device rests; how many there were."""
    for number in range(1, LIVES_MAX + 1):
        if life(disk, world, step):
            return number
    raise Fault(f"no rest after {LIVES_MAX} starts")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the agent's log of thousands of lives to what is wrong."""
    log = logging.getLogger("outfitter_agent")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)
