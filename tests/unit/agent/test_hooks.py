"""Hooks: which are run, what they are told, and what a failure, a way back and a power loss make of it."""

import pytest
from outfitter_agent.hands.hooks import Hooks
from outfitter_agent.hands.reload import Reload

BEFORE = b'{"alarm_high": 7, "alarm_low": 1, "hall": "a", "wifi": "old"}'
AFTER = b'{"alarm_high": 9, "alarm_low": 1, "hall": "b", "wifi": "new"}'


class PowerCutError(Exception):
    """The machine stops here."""


class Bench:
    """A folder of hooks, each of which writes what it was told to one file."""

    def __init__(self, place):
        self.folder, self.state, self.told = place / "hooks", place / "state", place / "told"
        self.folder.mkdir()
        self.cut_after = None
        self.hooks = self.start()

    def start(self):
        """An agent that starts anew knows what the disk holds, no more."""
        return Hooks(self.folder, self.state, self._command)

    def add(self, name, then="true"):
        program = self.folder / name
        line = f'{{ echo {name.partition("-")[0]}; tr -d " \\n" < $OUTFITTER_OLD; echo; tr -d " \\n" < $OUTFITTER_NEW; echo; }}'
        program.write_text(f"#!/bin/sh\n{line} >> {self.told}\n{then}\n")
        program.chmod(0o755)

    def heard(self):
        text = self.told.read_text() if self.told.exists() else ""
        self.told.unlink(missing_ok=True)
        return text.split()

    def _command(self, program, environment):
        command = Reload(
            [str(program)],
            timeout_seconds=10,
            folder=self.folder,
            log=self.state / "log",
            environment=environment,
            name=f"the hook {program.name}",
            beat=lambda: None,
        )
        if program.name == self.cut_after:
            command.run(None)
            raise PowerCutError
        return command


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_in_order_each_once_with_its_own_values_alone(bench):
    bench.add("20-alarm*")
    bench.add("10-wifi")
    bench.add("30-absent")
    bench.hooks.begin(BEFORE)
    verdict = bench.hooks.run(AFTER, None)
    assert (verdict.healthy, verdict.reason) == (True, "hooks that passed: 10-wifi, 20-alarm*")
    alarms = ['{"alarm_high":7,"alarm_low":1}', '{"alarm_high":9,"alarm_low":1}']
    assert bench.heard() == ["10", '{"wifi":"old"}', '{"wifi":"new"}', "20", *alarms]
    assert bench.hooks.run(AFTER, None).reason == ""
    assert bench.heard() == []


def test_nothing_changed_or_no_folder_is_set(bench, tmp_path):
    bench.add("10-wifi")
    bench.hooks.begin(BEFORE)
    assert bench.hooks.run(BEFORE, None).healthy
    none = Hooks(None, tmp_path / "other", bench._command)
    none.begin(BEFORE)
    assert none.run(AFTER, None).healthy
    assert bench.heard() == []


def test_after_a_failure_those_that_ran_are_told_the_values_before(bench):
    bench.add("10-wifi")
    bench.add("20-alarm*", then="grep -q 9 $OUTFITTER_NEW && exit 3; true")
    bench.add("30-hall")
    bench.hooks.begin(BEFORE)
    verdict = bench.hooks.run(AFTER, None)
    assert (verdict.healthy, verdict.reason) == (False, "the hook 20-alarm* ended with exit code 3")
    assert bench.heard()[0::3] == ["10", "20"]
    assert bench.hooks.run(BEFORE, None).healthy
    heard = bench.heard()
    assert heard[0::3] == ["10", "20"]
    assert heard[1:3] == ['{"wifi":"new"}', '{"wifi":"old"}']


def test_after_a_power_loss_none_is_lost_and_what_had_passed_is_not_run_again(bench):
    for name in ("10-wifi", "20-alarm*", "30-hall"):
        bench.add(name)
    bench.hooks.begin(BEFORE)
    bench.cut_after = "20-alarm*"
    with pytest.raises(PowerCutError):
        bench.hooks.run(AFTER, None)
    assert bench.heard()[0::3] == ["10", "20"]
    bench.cut_after = None
    assert bench.start().run(AFTER, None).healthy
    assert bench.heard()[0::3] == ["20", "30"]


def test_values_are_for_the_agents_user_alone(bench):
    bench.add("10-wifi")
    bench.hooks.begin(BEFORE)
    assert bench.hooks.run(AFTER, None).healthy
    assert {path.name: path.stat().st_mode & 0o777 for path in bench.state.glob("*.json")} == {
        "hook-new.json": 0o600,
        "hook-old.json": 0o600,
        "hooks.json": 0o600,
    }


def test_one_that_cannot_be_started_is_a_failure(bench):
    bench.add("10-wifi")
    (bench.folder / "10-wifi").chmod(0o644)
    bench.hooks.begin(BEFORE)
    verdict = bench.hooks.run(AFTER, None)
    assert not verdict.healthy
    assert "the hook 10-wifi could not be started" in verdict.reason
