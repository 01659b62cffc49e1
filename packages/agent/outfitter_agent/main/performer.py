"""Joins plans to hands: each effect is one call."""

import logging
import random
import re
import time
from collections.abc import Callable
from typing import Any

from outfitter_agent.hands import health
from outfitter_agent.hands.anchor import Anchor
from outfitter_agent.hands.delta import Deltas
from outfitter_agent.hands.fetch import Fetcher, FetchLimits
from outfitter_agent.hands.health import HealthRules
from outfitter_agent.hands.jobs import JobsClient, NotAnsweredError
from outfitter_agent.hands.journal import JournalFile
from outfitter_agent.hands.mqtt import backoff
from outfitter_agent.hands.reboot import Reboot, seconds_since_boot
from outfitter_agent.hands.signals import Signals
from outfitter_agent.hands.slots.port import BaseSlots, Slots
from outfitter_agent.hands.steps import StepRunner
from outfitter_agent.hands.supervisor import Program, Supervisor
from outfitter_agent.main.configurator import Configurator
from outfitter_agent.plans import details, effects
from outfitter_agent.plans.effects import Downloaded, Effect, Plan, UrlExpired, Verdict
from outfitter_agent.plans.progress import Throttle
from outfitter_agent.plans.transaction import Installed, JobRef, Stage
from outfitter_agent.plans.troubles import Abandoned, Trouble

log = logging.getLogger(__name__)


