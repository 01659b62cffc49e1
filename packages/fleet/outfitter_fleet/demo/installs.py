"""The cases of software: plays them wave by wave, and reads from the world what came of them."""

import textwrap
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from outfitter_fleet.demo import images
from outfitter_fleet.demo.cases import CASES, GROUPS, Case
from outfitter_fleet.demo.display import Row
from outfitter_fleet.demo.site import ANSWER_SECONDS_MAX, DemoFailed, Site, settled

_SHOWN_MAX: Final = 80


class Installs:
    """The waves of cases at one site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._labels = {case.job_id: f"{case.name} {case.version}" for case in CASES}
        self._while_away: dict[tuple[str, str], str] = {}

    def play(self) -> list[Row]:
        """All waves, one after the other."""
        rows: list[Row] = []
        for wave in sorted({case.wave for case in CASES}):
            rows += self._play([case for case in CASES if case.wave == wave])
        return rows

    def _play(self, cases: list[Case]) -> list[Row]:
        site = self._site
        site.display.say(f"wave {cases[0].wave}: {', '.join(case.name for case in cases)}")
        away = [case for case in cases if case.away]
        for name in _devices(away):
            site.devices[name].switch_off()
            site.display.show(name, "switched off")
        for case in cases:
            if case.spoilt:
                self._spoil(case.version)
        site.at_once([partial(self._update, case) for case in cases])
        self._wait([case for case in cases if not case.away])
        for case in away:
            if case.cancelled:
                site.outfitter(
                    "job", "cancel", case.job_id, "--comment", "the demonstration changed its mind"
                )
        for case in away:
            for name in case.devices:
                self._while_away[case.job_id, name] = site.look(case.job_id, name).status
        self._bring_back(_devices(away))
        self._wait(away)
        return [self._judge(case, name) for case in cases for name in case.devices]

    def _update(self, case: Case) -> None:
        """As the page does it: the function makes the job."""
        self._site.ask_function(
            operation="install",
            target={"group" if case.target in GROUPS else "thing": case.target},
            software=images.SOFTWARE,
            version=case.version,
            forced=case.forced,
            jobId=case.job_id,
        )

    def _bring_back(self, names: list[str]) -> None:
        site = self._site
        for name in names:
            site.devices[name].switch_on()
            site.display.show(name, "switched on again")
        for name in names:
            if not site.devices[name].has_connected(ANSWER_SECONDS_MAX):
                raise DemoFailed(f"{name} does not come back: see {site.processes.logs / name}.log")

    def _spoil(self, version: str) -> None:
        listed: list[dict[str, Any]] = self._site.told("software", "list", images.SOFTWARE)
        (found,) = (one for one in listed if one["version"] == version)
        images.spoil(self._site.server.client("s3"), found["bucket"], found["key"])

    def _wait(self, cases: list[Case]) -> None:
        executions = [(case.job_id, name) for case in cases for name in case.devices]
        self._site.wait(executions, lambda job_id: self._labels[job_id])

    def _judge(self, case: Case, name: str) -> Row:
        seen = self._site.look(case.job_id, name)
        runs = settled(self._site.devices[name].answer, case.runs)
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
