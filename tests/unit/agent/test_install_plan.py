"""The install transaction: named cases, and a power cut at every step of each."""

import copy
from dataclasses import dataclass, field, replace

import pytest
from outfitter_agent.plans import effects
from outfitter_agent.plans.details import log_parts
from outfitter_agent.plans.effects import UrlExpired
from outfitter_agent.plans.states import UPDATE_STATES, End
from outfitter_agent.plans.transaction import Stage
from outfitter_agent.plans.troubles import Trouble
from outfitter_contract.execution import Status
from outfitter_contract.image import Manifest

OLD_DIGEST, NEW_DIGEST = "0" * 64, "1" * 64
URL = "https://store.example/pump.tar.gz"
INSTALL = {"operation": "install", "url": URL}
DELTA = {"base": OLD_DIGEST, "url": f"{URL}.delta", "sha256": "2" * 64, "size": 3}
WITH_DELTA = INSTALL | {
    "version": "2.0.0",
    "sha256": NEW_DIGEST,
    "deltas": [DELTA | {"base": "3" * 64}, DELTA],
}
EXPIRED = UrlExpired(reason="HTTP 403 from the store", bytes_gained=0)
EXPIRED_LATE = UrlExpired(reason="HTTP 403 from the store", bytes_gained=9)


def image(version="2.0.0", name="pump", types=("p1",)):
    return Manifest(name=name, version=version, device_types=types, start=("./run",), health=None)


@dataclass(frozen=True, kw_only=True)
class Case:
    document: object = field(default_factory=lambda: INSTALL)
    world: dict = field(default_factory=dict)
    ends: Status | None
    runs: str = "1.0.0"
    reason: str = ""
    step: str = ""
    cuts: bool = True
    """Whether the same must come out under a power cut anywhere."""


