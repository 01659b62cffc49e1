"""Documents of AWS's device client: what runs in which order, what is refused, and a power cut at every step."""

import copy
from dataclasses import replace

import pytest
from outfitter_agent.plans import effects
from outfitter_agent.plans.states import STEPS_STATES, End
from outfitter_agent.plans.transaction import StepsStage
from outfitter_agent.plans.troubles import Refusal
from outfitter_contract.execution import Status

REBOOT = {"type": "runHandler", "input": {"handler": "reboot.sh"}}


@pytest.fixture
def make_world(world):
    """Worlds that begin alike and have nothing in common."""
    return lambda **changes: replace(copy.deepcopy(world), **changes)


def action(name, **more):
    return {"action": {"name": name, "type": "runCommand", "input": {"command": "true"}, **more}}


def document(*steps, **more):
    return {"version": "1.0", "steps": list(steps), **more}


THREE = document(action("one"), action("two"), action("three"))
REBOOTED = document(action("one"), action("reboot", **REBOOT), action("two"), action("again", **REBOOT))


def test_steps_run_in_their_order_and_the_final_one_last(world):
    final = world.run(THREE | {"finalStep": action("last"), "includeStdOut": "true"})
    assert (final.status, world.ran) == (Status.SUCCEEDED, ["one", "two", "three", "last"])
    assert final.details["stdout"] == "out one | out two | out three | out last"
    assert final.details["stderr"] == "err | err | err | err"
    assert [told["action"] for told in world.details if told["step"] == "running"][1] == "2 of 4: two"


def test_what_was_written_is_told_only_when_asked_for(world):
    final = world.run(THREE)
    assert "stdout" not in final.details


def test_the_first_failure_is_the_last_step(world):
    world.step_failures["two"] = "ended with exit code 3"
    final = world.run(THREE | {"finalStep": action("last")})
    assert (final.status, world.ran) == (Status.FAILED, ["one", "two"])
    assert final.details["reason"] == "step 2, two: ended with exit code 3"


def test_a_failure_that_may_be_is_told_and_goes_on(world):
    world.step_failures["two"] = "ended with exit code 3"
    final = world.run(document(action("one"), action("two", ignoreStepFailure="true"), action("three")))
    assert (final.status, world.ran) == (Status.SUCCEEDED, ["one", "two", "three"])
    assert final.details["ignored"] == "step 2, two: ended with exit code 3"


@pytest.mark.parametrize(
    ("given", "changes", "status", "reason"),
    [
        (THREE, {"device_client": False}, Status.REJECTED, "device_client = true"),
        (REBOOTED, {"machine": False}, Status.REJECTED, "this device has no reboot"),
        (document(), {}, Status.FAILED, "steps must have one step at least"),
        (
            THREE | {"conditions": [{"key": "operatingSystem", "value": ["ubuntu", "fedora"]}]},
            {},
            Status.REJECTED,
            "operatingSystem of this device is 'debian', not ubuntu or fedora",
        ),
        (
            THREE | {"conditions": [{"key": "colour", "value": ["red"]}]},
            {},
            Status.REJECTED,
            "does not know 'colour'; it knows operatingSystem",
        ),
        (THREE, {"faults": {effects.CheckStep: Refusal("not this one")}}, Status.REJECTED, "not this one"),
    ],
)
def test_what_is_refused_runs_nothing(world, given, changes, status, reason):
    for name, value in changes.items():
        setattr(world, name, value)
    final = world.run(given)
    assert (final.status, world.ran) == (status, [])
    assert reason in final.details["reason"]


def test_a_condition_that_holds(world):
    conditions = [{"key": "operatingSystem", "value": ["ubuntu", "debian"], "type": "stringEqual"}]
    assert world.run(THREE | {"conditions": conditions}).status is Status.SUCCEEDED


def test_it_goes_on_behind_each_reboot(world):
    final = world.run(REBOOTED)
    assert (final.status, world.ran, world.boot) == (Status.SUCCEEDED, ["one", "two"], 3)


def test_a_reboot_that_does_not_come_is_a_failure(world):
    world.reboots_work = False
    final = world.run(REBOOTED)
    assert (final.status, world.ran) == (Status.FAILED, ["one"])
    assert final.details["reason"] == "step 2, reboot: no reboot here"
    assert world.running, "the software runs again"


def test_a_job_that_has_ended_elsewhere_stops(world):
    world.abandon_at = effects.RunStep
    assert world.run(THREE) is None
    assert (world.ran, world.journal.job) == ([], None)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("given", [THREE, REBOOTED], ids=["steps", "reboots"])
def test_no_power_cut_runs_a_step_twice_or_leaves_one_out_in_silence(given, after, make_world):
    whole = make_world()
    whole.run(given)
    interrupted = 0
    for cut in range(1, whole.steps + 1):
        world = make_world(cut_at=cut, cut_after=after)
        final = world.run(given)
        assert world.ran == whole.ran[: len(world.ran)]
        if final.status is Status.SUCCEEDED:
            assert world.ran == whole.ran
        else:
            interrupted += 1
            assert final.details["reason"].startswith("interrupted in step")
    assert interrupted


def test_a_fault_in_a_step_is_not_tried_again(world):
    world.faults[effects.RunStep] = RuntimeError("a fault")
    final = world.run(THREE)
    assert (final.status, world.ran) == (Status.FAILED, [])
    assert "interrupted in step 1" in final.details["reason"]


def test_every_state_has_an_exit_on_failure_and_a_count():
    assert set(STEPS_STATES) == set(StepsStage)
    assert all(state.failure is End.FAILED and state.counter for state in STEPS_STATES.values())
