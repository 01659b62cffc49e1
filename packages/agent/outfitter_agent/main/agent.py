"""The agent: recovers, then takes one job after the other for as long as it runs."""

import logging
import platform
import random
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from outfitter_contract.details import Step

from outfitter_agent.hands.anchor import Anchor
from outfitter_agent.hands.configuration import ConfigurationFile
from outfitter_agent.hands.delta import Deltas
from outfitter_agent.hands.durable import make_folder
from outfitter_agent.hands.fetch import Fetcher, FetchLimits
from outfitter_agent.hands.health import HealthRules
from outfitter_agent.hands.hooks import Hooks
from outfitter_agent.hands.jobs import JobsClient, NotAnsweredError
from outfitter_agent.hands.journal import JournalFile, lock_folder
from outfitter_agent.hands.mqtt import backoff
from outfitter_agent.hands.processes import end_strays
from outfitter_agent.hands.put import Uploader
from outfitter_agent.hands.reboot import Reboot, RebootMachine, RestartAgent
from outfitter_agent.hands.reload import Reload
from outfitter_agent.hands.running import RunningReport
from outfitter_agent.hands.signals import ENDINGS, Signals, Stopping
from outfitter_agent.hands.status import LastError, StatusFile
from outfitter_agent.hands.steps import StepRunner
from outfitter_agent.hands.supervisor import Supervisor
from outfitter_agent.hands.trust import write_bundle
from outfitter_agent.main.configurator import Configurator
from outfitter_agent.main.link import link_of
from outfitter_agent.main.performer import Performer
from outfitter_agent.main.settings import Settings
from outfitter_agent.main.software import slots_of
from outfitter_agent.plans.details import progress
from outfitter_agent.plans.facts import Execution, Facts
from outfitter_agent.plans.jobs import carry_out, give_up
from outfitter_agent.plans.recover import recover
from outfitter_agent.plans.transaction import JobRef, Journal
from outfitter_agent.plans.troubles import Abandoned, Trouble

RETRY_SECONDS_MAX: Final = 60.0
BOOT_LOG_SECONDS_MAX: Final = 15.0

log = logging.getLogger(__name__)


