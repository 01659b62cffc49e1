"""Configuration to and from a device: named cases, and a power cut at every step of each."""

import copy
import hashlib
from dataclasses import dataclass, field, replace

import pytest
from outfitter_agent.plans import effects
from outfitter_agent.plans.effects import UrlExpired
from outfitter_agent.plans.states import CHANGE_STATES, End
from outfitter_agent.plans.transaction import ChangeStage
from outfitter_agent.plans.troubles import Trouble
from outfitter_contract.execution import Status

URL = "https://store.example/configurations/x.json"
UPLOAD = {"operation": "config-upload", "url": URL}
DOWNLOAD = {"operation": "config-download", "url": URL}
EXPIRED = UrlExpired(reason="HTTP 403 from the store", bytes_gained=0)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Case:
    document: object
    world: dict = field(default_factory=dict)
    ends: Status | None
    holds: str | None = "old"
    """The configuration that is in force in the end; the services know the same."""
    stored: str | None = None
    reason: str = ""
    step: str = ""
    told: str | None = ""
    """What the services know, where it is not what is in force."""


CASES = {
    "upload": Case(document=UPLOAD, ends=Status.SUCCEEDED, stored="old", step="done"),
    "upload, url expired": Case(
        document=UPLOAD, world={"urls": [EXPIRED]}, ends=Status.SUCCEEDED, stored="old"
    ),
    "upload, url refused for good": Case(
        document=UPLOAD, world={"urls": [EXPIRED] * 99}, ends=Status.FAILED, reason="also with a fresh URL"
    ),
    "upload, the store refuses": Case(
        document=UPLOAD,
        world={"faults": {effects.UploadConfiguration: Trouble("HTTP 404 from the store")}},
        ends=Status.FAILED,
        reason="HTTP 404",
        step="refused",
    ),
    "upload, no configuration": Case(
        document=UPLOAD,
        world={"configuration": None, "told": None},
        ends=Status.FAILED,
        holds=None,
        reason="has no configuration",
    ),
    "upload, no url": Case(
        document={"operation": "config-upload"}, ends=Status.FAILED, reason="no 'url', which config-upload"
    ),
    "upload to a file": Case(
        document=UPLOAD | {"url": "file:///tmp/x"}, ends=Status.FAILED, reason="neither https nor http"
    ),
    "upload, cancelled": Case(document=UPLOAD, world={"abandon_at": effects.ReadConfiguration}, ends=None),
    "download": Case(document=DOWNLOAD, ends=Status.SUCCEEDED, holds="new", step="done"),
    "download, all promised": Case(
        document=DOWNLOAD | {"sha256": digest("new"), "size": 3}, ends=Status.SUCCEEDED, holds="new"
    ),
    "first configuration of a device": Case(
        document=DOWNLOAD, world={"configuration": None, "told": None}, ends=Status.SUCCEEDED, holds="new"
    ),
    "merged": Case(document=DOWNLOAD | {"merge": True}, world={}, ends=Status.SUCCEEDED, holds="old+new"),
    "in force already, promised": Case(
        document=DOWNLOAD | {"sha256": digest("old")}, ends=Status.SUCCEEDED, step="done"
    ),
    "in force already, found out": Case(document=DOWNLOAD, world={"wanted": "old"}, ends=Status.SUCCEEDED),
    "in force already, forced": Case(
        document=DOWNLOAD | {"forced": True}, world={"wanted": "old"}, ends=Status.SUCCEEDED
    ),
    "url expired": Case(document=DOWNLOAD, world={"urls": [EXPIRED]}, ends=Status.SUCCEEDED, holds="new"),
    "url refused for good": Case(
        document=DOWNLOAD, world={"urls": [EXPIRED] * 99}, ends=Status.FAILED, reason="also with a fresh URL"
    ),
    "breaks its schema": Case(
        document=DOWNLOAD,
        world={"faults": {effects.PrepareConfiguration: Trouble("breaks its schema")}},
        ends=Status.FAILED,
        reason="breaks its schema",
        step="refused",
    ),
    "proof of another configuration asked for": Case(
        document=DOWNLOAD | {"confirm": {"sha256": digest("newer")}},
        ends=Status.FAILED,
        reason="could not be proven",
        step="refused",
    ),
    "proof of the one in force asked for": Case(
        document=DOWNLOAD | {"sha256": digest("old"), "confirm": {"sha256": digest("old")}},
        ends=Status.SUCCEEDED,
    ),
    "too large": Case(
        document=DOWNLOAD,
        world={"faults": {effects.DownloadConfiguration: Trouble("larger than this device takes")}},
        ends=Status.FAILED,
        reason="larger than",
    ),
    "the services refuse it": Case(
        document=DOWNLOAD,
        world={"refusing": {"new"}},
        ends=Status.FAILED,
        reason="exit code 3",
        step="rolled-back",
    ),
    "the services refuse the first one": Case(
        document=DOWNLOAD,
        world={"refusing": {"new"}, "configuration": None, "told": None},
        ends=Status.FAILED,
        holds=None,
        reason="exit code 3",
    ),
    "the services refuse both": Case(
        document=DOWNLOAD, world={"refusing": {"new", "old"}}, ends=Status.FAILED, reason="exit code 3"
    ),
    "the software is not healthy under it": Case(
        document=DOWNLOAD,
        world={"health_of_configuration": True, "sick": {"1.0.0"}},
        ends=Status.FAILED,
        reason="ended with exit code 1",
        step="rolled-back",
    ),
    "the software is healthy under it": Case(
        document=DOWNLOAD, world={"health_of_configuration": True}, ends=Status.SUCCEEDED, holds="new"
    ),
    "no software to look at": Case(
        document=DOWNLOAD,
        world={"health_of_configuration": True, "slots": {}, "link": None, "running": None},
        ends=Status.SUCCEEDED,
        holds="new",
    ),
    "no software, and a unit that stops under it": Case(
        document=DOWNLOAD,
        world={
            "health_of_configuration": True,
            "health_checks": True,
            "sick_under": {"new"},
            "slots": {},
            "link": None,
            "running": None,
        },
        ends=Status.FAILED,
        reason="pump.service is failed",
        step="rolled-back",
    ),
    "no software, and a unit that stays": Case(
        document=DOWNLOAD,
        world={
            "health_of_configuration": True,
            "health_checks": True,
            "slots": {},
            "link": None,
            "running": None,
        },
        ends=Status.SUCCEEDED,
        holds="new",
    ),
    "disk full": Case(
        document=DOWNLOAD,
        world={"faults": {effects.ApplyConfiguration: Trouble("no space left")}},
        ends=Status.FAILED,
        reason="no space left",
        step="rolled-back",
    ),
    "cancelled while it is fetched": Case(
        document=DOWNLOAD, world={"abandon_at": effects.DownloadConfiguration}, ends=None
    ),
    "cancelled before it is applied": Case(
        document=DOWNLOAD, world={"abandon_at": effects.PrepareConfiguration}, ends=None
    ),
    "cancelled while the services are told": Case(
        document=DOWNLOAD, world={"abandon_at": effects.ReloadServices}, ends=None
    ),
    "cancelled while the software is watched": Case(
        document=DOWNLOAD,
        world={"health_of_configuration": True, "abandon_at": effects.WatchHealth},
        ends=None,
    ),
}


