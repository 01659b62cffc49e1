"""What a reboot is, and what happens when it does not come."""

import re
import sys

import pytest
from outfitter_agent.hands import reboot
from outfitter_agent.hands.reboot import KERNEL_BOOT_ID, RebootMachine, RestartAgent
from outfitter_agent.plans.troubles import Trouble


def test_each_start_of_the_agent_is_a_boot():
    assert RestartAgent([], before=lambda: None).boot_id != RestartAgent([], before=lambda: None).boot_id


def test_the_kernel_tells_boots_of_the_machine_apart():
    assert (
        RebootMachine(["true"], stopping=lambda seconds: True).boot_id == KERNEL_BOOT_ID.read_text().strip()
    )


def test_command_that_takes_the_machine_down(tmp_path):
    told = tmp_path / "told"
    RebootMachine(["touch", str(told)], stopping=lambda seconds: True).restart()
    assert told.exists()


@pytest.mark.parametrize("command", [["false"], ["./no-such-command"]])
def test_command_that_fails(command):
    with pytest.raises(Trouble, match="the reboot command failed"):
        RebootMachine(command, stopping=lambda seconds: True).restart()


def test_machine_that_stays_up():
    waited = []
    with pytest.raises(Trouble, match=re.escape("did not go down within 300 s")):
        RebootMachine(["true"], stopping=lambda seconds: waited.append(seconds) is not None).restart()
    assert 299 < waited[0] <= 300


def test_agent_that_cannot_be_started_anew(monkeypatch):
    closed = []
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    agent = reboot.RestartAgent(["-c", "pass"], before=lambda: closed.append(True))
    with pytest.raises(SystemExit, match="cannot be started anew"):
        agent.restart()
    assert closed