class Agent:
    """One device's agent, wired from its settings."""

    def __init__(self, settings: Settings, *, arguments: list[str], signals: Signals | None = None) -> None:
        """Wire the hands; ``arguments`` start this agent again. Raises FolderInUseError, SlotsError."""
        self._settings = settings
        make_folder(settings.state)
        self._lock = lock_folder(settings.state)
        strays = end_strays(settings.state)
        if strays:
            log.warning("ended %d processes that a former agent left", strays)
        self._signals = signals or Signals()
        self._notifier = self._signals.notifier
        self._journal = JournalFile(settings.state)
        self._slots = slots_of(settings)
        self._supervisor = Supervisor(
            thing_name=settings.thing_name,
            state_folder=settings.state,
            output_bytes_max=settings.log_bytes_max,
            stop_timeout_seconds=settings.stop_timeout_seconds,
            configuration=settings.configuration,
        )
        self._status = StatusFile(settings.state)
        self._client = JobsClient(
            link_of(settings),
            self._signals,
            answer_timeout_seconds=settings.answer_timeout_seconds,
            status=self._status,
        )
        self._running = self._report(settings)
        self._reboot = self._plug_in(arguments)
        self._facts = _facts(settings, self._reboot.boot_id)
        ca_file = write_bundle(settings.state / "ca-bundle.pem", system=settings.system_ca, own=settings.ca)
        self._performer = Performer(
            journal=self._journal,
            slots=self._slots,
            supervisor=self._supervisor,
            fetcher=self._fetcher(ca_file),
            deltas=Deltas(
                settings.state / "download",
                bytes_max=settings.image_bytes_max,
                also_needs=self._unpacking_needs,
            ),
            client=self._client,
            reboot=self._reboot,
            signals=self._signals,
            health_rules=_health_rules(settings),
            limits=_limits(settings, settings.image_bytes_max),
            configurator=self._configurator(ca_file),
            boot_log=self._boot_log,
            anchor=Anchor(settings.trusted_keys, settings.state),
            steps=StepRunner(
                handlers=settings.device_client_handlers,
                users=settings.device_client_users,
                timeout_seconds=settings.device_client_step_timeout_seconds,
                folder=settings.state,
                environment={"OUTFITTER_THING_NAME": settings.thing_name},
                signals=self._signals,
            ),
        )

    def run(self) -> None:
        """Work until told to end by SIGTERM or SIGINT; the software ends with the agent."""
        logging.getLogger("outfitter_agent").addHandler(LastError(self._status))
        log.info("agent of %s, boot %s", self._settings.thing_name, self._facts.boot_id)
        try:
            self._client.start()
            self._running.start()
            self._notifier.ready()
            self._work()
        except Stopping:
            log.info("ending")
            self._notifier.stopping()
        finally:
            for number in ENDINGS:
                signal.signal(number, signal.SIG_IGN)  # or a second one would kill Python while it ends
            self._close()

    def _work(self) -> None:
        """Recover, then whatever there is to do, for ever.

        A fault ends neither the agent nor the software, which would go with it: what failed is tried again later, as
        often as the journal's counts allow. What it has left halfway is taken up as after a power loss.
        """
        failures, recovered = 0, False
        while True:
            pause = None
            try:
                if not recovered:
                    self._recover()
                    recovered = True
                while self._do_one_job():
                    failures = 0
            except NotAnsweredError as error:
                log.warning("trying again later: %s", error)
                failures += 1
                pause = backoff(failures, RETRY_SECONDS_MAX, random.random())  # noqa: S311 - spreads load
            except Exception as error:
                # Trouble that no plan could do anything about: RAUC does not answer, say
                log.warning("a fault; trying again later: %s", error, exc_info=not isinstance(error, Trouble))
                self._performer.keep_running()
                recovered = False
                failures += 1
                pause = backoff(failures, RETRY_SECONDS_MAX, random.random())  # noqa: S311 - spreads load
            else:
                failures = 0
            self._signals.wait_for_work(pause)

    def _recover(self) -> None:
        journal = self._journal.load()
        self._performer.run(recover(journal, self._facts), journal.job)

    def _do_one_job(self) -> bool:
        """Deliver what is to be reported, then take and do the next job; False when there is none, or no connection."""
        self._signals.look()
        if not self._signals.up:
            return False
        journal = self._journal.load()
        if journal.final is not None:
            status = self._client.report_final(journal.final)
            self._journal.save(Journal())
            self._status.ended(journal.final.job.job_id, status)
            log.info("job %s is %s", journal.final.job.job_id, status)
        self._client.subscribe_once()
        execution = self._client.start_next(progress(Step.ACCEPTED, boot_id=self._facts.boot_id))
        if execution is None:
            if journal.job is not None:
                self._performer.run(give_up(), None)
            self._running.wake()
            return False
        self._carry_out(execution, journal)
        return True

    def _carry_out(self, execution: Execution, journal: Journal) -> None:
        job = JobRef(job_id=execution.job_id, execution_number=execution.execution_number)
        log.info("job %s, execution %d", job.job_id, job.execution_number)
        self._status.handed_over(execution.document)
        self._performer.run(carry_out(execution, self._facts, journal), job)

    def _plug_in(self, arguments: list[str]) -> Reboot:
        settings = self._settings
        if settings.reboot == "restart":
            return RestartAgent(
                arguments, before=self._close, check=lambda: self._signals.check(abandonable=False)
            )
        command = ["systemctl", "reboot"] if settings.reboot == "systemd" else list(settings.reboot_command)
        return RebootMachine(command, stopping=self._signals.stopped_within)

    def _close(self) -> None:
        self._running.close()
        self._client.close()
        try:
            self._supervisor.stop()
        except Trouble as trouble:
            log.error("%s", trouble.reason)  # noqa: TRY400 - no fault of the program
        self._status.close()

    def _report(self, settings: Settings) -> RunningReport:
        return RunningReport(
            settings.configuration,
            self._client.tell_running,
            bytes_max=settings.configuration_bytes_max,
            watch_seconds=settings.configuration_watch_seconds,
        )

    def _boot_log(self) -> str:
        """The end of what the boot before has left: its software's output, else what the owner's command tells of it."""
        written, settings = self._supervisor.output_tail(), self._settings
        if written or settings.reboot == "restart" or not settings.boot_log_command:
            return written
        told = Reload(
            settings.boot_log_command,
            timeout_seconds=BOOT_LOG_SECONDS_MAX,
            folder=settings.state,
            log=settings.state / "boot.log",
            environment={},
            name="boot_log_command",
            beat=self._notifier.beat,
        )
        verdict = told.run(None)
        if not verdict.healthy:
            log.warning("no log of the boot before: %s", verdict.reason)
        return told.output_tail()

    def _fetcher(self, ca_file: Path | None) -> Fetcher:
        settings = self._settings
        return Fetcher(
            settings.state / "download",
            ca_file=ca_file,
            limits=_limits(settings, settings.image_bytes_max),
            wait=self._wait_between_attempts,
            also_needs=self._unpacking_needs,
        )

    def _unpacking_needs(self, image_bytes: int) -> int:
        return self._slots.unpacking_needs(self._settings.state, image_bytes)

    def _configurator(self, ca_file: Path | None) -> Configurator:
        settings = self._settings
        folder = settings.state / "configuration"
        limits = _limits(settings, settings.configuration_bytes_max)
        return Configurator(
            file=ConfigurationFile(
                settings.configuration,
                folder,
                schema=settings.configuration_schema,
                bytes_max=settings.configuration_bytes_max,
            ),
            fetcher=Fetcher(
                folder / "download",
                ca_file=ca_file,
                limits=limits,
                wait=self._wait_between_attempts,
                what="configuration",
            ),
            uploader=Uploader(
                ca_file=ca_file,
                limits=limits,
                wait=self._wait_between_attempts,
                check=lambda: self._signals.check(abandonable=True),
            ),
            hooks=Hooks(settings.configuration_hooks, folder, self._hook),
            services=self._services(),
            software_process=self._supervisor.process_id,
        )

    def _services(self) -> list[Reload]:
        command, units = self._settings.configuration_reload, self._settings.configuration_reload_units
        told = [self._telling(command, {}, "the reload command")] if command else []
        return told + [
            self._telling(["systemctl", "reload-or-restart", "--", unit], {}, f"the reload of {unit}")
            for unit in units
        ]

    def _hook(self, program: Path, environment: Mapping[str, str]) -> Reload:
        return self._telling([str(program)], environment, f"the hook {program.name}")

    def _telling(self, command: Sequence[str], environment: Mapping[str, str], name: str) -> Reload:
        settings = self._settings
        return Reload(
            command,
            timeout_seconds=settings.configuration_reload_timeout_seconds,
            folder=settings.configuration.parent,
            log=settings.state / "configuration" / "reload.log",
            environment={
                "OUTFITTER_THING_NAME": settings.thing_name,
                "OUTFITTER_CONFIGURATION": str(settings.configuration),
                **environment,
            },
            name=name,
            beat=self._notifier.beat,
        )

    def _wait_between_attempts(self, seconds: float) -> bool:
        try:
            self._signals.sleep(seconds, abandonable=True)
        except Abandoned:
            return True
        return False


