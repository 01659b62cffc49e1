"""What a reboot is, and what happens when it does not come."""

import os
import re
import signal
import subprocess
import sys

import pytest
from outfitter_agent.hands import reboot
from outfitter_agent.hands.reboot import KERNEL_BOOT_ID, RebootMachine, RestartAgent
from outfitter_agent.plans.troubles import Trouble


def nothing():
    """Nothing is to be closed, and nobody wants the agent to end."""


def test_each_start_of_the_agent_is_a_boot():
    assert (
        RestartAgent([], before=nothing, check=nothing).boot_id
        != RestartAgent([], before=nothing, check=nothing).boot_id
    )


def test_the_kernel_tells_boots_of_the_machine_apart():
    assert (
        RebootMachine(["true"], stopping=lambda seconds: True).boot_id == KERNEL_BOOT_ID.read_text().strip()
    )


def test_a_container_is_as_old_as_its_first_process(tmp_path):
    asks = "from outfitter_agent.hands.reboot import *; print(seconds_since_boot(RebootMachine([], bool)))"
    inside = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", asks]
    told = subprocess.run(inside, check=True, capture_output=True, text=True).stdout
    assert 0 <= float(told) < 30
    hidden = tmp_path / "stat"
    for content in ("", "1 (init) S 0", "1 (a) b) S" + " x" * 40):
        hidden.write_text(content)
        assert reboot.system_began_at(hidden) == 0
    assert reboot.system_began_at(tmp_path / "none") == 0
    hidden.write_text("1 (a ) b) S" + " 0" * 18 + f" {250 * os.sysconf('SC_CLK_TCK')} 7")
    assert reboot.system_began_at(hidden) == 250


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
    agent = reboot.RestartAgent(["-c", "pass"], before=lambda: closed.append(True), check=nothing)
    with pytest.raises(SystemExit, match="cannot be started anew"):
        agent.restart()
    assert closed
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])


FRESH = """
from outfitter_agent.hands.signals import Signals, Stopping
signals = Signals()
signals.hear()
try:
    signals.check(abandonable=False)
except Stopping:
    print("the fresh one was told to end")
else:
    print("the fresh one runs")
"""
OLD = """
import os, signal
from outfitter_agent.hands.reboot import RestartAgent
from outfitter_agent.hands.signals import Signals, Stopping

def told():
    os.kill(os.getpid(), signal.SIGTERM)

signals = Signals()
signals.hear()
def check():
    signals.check(abandonable=False)
def check_too_early():
    check()
    told()
try:
    RestartAgent(["-c", {fresh!r}], before={before}, check={check}).restart()
except Stopping:
    print("the old one was told to end")
"""


@pytest.mark.parametrize(
    ("before", "check", "says"),
    [
        ("lambda: None", "check", "the fresh one runs"),
        ("told", "check", "the old one was told to end"),
        ("lambda: None", "check_too_early", "the fresh one was told to end"),
    ],
)
def test_told_to_end_while_the_agent_starts_anew(before, check, says):
    """Before the last check, and behind it: the signal is never lost."""
    program = OLD.format(fresh=FRESH, before=before, check=check)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert (done.stdout, done.stderr) == (f"{says}\n", "")