CASES = {
    "newer": Case(ends=Status.SUCCEEDED, runs="2.0.0", step="done"),
    "newer, all promised": Case(
        document=INSTALL | {"name": "pump", "version": "2.0.0", "sha256": NEW_DIGEST, "size": 7},
        ends=Status.SUCCEEDED,
        runs="2.0.0",
    ),
    "first software of a device": Case(
        world={"slots": {}, "link": None, "running": None}, ends=Status.SUCCEEDED, runs="2.0.0"
    ),
    "first software does not start": Case(
        world={"slots": {}, "link": None, "running": None, "sick": {"2.0.0"}},
        ends=Status.FAILED,
        runs=None,
        reason="ended with exit code 1",
    ),
    "does not start": Case(
        world={"sick": {"2.0.0"}}, ends=Status.FAILED, reason="ended with exit code 1", step="rolled-back"
    ),
    "neither old nor new is healthy": Case(
        world={"sick": {"1.0.0", "2.0.0"}}, ends=Status.FAILED, reason="ended with exit code 1"
    ),
    "older": Case(world={"manifest": image("0.9")}, ends=Status.FAILED, reason="0.9 is not newer than 1.0.0"),
    "older, said so": Case(
        document=INSTALL | {"version": "0.9"}, ends=Status.FAILED, reason="0.9 is not newer than 1.0.0"
    ),
    "older, forced": Case(
        document=INSTALL | {"forced": True},
        world={"manifest": image("0.9")},
        ends=Status.SUCCEEDED,
        runs="0.9",
    ),
    "same version, other image": Case(
        world={"manifest": image("1.0.0")}, ends=Status.FAILED, reason="another image of the same version"
    ),
    "same version, same image": Case(
        world={"manifest": image("1.0.0"), "digest": OLD_DIGEST}, ends=Status.SUCCEEDED, step="done"
    ),
    "same version, same image, said so": Case(
        document=INSTALL | {"version": "1.0.0", "sha256": OLD_DIGEST}, ends=Status.SUCCEEDED, step="done"
    ),
    "same image, forced": Case(
        document=INSTALL | {"forced": True},
        world={"manifest": image("1.0.0"), "digest": OLD_DIGEST},
        ends=Status.SUCCEEDED,
    ),
    "same image, not healthy": Case(
        document=INSTALL | {"version": "1.0.0", "sha256": OLD_DIGEST},
        world={"sick": {"1.0.0"}},
        ends=Status.FAILED,
        reason="installed but not healthy",
    ),
    "other software": Case(world={"manifest": image("0.1", name="valve")}, ends=Status.SUCCEEDED, runs="0.1"),
    "for another device type": Case(
        world={"manifest": image(types=("p2", "p3"))}, ends=Status.FAILED, reason="for device types p2, p3"
    ),
    "not the version that was promised": Case(
        document=INSTALL | {"version": "3.0"},
        ends=Status.FAILED,
        reason="holds version 2.0.0; the job says 3.0",
    ),
    "not the software that was promised": Case(
        document=INSTALL | {"name": "valve"}, ends=Status.FAILED, reason="holds 'pump'; the job says 'valve'"
    ),
    "unknown operation": Case(
        document={"operation": "dance", "url": URL}, ends=Status.REJECTED, reason="'dance' is not known"
    ),
    "no url": Case(document={"operation": "install"}, ends=Status.FAILED, reason="no 'url'"),
    "no document": Case(document=None, ends=Status.FAILED, reason="not a JSON object"),
    "url of a file": Case(
        document={"operation": "install", "url": "file:///etc/passwd"},
        ends=Status.FAILED,
        reason="neither https",
    ),
    "unreadable version": Case(
        document=INSTALL | {"version": "latest"}, ends=Status.FAILED, reason="'latest' is no version"
    ),
    "expired url": Case(world={"urls": [EXPIRED]}, ends=Status.SUCCEEDED, runs="2.0.0"),
    "urls that expire one after the other": Case(
        world={"urls": [EXPIRED_LATE] * 9}, ends=Status.SUCCEEDED, runs="2.0.0"
    ),
    "url refused for good": Case(
        world={"urls": [EXPIRED] * 99}, ends=Status.FAILED, reason="also with a fresh URL"
    ),
    "download fails": Case(
        world={"faults": {effects.Download: Trouble("the image is corrupt")}},
        ends=Status.FAILED,
        reason="the image is corrupt",
        step="refused",
    ),
    "no manifest": Case(
        world={"faults": {effects.ReadManifest: Trouble("no outfitter.json")}},
        ends=Status.FAILED,
        reason="no outfitter.json",
    ),
    "disk full": Case(
        world={"faults": {effects.Unpack: Trouble("the disk is full")}},
        ends=Status.FAILED,
        reason="the disk is full",
    ),
    "proof asked for": Case(
        document=INSTALL | {"confirm": {"version": "2.0.0", "sha256": NEW_DIGEST, "slot": "b"}},
        ends=Status.SUCCEEDED,
        runs="2.0.0",
    ),
    "proof of another version asked for": Case(
        document=INSTALL | {"confirm": {"version": "3.0.0"}},
        ends=Status.FAILED,
        reason="could not be proven as the job's confirm asks: version is '2.0.0' instead of '3.0.0'",
        step="refused",
    ),
    "proof of another image than the one that runs": Case(
        document=INSTALL | {"version": "1.0.0", "sha256": OLD_DIGEST, "confirm": {"sha256": NEW_DIGEST}},
        ends=Status.FAILED,
        reason="could not be proven",
    ),
    "proof that is no proof": Case(
        document=INSTALL | {"confirm": "yes"}, ends=Status.FAILED, reason="'confirm' of the job document"
    ),
    "no reboot": Case(
        world={"reboots_work": False},
        ends=Status.FAILED,
        reason="no reboot here",
        step="rolled-back",
        cuts=False,
    ),
    "delta": Case(document=WITH_DELTA | {"delta_policy": "fail"}, ends=Status.SUCCEEDED, runs="2.0.0"),
    "delta, expired url": Case(
        document=WITH_DELTA | {"delta_policy": "fail"},
        world={"urls": [EXPIRED]},
        ends=Status.SUCCEEDED,
        runs="2.0.0",
    ),
    "delta, url refused for good": Case(
        document=WITH_DELTA, world={"urls": [EXPIRED] * 2}, ends=Status.SUCCEEDED, runs="2.0.0"
    ),
    "delta that cannot be applied": Case(
        document=WITH_DELTA,
        world={"faults": {effects.ApplyDelta: Trouble("it is corrupt")}},
        ends=Status.SUCCEEDED,
        runs="2.0.0",
    ),
    "delta that cannot be applied, nothing else wanted": Case(
        document=WITH_DELTA | {"delta_policy": "fail"},
        world={"faults": {effects.ApplyDelta: Trouble("it is corrupt")}},
        ends=Status.FAILED,
        reason="wants a delta used and nothing else: it is corrupt",
        step="refused",
    ),
    "delta for another base": Case(
        document=WITH_DELTA | {"deltas": [DELTA | {"base": NEW_DIGEST}], "delta_policy": "fail"},
        ends=Status.FAILED,
        reason="none of the job's deltas is for 1.0.0, which runs here",
        step="refused",
    ),
    "delta for the first software of a device": Case(
        document=WITH_DELTA,
        world={"slots": {}, "link": None, "running": None},
        ends=Status.SUCCEEDED,
        runs="2.0.0",
    ),
    "delta without a digest of the whole": Case(
        document=INSTALL | {"deltas": [DELTA]}, ends=Status.FAILED, reason="'deltas' and no 'sha256'"
    ),
    "delta from a file": Case(
        document=WITH_DELTA | {"deltas": [DELTA | {"url": "file:///etc/passwd"}]},
        ends=Status.FAILED,
        reason="neither https",
    ),
    "delta policy of another world": Case(
        document=WITH_DELTA | {"delta_policy": "maybe"}, ends=Status.FAILED, reason="'delta_policy'"
    ),
    "cancelled while a delta is applied": Case(
        document=WITH_DELTA, world={"abandon_at": effects.Download}, ends=None
    ),
    "cancelled before the download": Case(world={"abandon_at": effects.ReadRunning}, ends=None),
    "cancelled while it downloads": Case(world={"abandon_at": effects.Download}, ends=None),
    "cancelled while it unpacks": Case(world={"abandon_at": effects.Unpack}, ends=None),
    "cancelled on trial": Case(world={"abandon_at": effects.WatchHealth}, ends=None),
}


