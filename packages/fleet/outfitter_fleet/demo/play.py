"""The demonstration itself: sets the stage, plays the waves of cases, and reads from the world what came of them."""

import json
import os
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from outfitter_contract.execution import TERMINAL

from outfitter_fleet.demo import images
from outfitter_fleet.demo.cases import CASES, DEVICES, GROUP, ON_THE_STREET, STREET, Case
from outfitter_fleet.demo.device import Device
from outfitter_fleet.demo.display import Display, Row
from outfitter_fleet.stage.processes import Processes, program
from outfitter_fleet.stage.server import Server, start_server

_WAVE_SECONDS_MAX: Final = 60.0
_ANSWER_SECONDS_MAX: Final = 15.0
_COMMAND_SECONDS_MAX: Final = 60.0
_LOOK_SECONDS: Final = 0.25
_AT_ONCE: Final = 3
_SHOWN_MAX: Final = 80


class DemoFailed(Exception):  # noqa: N818 - what happened, not whose fault it is
    """A step did not work at all, so that there is nothing to compare."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An execution as the API tells it."""

    status: str
    details: dict[str, str]

    @property
    def reason(self) -> str:
        """Why it ended so; of a success, nothing."""
        return self.details.get("reason", "")

    @property
    def log(self) -> str:
        """The end of the log of software that was rolled back."""
        return "".join(self.details.get(f"log_{number}", "") for number in (1, 2, 3))

    @property
    def state(self) -> str:
        """For people: status, step, percent."""
        percent = self.details.get("percent")
        words = [self.status, self.details.get("step", ""), f"{percent} %" if percent else ""]
        return " ".join(word for word in words if word)


