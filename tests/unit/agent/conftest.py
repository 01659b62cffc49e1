"""A device in memory that performs what plans yield, and loses its power where a test says."""

import hashlib
from dataclasses import dataclass, field, replace

import pytest
from outfitter_agent.plans import effects
from outfitter_agent.plans.effects import (
    Configuration,
    Downloaded,
    Prepared,
    StepOutcome,
    Uploaded,
    UrlExpired,
    Verdict,
)
from outfitter_agent.plans.facts import Execution, Facts
from outfitter_agent.plans.jobs import carry_out, give_up
from outfitter_agent.plans.recover import recover
from outfitter_agent.plans.states import CHANGE_STATES, STEPS_STATES, UPDATE_STATES, End
from outfitter_agent.plans.transaction import Installed, Journal
from outfitter_agent.plans.troubles import Abandoned, Trouble
from outfitter_contract.image import Manifest

OLD_DIGEST, NEW_DIGEST = "0" * 64, "1" * 64
LIVES_MAX = 60


class PowerCut(Exception):  # noqa: N818 - it is the world that fails, not the program
    """The device is dead until it boots again."""


@dataclass
class World:
    """What survives a power cut is in the first block, what does not in the second."""

    journal: Journal = field(default_factory=Journal)
    slots: dict = field(default_factory=dict)
    link: str | None = None
    next_boot: str | None = None
    """Where a boot loader chooses the slot: the one that it will choose."""
    bad: set = field(default_factory=set)
    good: set = field(default_factory=set)
    part: bool = False
    configuration: str | None = "old"
    prepared: str | None = None
    previous: str | None = None

    boot: int = 1
    running: Installed | None = None

    manifest: Manifest = field(
        default_factory=lambda: Manifest(
            name="pump", version="2.0.0", device_types=("p1",), start=("./run",), health=None
        )
    )
    digest: str = NEW_DIGEST
    wanted: str = "new"
    refusing: set = field(default_factory=set)
    health_of_configuration: bool = False
    health_checks: bool = False
    """Whether the device has a health check of its own."""
    sick_under: set = field(default_factory=set)
    """Configurations under which that fails."""
    told: str | None = "old"
    store: str | None = None
    sick: set = field(default_factory=set)
    faults: dict = field(default_factory=dict)
    urls: list = field(default_factory=list)
    document: object = None
    reboots_work: bool = True
    loader: bool = False
    """Whether a boot loader chooses the slot, so that a switch has an effect at the next boot only."""
    does_not_boot: set = field(default_factory=set)
    """Slots that the boot loader leaves for the other one."""
    abandon_at: type | None = None
    device_client: bool = True
    machine: bool = True
    """Whether a restart is one of the machine."""
    step_failures: dict = field(default_factory=dict)
    """By the name of the step."""
    ran: list = field(default_factory=list)
    """Names of the steps that were run."""

    seen: list = field(default_factory=list)
    details: list = field(default_factory=list)
    finals: list = field(default_factory=list)
    cut_at: int | None = None
    cut_after: bool = False
    steps: int = 0
    power_cut: type[Exception] = PowerCut
    abandoned: bool = False

    def current(self):
        return self.slots.get(self.link)

    def facts(self):
        return Facts(
            device_type="p1",
            boot_id=f"boot-{self.boot}",
            trial_boots_max=3,
            attempts_max=5,
            configuration_health=self.health_of_configuration,
            health_checks=self.health_checks,
            device_client=self.device_client,
            reboots=self.machine,
            attributes={"operatingSystem": "debian"},
        )

    def boots(self):
        self.boot += 1
        self.running = None
        if self.loader:
            if self.next_boot in self.does_not_boot:
                self.next_boot = next(slot for slot in ("a", "b") if slot != self.next_boot)
            self.link = self.next_boot

    def perform(self, effect):
        self.steps += 1
        cut = self.cut_at is not None and self.steps == self.cut_at
        if cut and not self.cut_after:
            raise PowerCut
        self.seen.append(type(effect))
        if self.abandon_at is type(effect) and not self.abandoned:
            self.abandoned = True
        fault = self.faults.get(type(effect))
        if fault is not None:
            raise fault
        result = self._act(effect)
        if cut:
            raise PowerCut
        return result

    def _act(self, effect):
        match effect:
            case effects.Save():
                check_follows(self.journal, effect.journal)
                self.journal = effect.journal
            case effects.Report():
                if self.abandoned:
                    raise Abandoned
                self.details.append(dict(effect.details))
            case effects.Download():
                return self._download(effect)
            case effects.ApplyDelta():
                assert self.part
                assert effect.running == self.current()
                return Downloaded(sha256=effect.sha256, size=7)
            case effects.FreshDocument():
                return self.document
            case effects.ReadManifest():
                assert self.part
                return self.manifest
            case effects.ReadRunning():
                return self.current()
            case effects.Unpack():
                assert effect.installed.slot != self.link, "the slot that runs is never written"
                self.slots[effect.installed.slot] = effect.installed
            case effects.ReadCurrentSlot():
                return self.link
            case effects.ReadOtherSlot():
                return next(slot for slot in ("a", "b") if slot != self.link)
            case effects.Switch() if self.loader:
                assert effect.slot is not None
                self.next_boot = effect.slot
            case effects.Switch():
                self.link = effect.slot
            case effects.MarkSlot():
                (self.good if effect.good else self.bad).add(effect.slot)
                (self.bad if effect.good else self.good).discard(effect.slot)
            case effects.StartSoftware():
                self.running = self.current()
            case effects.StopSoftware():
                self.running = None
            case effects.WatchHealth():
                return self._health(effect)
            case effects.ReadBootLog():
                return "last words"
            case effects.Restart():
                if self.reboots_work:
                    raise PowerCut
                raise Trouble("no reboot here")
            case effects.Discard():
                self.part = False
            case effects.CheckStep():
                pass
            case effects.RunStep():
                if self.abandoned:
                    raise Abandoned
                self.ran.append(effect.step.name)
                failure = self.step_failures.get(effect.step.name, "")
                return StepOutcome(failure=failure, stdout=f"out {effect.step.name}\n", stderr="err\n")
            case _:
                return self._act_on_configuration(effect)
        return None

    def _act_on_configuration(self, effect):
        match effect:
            case effects.ReadConfiguration():
                found = self.configuration
                return found and Configuration(content=found.encode(), sha256=digest_of(found))
            case effects.UploadConfiguration():
                outcome = self._download(effect)
                if isinstance(outcome, UrlExpired):
                    return outcome
                self.store = effect.content.decode()
                return Uploaded()
            case effects.DownloadConfiguration():
                return self._download(effect)
            case effects.PrepareConfiguration():
                assert self.part
                self.previous = self.configuration or self.previous
                self.prepared = f"{self.configuration}+{self.wanted}" if effect.merge else self.wanted
                return Prepared(sha256=digest_of(self.prepared))
            case effects.ApplyConfiguration():
                self.configuration = self.prepared
            case effects.RestoreConfiguration():
                self.configuration = self.previous if effect.existed else None
            case effects.ReloadServices():
                healthy = self.configuration not in self.refusing
                self.told = self.configuration if healthy else self.told
                reason = (
                    "the reload command passed" if healthy else "the reload command ended with exit code 3"
                )
                return Verdict(healthy=healthy, reason=reason, log="" if healthy else "no such\nlamp")
            case _:
                raise AssertionError(effect)
        return None

    def _download(self, effect):
        if self.abandoned:
            raise Abandoned
        if self.urls:
            outcome = self.urls.pop(0)
            if isinstance(outcome, UrlExpired):
                return outcome
        self.part = True
        return Downloaded(sha256=self.digest, size=7)

    def _health(self, effect):
        if effect.abandonable and self.abandoned:
            raise Abandoned
        if self.health_checks and self.configuration in self.sick_under:
            return Verdict(healthy=False, reason="the health check fails: pump.service is failed")
        if not effect.software:
            return Verdict(healthy=True, reason="passed")
        if self.running is None:
            return Verdict(healthy=False, reason="no software is installed")
        healthy = self.running.version not in self.sick
        return Verdict(
            healthy=healthy, reason="passed" if healthy else "it ended with exit code 1", log="a\nb\x07c"
        )

    def live(self, plan):
        """One plan to its end, or to a power cut, in which case False."""
        try:
            effect = next(plan)
            while True:
                try:
                    result = self.perform(effect)
                except (Trouble, Abandoned) as stop:
                    effect = plan.throw(stop)
                else:
                    effect = plan.send(result)
        except StopIteration:
            return True
        except PowerCut:
            plan.close()
            return False

    def run(self, document, number=1):
        """From the job's arrival until the device is at rest, through every restart."""
        self.document = document
        execution = Execution(
            job_id="job", execution_number=number, version_number=2, status="IN_PROGRESS", document=document
        )
        plan = carry_out(execution, self.facts(), self.journal)
        for _ in range(LIVES_MAX):
            try:
                whole = self.live(plan)
            except (Trouble, RuntimeError):  # a fault: the same life goes on from its journal
                plan = recover(self.journal, self.facts())
                continue
            if not whole:
                self.boots()
                plan = recover(self.journal, self.facts())
            elif self.journal.final is not None:
                self.finals.append(self.journal.final)
                self.journal = Journal()
                return self.finals[-1]
            elif self.abandoned and self.journal.job is None:
                return None
            elif self.abandoned:  # the service has no such job any more
                plan = give_up()
            else:  # started over: the service hands the same execution over again
                plan = carry_out(execution, self.facts(), self.journal)
        raise AssertionError(f"no end after {LIVES_MAX} lives: {self.journal}")


def check_follows(before, after):
    """What takes the place of a state in the journal is what the table of states says."""
    if before.job is None:
        return
    stage = (before.update or before.change or before.steps).stage
    table = UPDATE_STATES if before.update else CHANGE_STATES if before.change else STEPS_STATES
    following = (after.update or after.change or after.steps).stage if after.job else End.NOTHING
    if after.final is not None:
        following = End(after.final.status)
    assert following in table[stage].follows, f"{stage} is followed by {following}"


def digest_of(text):
    return hashlib.sha256(text.encode()).hexdigest()


def installed(slot, version, digest=OLD_DIGEST):
    return Installed(slot=slot, name="pump", version=version, sha256=digest, start=("./run",))


@pytest.fixture
def world():
    """A device that runs pump 1.0.0 from slot a."""
    return new_world()


def new_world(**changes):
    old = installed("a", "1.0.0")
    return replace(World(slots={"a": old}, link="a", running=old), **changes)