def play(case, make_world, **changes):
    world = make_world(**copy.deepcopy(case.world) | changes)
    return world, world.run(case.document)


def check(case, world, final):
    current = world.current()
    assert (current.version if current else None) == case.runs
    assert world.running == current, "what is current runs"
    assert world.journal.job is None
    if case.ends is None:
        assert final is None
        return
    assert final.status is case.ends
    assert final.version_number == 2, "the version that the job was handed over with"
    assert case.reason in final.details.get("reason", "")
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
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.cuts])
def test_power_cut_at_every_step(name, after, make_world):
    case = CASES[name]
    whole, _ = play(case, make_world)
    for step in range(1, whole.steps + 1):
        world, final = play(case, make_world, cut_at=step, cut_after=after)
        check(case, world, final)


def test_success_is_said_only_after_another_boot(make_world):
    world, final = play(CASES["newer"], make_world)
    boots = [told["boot_id"] for told in world.details if "boot_id" in told]
    assert boots[0] == "boot-1"
    assert final.details["boot_id"] == "boot-2"
    assert final.details["slot"] == "b"
    assert final.details["sha256"] == NEW_DIGEST
    assert world.seen.index(effects.Restart) < world.seen.index(effects.WatchHealth)


def test_what_became_of_the_deltas_is_told(make_world):
    _, final = play(CASES["delta"], make_world)
    assert final.details["delta"] == "from 1.0.0: 7 bytes fetched instead of 7"
    world, final = play(CASES["delta that cannot be applied"], make_world)
    assert final.details["delta"] == "not used: it is corrupt"
    assert world.seen.count(effects.Download) == 2


def test_a_delta_that_was_of_no_use_is_not_fetched_again_after_a_power_cut(make_world):
    """What there is of the whole image is worth more."""
    case = CASES["delta that cannot be applied"]
    whole, _ = play(case, make_world)
    second = [at for at, effect in enumerate(whole.seen, 1) if effect is effects.Download][1]
    world, final = play(case, make_world, cut_at=second)
    assert final.status is Status.SUCCEEDED
    assert world.seen.count(effects.ApplyDelta) == 1
    assert final.details["delta"] == "not used: it is corrupt"