class Play:
    """One run in one folder."""

    def __init__(self, folder: Path, processes: Processes, display: Display) -> None:
        """Nothing is started yet."""
        self._folder = folder
        self._processes = processes
        self._display = display
        self._devices: dict[str, Device] = {}
        self._while_away: dict[tuple[str, str], str] = {}
        self.server: Server

    @property
    def devices(self) -> Iterable[Device]:
        """All devices, switched on or off."""
        return self._devices.values()

    def run(self) -> list[Row]:
        """Everything, from an empty folder to the verdict.

        Raises:
            DemoFailed, ProcessEnded: a step did not work at all.
        """
        self._display.say("starting outfitterd on an empty data folder")
        self.server = start_server(self._processes, self._folder / "data", "http", "https", "mqtts")
        self._iot = self.server.client("iot")
        self._add_devices()
        self._upload_images()
        self._display.say(f"starting {len(self._devices)} agents over TLS")
        for device in self.devices:
            device.switch_on()
        rows: list[Row] = []
        for wave in sorted({case.wave for case in CASES}):
            rows += self._play([case for case in CASES if case.wave == wave])
        return rows

    def _add_devices(self) -> None:
        self._display.say(f"adding {len(DEVICES)} devices with certificates of their own, in two groups")
        host, port = self.server.address("mqtts")
        for group in (GROUP, STREET):
            self._outfitter("group", "create", group)
        where = ["--type", images.DEVICE_TYPE, "--group", GROUP, "--mqtt", f"{host}:{port}"]
        self._at_once(
            [
                partial(self._outfitter, "device", "add", name, *where, "--out", str(self._folder / name))
                for name in DEVICES
            ]
        )
        self._outfitter("group", "add", STREET, *ON_THE_STREET)
        for name in DEVICES:
            self._devices[name] = Device(name, self._folder / name, self._processes)

    def _upload_images(self) -> None:
        self._display.say(
            f"packing and uploading {len(images.BUILDS)} versions of the software '{images.SOFTWARE}'"
        )
        self._at_once([partial(self._upload, build) for build in images.BUILDS])

    def _upload(self, build: images.Build) -> None:
        folder = self._folder / f"{images.SOFTWARE}-{build.version}"
        image = folder.with_name(f"{folder.name}.tar.gz")
        images.write_folder(build, folder)
        self._outfitter("software", "pack", str(folder), "--out", str(image))
        self._outfitter("software", "upload", str(image))

    def _play(self, cases: list[Case]) -> list[Row]:
        self._display.say(f"wave {cases[0].wave}: {', '.join(case.name for case in cases)}")
        away = [case for case in cases if case.away]
        for name in _devices(away):
            self._devices[name].switch_off()
            self._display.show(name, "switched off")
        for case in cases:
            if case.spoilt:
                self._spoil(case.version)
        self._at_once([partial(self._update, case) for case in cases])
        self._wait([case for case in cases if not case.away])
        for case in away:
            if case.cancelled:
                self._outfitter(
                    "job", "cancel", case.job_id, "--comment", "the demonstration changed its mind"
                )
        for case in away:
            for name in case.devices:
                self._while_away[case.job_id, name] = self._look(case, name).status
        self._bring_back(_devices(away))
        self._wait(away)
        return [self._judge(case, name) for case in cases for name in case.devices]

    def _bring_back(self, names: list[str]) -> None:
        for name in names:
            self._devices[name].switch_on()
            self._display.show(name, "switched on again")
        for name in names:
            if not self._devices[name].has_connected(_ANSWER_SECONDS_MAX):
                raise DemoFailed(f"{name} does not come back: see {self._processes.logs / name}.log")

    def _update(self, case: Case) -> None:
        flags = ["--forced"] if case.forced else []
        self._outfitter("update", case.target, images.SOFTWARE, case.version, "--job-id", case.job_id, *flags)

    def _spoil(self, version: str) -> None:
        listed = json.loads(self._outfitter("software", "list", images.SOFTWARE, "--json"))
        (found,) = (one for one in listed if one["version"] == version)
        images.spoil(self.server.client("s3"), found["bucket"], found["key"])

    def _wait(self, cases: list[Case]) -> None:
        """Until every execution has ended, or for as long as a wave may take: the verdict tells which."""
        open_ones = {(case, name) for case in cases for name in case.devices}
        deadline = time.monotonic() + _WAVE_SECONDS_MAX
        while open_ones and time.monotonic() < deadline:
            for case, name in sorted(open_ones, key=lambda one: one[1]):
                seen = self._look(case, name)
                self._display.show(name, f"{case.name} {case.version}: {seen.state}")
                if seen.status in TERMINAL:
                    open_ones.discard((case, name))
            time.sleep(_LOOK_SECONDS)

    def _look(self, case: Case, name: str) -> Seen:
        execution = self._iot.describe_job_execution(jobId=case.job_id, thingName=name)["execution"]
        return Seen(execution["status"], execution.get("statusDetails", {}).get("detailsMap", {}))

    def _judge(self, case: Case, name: str) -> Row:
        seen = self._look(case, name)
        runs = self._answer(name, case.runs)
        before = self._while_away.get((case.job_id, name))
        good = (
            seen.status == case.status
            and runs == case.runs
            and before == case.while_away
            and _matches(case.reason, seen.reason)
            and _matches(case.log, seen.log)
        )
        return Row(
            scenario=case.name,
            device=name,
            expected=_words(case.while_away, case.status, runs=case.runs, reason=case.reason, log=case.log),
            seen=_words(before, seen.status, runs=runs, reason=seen.reason, log=seen.log),
            good=good,
        )

    def _answer(self, name: str, expected: str) -> str:
        """What the device's software answers, given time to come up."""
        deadline = time.monotonic() + _ANSWER_SECONDS_MAX
        while (answer := self._devices[name].answer()) != expected and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        return answer

    def _outfitter(self, *arguments: str) -> str:
        """Run the command; its standard output."""
        done = subprocess.run(
            [program("outfitter"), *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=self._environment(),
            timeout=_COMMAND_SECONDS_MAX,
        )
        with (self._processes.logs / "outfitter.log").open("a") as log:
            log.write(f"$ outfitter {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        if done.returncode != 0:
            raise DemoFailed(
                f"`outfitter {' '.join(arguments)}` ended with {done.returncode}: {done.stderr.strip()}"
            )
        return done.stdout

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.server.environment()}

    @staticmethod
    def _at_once(steps: list[Callable[[], Any]]) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for result in [pool.submit(step) for step in steps]:
                result.result()


def _devices(cases: Iterable[Case]) -> list[str]:
    return [name for case in cases for name in case.devices]


def _matches(words: str, text: str) -> bool:
    """The text says what was expected, or nothing where nothing was expected."""
    return words in text if words else not text


def _words(before: str | None, status: str, *, runs: str, reason: str, log: str) -> str:
    away = f"{before} while away, then " if before and before != status else ""
    why = f": {textwrap.shorten(reason, _SHOWN_MAX, placeholder=' …')}" if reason else ""
    end = log if len(log) <= _SHOWN_MAX else f"…{log[-_SHOWN_MAX:]}"
    return f"{away}{status}, runs {runs}{why}" + (f"; log: {end}" if log else "")