def play(case, make_world, **changes):
    world = make_world(**copy.deepcopy(case.world) | changes)
    return world, world.run(case.document)


def check(case, world, final):
    assert world.configuration == case.holds
    assert world.journal.job is None
    assert world.running == world.current(), "the software runs"
    if world.configuration not in world.refusing | {None}:
        assert world.told == world.configuration, "the services know what is in force"
    if case.stored:
        assert world.store == case.stored
    if case.ends is None:
        assert final is None
        return
    assert final.status is case.ends
    assert final.version_number == 2
    assert case.reason in final.details.get("reason", "")
    if final.status is Status.SUCCEEDED:
        assert final.details["sha256"] == digest(case.holds)
    assert len(final.details) <= 10
    assert all(1 <= len(value) <= 1024 and value.isprintable() for value in final.details.values())


@pytest.fixture
def make_world(world):
    return lambda **changes: replace(copy.deepcopy(world), **changes)


@pytest.mark.parametrize("name", CASES)
def test_case(name, make_world):
    case = CASES[name]
    world, final = play(case, make_world)
    check(case, world, final)
    if case.step:
        assert final.details["step"] == case.step
    assert not world.part, "downloads are tidied away"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", CASES)
def test_power_cut_at_every_step(name, after, make_world):
    case = CASES[name]
    whole, _ = play(case, make_world)
    for step in range(1, whole.steps + 1):
        world, final = play(case, make_world, cut_at=step, cut_after=after)
        check(case, world, final)


def test_nothing_is_told_that_knows_it_already(make_world):
    for document in (DOWNLOAD, DOWNLOAD | {"sha256": digest("old")}):
        world, final = play(Case(document=document, world={"wanted": "old"}, ends=None), make_world)
        assert final.details["health"] == "in force already"
        assert effects.ReloadServices not in world.seen
        assert effects.ApplyConfiguration not in world.seen
    world, _ = play(CASES["in force already, forced"], make_world)
    assert effects.ReloadServices in world.seen


def test_the_file_is_touched_only_when_both_lie_beside_it(make_world):
    world, _ = play(CASES["download"], make_world)
    order = [world.seen.index(each) for each in (effects.PrepareConfiguration, effects.ApplyConfiguration)]
    assert order == sorted(order)
    assert effects.Save in world.seen[order[0] : order[1]], "the journal knows before the file changes"