def test_rollback_tells_the_log_of_what_failed(make_world):
    _, final = play(CASES["does not start"], make_world)
    assert final.details["log_1"] == "a | bc"
    assert (final.details["slot"], final.details["version"]) == ("a", "1.0.0")
    assert final.details["boot_id"] == "boot-3"


def test_long_log_is_three_values(make_world):
    parts = log_parts("".join(f"line {number}\n" for number in range(2000)))
    assert [len(part) for part in parts] == [1024, 1024, 1024]
    assert parts[-1].endswith("line 1998 | line 1999")


def test_power_that_never_stays_rolls_back(make_world):
    """The machine dies in every trial boot: after three the old software comes back."""
    world = make_world()
    dies = 0

    class Dies(type(world)):
        def _health(self, effect):
            nonlocal dies
            if self.running and self.running.version == "2.0.0":
                dies += 1
                raise world.power_cut
            return super()._health(effect)

    world.__class__ = Dies
    final = world.run(INSTALL)
    assert dies == 3
    assert final.status is Status.FAILED
    assert "not proven within 3 boots" in final.details["reason"]
    assert final.details["log_1"] == "last words"
    assert world.current().version == "1.0.0"


def test_power_that_never_stays_in_the_rollback_ends_it(make_world):
    """The machine dies whenever the software before is looked at: after three times it is left alone, and told."""
    world = make_world(sick={"2.0.0"})
    dies = 0

    class Dies(type(world)):
        def _health(self, effect):
            nonlocal dies
            if self.running and self.running.version == "1.0.0":
                dies += 1
                raise world.power_cut
            return super()._health(effect)

    world.__class__ = Dies
    final = world.run(INSTALL)
    assert dies == 3
    assert final.status is Status.FAILED
    assert "3 starts of the previous software did not come to an end" in final.details["health"]
    assert world.current().version == "1.0.0"


def test_job_that_never_ends_is_given_up(make_world):
    world = make_world()

    class Dies(type(world)):
        def _act(self, effect):
            if isinstance(effect, effects.Unpack):
                raise world.power_cut
            return super()._act(effect)

    world.__class__ = Dies
    final = world.run(INSTALL)
    assert final.status is Status.FAILED
    assert "begun 5 times" in final.details["reason"]


def test_wrong_software_behind_the_link_is_no_success(make_world):
    world = make_world()

    class Lies(type(world)):
        def _act(self, effect):
            result = super()._act(effect)
            if isinstance(effect, effects.Unpack):
                self.slots["b"] = replace(self.slots["b"], sha256="f" * 64)
            return result

    world.__class__ = Lies
    final = world.run(INSTALL)
    assert final.status is Status.FAILED
    assert "the wrong software runs" in final.details["reason"]


def test_retry_of_a_job_begins_its_own_count(make_world):
    world = make_world(sick={"2.0.0"})
    assert world.run(INSTALL).status is Status.FAILED
    world.sick.clear()
    assert world.run(INSTALL, number=2).status is Status.SUCCEEDED


def test_every_state_has_an_exit_on_failure_and_a_count():
    assert set(UPDATE_STATES) == set(Stage)
    for stage, state in UPDATE_STATES.items():
        assert state.failure in state.follows
        assert state.failure is End.FAILED or UPDATE_STATES[state.failure].failure is End.FAILED
        assert stage not in state.follows or state.counter


LOADER = {"loader": True, "next_boot": "a"}
LOADED = {
    **{name: case for name, case in CASES.items() if "first software" not in name},
    "new software does not boot": Case(
        world={"does_not_boot": {"b"}},
        ends=Status.FAILED,
        reason="the machine came up in slot a instead of b",
        step="rolled-back",
    ),
}


@pytest.mark.parametrize("name", LOADED)
def test_case_under_a_boot_loader(name, make_world):
    case = LOADED[name]
    world, final = play(case, make_world, **LOADER)
    check(case, world, final)
    assert world.next_boot == world.link
    if case.step:
        assert final.details["step"] == case.step
    if case.runs == "2.0.0":
        assert (world.good, world.bad) == ({"b"}, set())
    elif effects.Unpack in world.seen and case.step == "rolled-back":
        assert (world.good, world.bad) == (set(), {"b"})
        assert final.details["slot"] == "a"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", [name for name, case in LOADED.items() if case.cuts])