def _facts(settings: Settings, boot_id: str) -> Facts:
    return Facts(
        device_type=settings.device_type,
        boot_id=boot_id,
        trial_boots_max=settings.trial_boots_max,
        attempts_max=settings.attempts_max,
        trial_timeout_seconds=settings.trial_timeout_seconds,
        configuration_health=settings.configuration_health,
        health_checks=_health_rules(settings).any,
        signed_only=settings.trusted_keys is not None,
        forced_below_minimum=settings.forced_below_minimum,
        device_client=settings.device_client,
        reboots=settings.reboot != "restart",
        attributes=_attributes(settings),
    )


def _attributes(settings: Settings) -> dict[str, str]:
    """What the conditions of a device client's document may ask for."""
    return {
        "operatingSystem": _operating_system(),
        "architecture": platform.machine(),
        "deviceType": settings.device_type,
        "thingName": settings.thing_name,
    }


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release().get("ID", "linux")
    except OSError:
        return "linux"  # a small image may have no os-release, and its ID is "linux" where it has none


def _health_rules(settings: Settings) -> HealthRules:
    return HealthRules(
        settle_seconds=settings.settle_seconds,
        timeout_seconds=settings.health_timeout_seconds,
        interval_seconds=settings.health_interval_seconds,
        command=settings.health_command,
        folder=settings.configuration.parent,
        url=settings.health_url,
        url_status=settings.health_url_status,
        url_timeout_seconds=settings.health_url_timeout_seconds,
        units=settings.health_units,
    )


def _limits(settings: Settings, bytes_max: int) -> FetchLimits:
    return FetchLimits(
        attempts_max=settings.download_attempts_max,
        backoff_max_seconds=settings.download_backoff_max_seconds,
        connect_timeout_seconds=settings.download_connect_timeout_seconds,
        stall_seconds=settings.download_stall_seconds,
        stall_bytes=settings.download_stall_bytes,
        bytes_max=bytes_max,
        seconds_max=settings.download_seconds_max,
        bytes_per_second_max=settings.download_bytes_per_second_max,
        job_bytes_max=settings.download_bytes_max_per_job,
    )


def start_arguments(config: Path, *, verbose: bool) -> list[str]:
    """What Python is given to start the agent again with the same settings."""
    return [
        "-P",
        "-m",
        "outfitter_agent.main",
        *(["--verbose"] if verbose else []),
        "run",
        "--config",
        str(config),
    ]