def test_failure_brings_the_log_and_what_is_in_force(make_world):
    _, final = play(CASES["the services refuse it"], make_world)
    assert final.details["log_1"] == "no such | lamp"
    assert final.details["sha256"] == digest("old")
    assert final.details["health"] == "the reload command passed"
    _, final = play(CASES["the services refuse both"], make_world)
    assert final.details["health"].startswith("the services do not take the configuration before either")


def test_reload_that_takes_the_machine_down_is_taken_back(make_world):
    """The machine dies in each reload, of the new configuration and then of the old: both are counted."""
    world = make_world()
    dies = []

    class Dies(type(world)):
        def _act_on_configuration(self, effect):
            if isinstance(effect, effects.ReloadServices):
                dies.append(self.configuration)
                raise world.power_cut
            return super()._act_on_configuration(effect)

    world.__class__ = Dies
    final = world.run(DOWNLOAD)
    assert dies == ["new"] * 3 + ["old"] * 3
    assert final.status is Status.FAILED
    assert final.details["reason"] == "the new configuration was not proven within 3 tries"
    assert "3 tries did not come to an end" in final.details["health"]
    assert world.configuration == "old"


def test_fault_in_the_middle_is_settled_before_the_job_starts_again(make_world):
    """A fault of a hand leaves the change halfway: the copy of the configuration before is not written over."""
    world = make_world(refusing={"new"})
    faults = iter([RuntimeError("a fault"), None, None, None, None, None])

    class Faulty(type(world)):
        def _act_on_configuration(self, effect):
            if isinstance(effect, effects.ReloadServices) and (fault := next(faults)):
                raise fault
            return super()._act_on_configuration(effect)

    world.__class__ = Faulty
    final = world.run(DOWNLOAD)
    assert (final.status, world.configuration, world.previous) == (Status.FAILED, "old", "old")


def test_services_that_change_the_file_are_no_success(make_world):
    world = make_world()

    class Changes(type(world)):
        def _act_on_configuration(self, effect):
            result = super()._act_on_configuration(effect)
            if isinstance(effect, effects.ReloadServices) and self.configuration == "new":
                self.configuration = "newer"
            return result

    world.__class__ = Changes
    final = world.run(DOWNLOAD)
    assert final.status is Status.FAILED
    assert "another configuration is in force" in final.details["reason"]


def test_restoring_that_fails_is_tried_again_and_then_told(make_world):
    world = make_world(refusing={"new"}, faults={effects.RestoreConfiguration: Trouble("no space left")})
    final = world.run(DOWNLOAD)
    assert final.status is Status.FAILED
    assert "could not be put back: no space left" in final.details["health"]
    assert world.seen.count(effects.RestoreConfiguration) == world.facts().trial_boots_max
    assert "exit code 3" in final.details["reason"]
    assert (world.configuration, final.details["sha256"]) == ("new", digest("new")), "what is in force"


def test_restoring_that_fails_once_succeeds_later(make_world):
    world = make_world(refusing={"new"}, faults={effects.RestoreConfiguration: Trouble("no space left")})

    class OnceOnly(type(world)):
        def perform(self, effect):
            try:
                return super().perform(effect)
            except Trouble:
                self.faults.clear()
                raise

    world.__class__ = OnceOnly
    final = world.run(DOWNLOAD)
    assert world.seen.count(effects.RestoreConfiguration) == 2
    assert (world.configuration, final.details["sha256"]) == ("old", digest("old"))
    assert final.details["health"] == "the reload command passed"


def test_services_that_cannot_be_told_of_the_one_before(make_world):
    world = make_world(faults={effects.ReloadServices: Trouble("the hooks cannot be read")})
    final = world.run(DOWNLOAD)
    assert (world.configuration, final.details["sha256"]) == ("old", digest("old"))
    told = "the services could not be told of the configuration before: the hooks cannot be read"
    assert final.details["health"] == told


def test_what_is_in_force_is_not_said_when_it_cannot_be_read(make_world):
    world = make_world(refusing={"new"})

    class Unreadable(type(world)):
        def _act_on_configuration(self, effect):
            if isinstance(effect, effects.ReadConfiguration) and effects.RestoreConfiguration in self.seen:
                raise Trouble("larger than this device takes")
            return super()._act_on_configuration(effect)

    world.__class__ = Unreadable
    assert "sha256" not in world.run(DOWNLOAD).details


def test_upload_that_never_ends_is_given_up(make_world):
    world = make_world()

    class Dies(type(world)):
        def _act_on_configuration(self, effect):
            if isinstance(effect, effects.UploadConfiguration):
                raise world.power_cut
            return super()._act_on_configuration(effect)

    world.__class__ = Dies
    final = world.run(UPLOAD)
    assert "begun 5 times" in final.details["reason"]


def test_every_state_has_an_exit_on_failure_and_a_count():
    assert set(CHANGE_STATES) == set(ChangeStage)
    for stage, state in CHANGE_STATES.items():
        assert state.failure in state.follows
        assert state.failure is End.FAILED or CHANGE_STATES[state.failure].failure is End.FAILED
        assert stage not in state.follows or state.counter