def test_power_cut_at_every_step_under_a_boot_loader(name, after, make_world):
    case = LOADED[name]
    whole, _ = play(case, make_world, **LOADER)
    for step in range(1, whole.steps + 1):
        world, final = play(case, make_world, **LOADER, cut_at=step, cut_after=after)
        check(case, world, final)
        assert world.next_boot == world.link


def test_boot_that_fell_back_tells_its_log(make_world):
    _, final = play(LOADED["new software does not boot"], make_world, **LOADER)
    assert final.details["log_1"] == "last words"


def test_log_that_cannot_be_read_is_left_out(make_world):
    world, final = play(
        LOADED["new software does not boot"],
        make_world,
        **LOADER,
        faults={effects.ReadBootLog: Trouble("the disk is broken")},
    )
    assert "the new software does not boot" in final.details["reason"]
    assert (world.link, "log_1" in final.details) == ("a", False)


@pytest.mark.parametrize(
    "wrong", [{}, {"sick": {"2.0.0"}}, {"faults": {effects.ReadManifest: Trouble("corrupt")}}]
)
def test_full_disk_gets_the_room_of_the_download_for_the_end(wrong, make_world):
    """Others have filled the disk after the download: no journal can be written as long as it is there."""
    world = make_world(**wrong)

    class Full(type(world)):
        def _act(self, effect):
            if isinstance(effect, effects.Save) and self.part and effect.journal.final is not None:
                raise Trouble("save failed: No space left on device")
            return super()._act(effect)

    world.__class__ = Full
    final = world.run(INSTALL)
    assert final.status is (Status.FAILED if wrong else Status.SUCCEEDED)
    assert "No space" not in final.details.get("reason", "")
    assert not world.part


def test_machine_that_came_back_by_itself_is_not_restarted_again(make_world):
    world, _ = play(LOADED["new software does not boot"], make_world, **LOADER)
    assert world.seen.count(effects.Restart) == 1
    assert world.boot == 2


@pytest.mark.parametrize("sick", [set(), {"2.0.0"}])
def test_software_of_the_factory(sick, make_world):
    """What runs is not known to the agent; there is a slot to go back to all the same."""
    world = make_world(slots={}, running=None, sick=sick, **LOADER)
    final = world.run(INSTALL)
    assert (final.status, world.link) == ((Status.FAILED, "a") if sick else (Status.SUCCEEDED, "b"))
    assert final.details["slot"] == world.link
    assert ("version" in final.details) == (not sick)


def test_machine_that_does_not_go_back_says_so(make_world):
    world = make_world(sick={"2.0.0"}, **LOADER)

    class Stays(type(world)):
        def _act(self, effect):
            if isinstance(effect, effects.Restart) and self.link == "b":
                raise Trouble("no reboot here")
            return super()._act(effect)

    world.__class__ = Stays
    final = world.run(INSTALL)
    assert final.status is Status.FAILED
    assert (final.details["slot"], final.details["version"]) == ("b", "2.0.0")
    assert final.details["health"] == "slot b still runs; slot a is the next to boot"
    assert "no reboot here" in final.details["reason"]


def test_slot_that_cannot_be_marked_is_given_up_and_the_device_goes_back(make_world):
    final = make_world(faults={effects.MarkSlot: Trouble("no boot loader")}, **LOADER).run(INSTALL)
    assert final.status is Status.FAILED
    assert final.details["reason"] == "no boot loader; not marked bad: no boot loader"
    assert final.details["slot"] == "a"


def test_only_a_trial_has_a_bound_from_the_boot_on(make_world):
    watched = []

    class Slow(type(make_world())):
        def facts(self):
            return replace(super().facts(), trial_timeout_seconds=30)

        def _health(self, effect):
            watched.append((self.link, effect.boot_seconds_max))
            return super()._health(effect)

    world = make_world(sick={"2.0.0"})
    world.__class__ = Slow
    world.run(INSTALL)
    assert watched == [("b", 30), ("a", 0)]
