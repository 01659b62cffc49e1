"""Joins plans to hands: each effect is one call."""

import logging
import re
import time
from typing import Any

from outfitter_agent.hands import archive, health
from outfitter_agent.hands.anchor import Anchor
from outfitter_agent.hands.fetch import Fetcher
from outfitter_agent.hands.health import HealthTimes
from outfitter_agent.hands.jobs import JobsClient, NotAnsweredError
from outfitter_agent.hands.journal import JournalFile
from outfitter_agent.hands.reboot import Reboot
from outfitter_agent.hands.signals import Signals
from outfitter_agent.hands.slots.folder import FolderSlots
from outfitter_agent.hands.supervisor import Program, Supervisor
from outfitter_agent.main.configurator import Configurator
from outfitter_agent.plans import details, effects
from outfitter_agent.plans.effects import Downloaded, Effect, Plan, UrlExpired, Verdict
from outfitter_agent.plans.progress import Throttle
from outfitter_agent.plans.transaction import Installed, JobRef
from outfitter_agent.plans.troubles import Abandoned, Trouble

log = logging.getLogger(__name__)


class Performer:
    """Carries out what plans yield."""

    def __init__(
        self,
        *,
        journal: JournalFile,
        slots: FolderSlots,
        supervisor: Supervisor,
        fetcher: Fetcher,
        client: JobsClient,
        reboot: Reboot,
        signals: Signals,
        health_times: HealthTimes,
        configurator: Configurator,
        anchor: Anchor,
        image_bytes_max: int,
    ) -> None:
        """Take the hands."""
        self._journal = journal
        self._slots = slots
        self._supervisor = supervisor
        self._fetcher = fetcher
        self._client = client
        self._reboot = reboot
        self._signals = signals
        self._health_times = health_times
        self._configurator = configurator
        self._anchor = anchor
        self._image_bytes_max = image_bytes_max
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
        """After a fault: whatever is current runs."""
        self._start_software(probation=False)

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
                return self._download(self._fetcher, effect)
            case effects.FreshDocument():
                return self._fresh_document()
            case effects.ReadManifest():
                return archive.read_manifest(self._fetcher.path, self._image_bytes_max, self._go_on)
            case effects.ReadRunning():
                return self._slots.installed(self._slots.current())
            case effects.Unpack():
                self._slots.unpack(self._fetcher.path, effect.installed, self._go_on)
            case effects.Switch():
                self._slots.switch(effect.slot)
            case effects.StartSoftware():
                self._start_software(probation=effect.probation)
            case effects.StopSoftware():
                self._supervisor.stop()
            case effects.WatchHealth():
                return self._watch_health(effect)
            case effects.Restart():
                self._restart()
            case effects.Discard():
                self._fetcher.discard()
                self._configurator.discard()
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

    def _fresh_document(self) -> object:
        """Ask until there is an answer: without a connection there is nothing else to do for this job."""
        while self._job is not None:
            self._signals.wait_until_up(abandonable=True)
            try:
                return self._client.document(self._job)
            except NotAnsweredError as error:
                log.warning("%s", error)
                self._signals.sleep(1.0, abandonable=True)
        raise Abandoned

    def _start_software(self, *, probation: bool) -> None:
        installed: Installed | None = self._slots.installed(self._slots.current())
        if installed is None:
            self._supervisor.stop()
            return
        program = Program(installed, self._slots.path(installed.slot))
        self._supervisor.start(program, probation=probation)

    def _watch_health(self, effect: effects.WatchHealth) -> Verdict:
        def sleep(seconds: float) -> None:
            self._signals.sleep(seconds, abandonable=effect.abandonable)

        return health.watch(self._supervisor, self._health_times, settle=effect.settle, sleep=sleep)

    def _restart(self) -> None:
        log.info("restarting")
        self._client.flush()
        self._reboot.restart()


def _words(effect: Effect[Any]) -> str:
    """What it does, for people: ``apply configuration``."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(effect).__name__).lower()