class Performer:
    """Carries out what plans yield."""

    def __init__(
        self,
        *,
        journal: JournalFile,
        slots: Slots,
        supervisor: Supervisor,
        fetcher: Fetcher,
        deltas: Deltas,
        client: JobsClient,
        reboot: Reboot,
        signals: Signals,
        health_rules: HealthRules,
        limits: FetchLimits,
        configurator: Configurator,
        boot_log: Callable[[], str],
        anchor: Anchor,
        steps: StepRunner,
    ) -> None:
        """Take the hands."""
        self._journal = journal
        self._slots = slots
        self._supervisor = supervisor
        self._fetcher = fetcher
        self._deltas = deltas
        self._image = fetcher.path
        self._client = client
        self._reboot = reboot
        self._signals = signals
        self._health_rules = health_rules
        self._limits = limits
        self._configurator = configurator
        self._boot_log = boot_log
        self._anchor = anchor
        self._steps = steps
        self._job: JobRef | None = None

    def run(self, plan: Plan[None], job: JobRef | None) -> None:
        """Carry a plan out to its end; raises Stopping, and whatever is a fault of the program."""
        self._job = job
        self._signals.begin_job()
        if job is not None:
            self._client.watch(job, {})
        try:
            self._drive(plan)
        finally:
            self._client.unwatch()
            plan.close()

    def keep_running(self) -> None:
        """After a fault: what was proven last runs, if that can be found out; until it is over, nothing is tried."""
        try:
            update = self._journal.load().update
            halfway = update is not None and update.stage in (Stage.TRIAL, Stage.ROLLBACK)
            slot = update.previous_slot if update is not None and halfway else self._slots.current()
            self._start_software(slot, probation=False)
        except (Trouble, OSError) as error:
            log.warning("the software is left as it is: %s", error)

    def _drive(self, plan: Plan[None]) -> None:
        try:
            effect = next(plan)
            while True:
                try:
                    self._signals.check(abandonable=False)
                    result = self._perform(effect)
                except (Trouble, Abandoned) as stop:
                    log.warning("%s: %s", type(effect).__name__, str(stop) or "the job has ended elsewhere")
                    effect = plan.throw(stop)
                except OSError as error:
                    log.warning("%s: %s", type(effect).__name__, error)
                    reason = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
                    effect = plan.throw(Trouble(f"{_words(effect)} failed: {reason}"))
                else:
                    effect = plan.send(result)
        except StopIteration:
            return

    def _perform(self, effect: Effect[Any]) -> Any:  # noqa: C901, PLR0912 - one line for each effect
        match effect:
            case effects.Save():
                self._journal.save(effect.journal)
            case effects.Report():
                self._report(effect.details)
            case effects.Download():
                self._image = self._fetcher.path
                return self._download(self._fetcher, effect)
            case effects.ApplyDelta():
                return self._apply_delta(effect)
            case effects.FreshDocument():
                return self._fresh_document()
            case effects.ReadManifest():
                return self._slots.manifest(self._image, self._go_on)
            case effects.ReadRunning():
                return self._slots.installed(self._slots.current())
            case effects.ReadCurrentSlot():
                return self._slots.current()
            case effects.ReadOtherSlot():
                return self._slots.other()
            case effects.Unpack():
                self._slots.unpack(self._image, effect.installed, self._go_on)
            case effects.Switch():
                self._slots.switch(effect.slot)
            case effects.MarkSlot():
                (self._slots.mark_good if effect.good else self._slots.mark_bad)(effect.slot)
            case effects.StartSoftware():
                self._start_software(self._slots.current(), probation=effect.probation)
            case effects.StopSoftware():
                self._supervisor.stop()
            case effects.WatchHealth():
                return self._watch_health(effect)
            case effects.ReadBootLog():
                return self._boot_log()
            case effects.Restart():
                self._restart()
            case effects.Discard():
                self._fetcher.discard()
                self._deltas.discard()
                self._configurator.discard()
            case effects.CheckStep():
                self._steps.check(effect.step)
            case effects.RunStep():
                return self._steps.run(effect.step)
            case effects.VerifyImage() | effects.ChangeKeys() | effects.KeepMinimum():
                return self._anchor.perform(effect)
            case _:
                return self._configurator.perform(effect, self._download)
        return None

    def _go_on(self) -> None:
        self._signals.check(abandonable=True)

    def _report(self, told: Any) -> None:
        if self._signals.abandoned:
            raise Abandoned
        log.info("%s", ", ".join(f"{key} {value}" for key, value in told.items()))
        self._client.report(told)

    def _download(
        self, fetcher: Fetcher, effect: effects.Download | effects.DownloadConfiguration
    ) -> Downloaded | UrlExpired:
        throttle = Throttle(reported_at=time.monotonic())
        base = dict(effect.details)
        self._report(details.downloading(base, 0, effect.size))

        def progress(received: int, total: int | None) -> None:
            self._signals.check(abandonable=True)
            if throttle.due(time.monotonic(), received, total):
                self._client.report(details.downloading(base, received, total))

        job = f"{self._job.job_id} {self._job.execution_number}" if self._job else ""
        return fetcher.fetch(effect.url, sha256=effect.sha256, size=effect.size, progress=progress, job=job)

    def _apply_delta(self, effect: effects.ApplyDelta) -> Downloaded:
        running = effect.running
        if not isinstance(self._slots, BaseSlots):
            raise Trouble("the slots of this device keep nothing that a delta could be applied to")
        with self._slots.base(running.slot) as base:
            made = self._deltas.apply(
                self._fetcher.path,
                base,
                base_sha256=running.sha256,
                sha256=effect.sha256,
                size=effect.size,
                go_on=self._go_on,
            )
        self._image = self._deltas.path
        return made

    def _fresh_document(self) -> object:
        """Ask until there is an answer, which counts as part of the download; raises Trouble when none comes."""
        if self._job is None:
            raise Abandoned
        deadline = time.monotonic() + min(self._fetcher.seconds_left, self._configurator.seconds_left)
        refusals, reason = 0, "no connection"
        while self._signals.wait_until(lambda: self._signals.up, deadline - time.monotonic()):
            try:
                return self._client.document(self._job)
            except NotAnsweredError as error:
                log.warning("%s", error)
                refusals, reason = refusals + 1, str(error)
            if refusals >= self._limits.attempts_max:
                raise Trouble(f"there is no fresh URL: {reason}; gave up after {refusals} attempts in a row")
            self._signals.sleep(
                backoff(refusals, self._limits.backoff_max_seconds, random.random()),  # noqa: S311 - spreads load
                abandonable=True,
            )
        raise Trouble(f"there is no fresh URL: {reason}, and download_seconds_max is over")

    def _start_software(self, slot: str | None, *, probation: bool) -> None:
        installed: Installed | None = self._slots.installed(slot)
        folder = self._slots.path(installed.slot) if installed is not None else None
        if installed is None or folder is None:
            self._supervisor.stop()
            return
        self._supervisor.start(Program(installed, folder), probation=probation)

    def _watch_health(self, effect: effects.WatchHealth) -> Verdict:
        def sleep(seconds: float) -> None:
            self._signals.sleep(seconds, abandonable=effect.abandonable)

        current = self._slots.current()
        program = effect.software and (current is None or self._slots.path(current) is not None)
        supervisor = self._supervisor if program else None
        most = effect.boot_seconds_max
        left = most - seconds_since_boot(self._reboot) if most else None
        verdict = health.watch(
            supervisor, self._health_rules, settle=effect.settle, sleep=sleep, seconds_left=left
        )
        self._signals.check(
            abandonable=effect.abandonable
        )  # a cancellation that is known by now still counts
        return verdict

    def _restart(self) -> None:
        log.info("restarting")
        self._client.flush()
        self._reboot.restart()


def _words(effect: Effect[Any]) -> str:
    """What it does, for people: ``apply configuration``."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(effect).__name__).lower()
