"""What systemd hears of the agent, over a real socket; the unit that says so."""

import configparser
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from outfitter_agent.hands.notify import BEATS, Notifier
from outfitter_agent.hands.signals import Signals

AGENT = Path(sys.executable).parent / "outfitter-agent"
UNIT = Path(__file__).parents[3] / "packages/agent/debian/outfitter-agent.service"
WAIT_SECONDS = 20


@pytest.fixture
def manager(tmp_path):
    """The service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.settimeout(WAIT_SECONDS)
        yield bound


@pytest.fixture
def agent(tmp_path, manager):
    """An agent that waits for a server that nobody is, under a watchdog of 0.3 s."""
    config = tmp_path / "agent.toml"
    config.write_text('thing_name = "p"\ndevice_type = "p"\nendpoint = "127.0.0.1"\nport = 1\ntls = false\n')
    environment = {**os.environ, "NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "300000"}
    started = subprocess.Popen([AGENT, "run", "--config", config], env=environment, stderr=subprocess.DEVNULL)
    yield started
    if started.poll() is None:
        started.send_signal(signal.SIGCONT)
    assert started.wait(WAIT_SECONDS) == 0


def hear(manager, wanted):
    while (heard := manager.recv(100)) != wanted:
        assert heard == b"WATCHDOG=1", heard


def test_the_agent_is_ready_beats_for_as_long_as_its_thread_goes_round_and_says_when_it_ends(agent, manager):
    hear(manager, b"READY=1")
    for _ in range(5):
        assert manager.recv(100) == b"WATCHDOG=1"
    agent.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, agent.pid, os.WSTOPPED)
    manager.setblocking(False)
    while True:
        try:
            manager.recv(100)
        except BlockingIOError:
            break
    manager.settimeout(1)
    with pytest.raises(TimeoutError):
        manager.recv(100)
    manager.settimeout(WAIT_SECONDS)
    agent.send_signal(signal.SIGCONT)
    hear(manager, b"WATCHDOG=1")
    agent.terminate()
    hear(manager, b"STOPPING=1")


def test_a_name_in_the_abstract_room():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(f"\0outfitter-{os.getpid()}")
        bound.settimeout(WAIT_SECONDS)
        Notifier({"NOTIFY_SOCKET": f"@outfitter-{os.getpid()}"}).ready()
        assert bound.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "100"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "100", "WATCHDOG_PID": "1"},
    ],
)
def test_without_a_watchdog_there_is_no_beat(environment):
    notifier = Notifier(environment)
    assert notifier.beat_seconds is None
    notifier.ready()
    notifier.beat()


def test_nobody_at_the_socket_is_no_fault():
    notifier = Notifier({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "3000000"})
    assert notifier.beat_seconds == 3 / BEATS
    notifier.ready()
    notifier.beat()


def test_a_wait_beats_and_ends_as_before(manager):
    signals = Signals(Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "30000"}))
    assert not signals.stopped_within(0.1)
    for _ in range(3):
        assert manager.recv(100) == b"WATCHDOG=1"
    threading.Thread(target=signals.stop).start()
    assert signals.stopped_within(WAIT_SECONDS)


def test_systemd_takes_the_unit(tmp_path):
    """With the program where this machine has it."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/outfitter-agent/bin/outfitter-agent", str(AGENT)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, [])


def test_systemd_takes_the_drop_in_for_packages(tmp_path):
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/outfitter-agent/bin/outfitter-agent", str(AGENT)))
    drop_in = tmp_path / f"{UNIT.name}.d" / "packages.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(UNIT.with_name("packages.conf").read_text())
    command = ["systemd-analyze", "verify", "--man=no", unit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert str(tmp_path) not in done.stderr, done.stderr
    drop_in.write_text(drop_in.read_text() + "ProtectNothing=yes\n")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"{drop_in}:{len(drop_in.read_text().splitlines())}: Unknown key" in done.stderr, "it is read"


def test_the_unit_is_watched_and_walled():
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read(UNIT)
    service = parser["Service"]
    assert (service["Type"], service["Restart"], service["KillMode"]) == ("notify", "always", "mixed")
    assert int(service["WatchdogSec"]) > 300
    assert (service["NoNewPrivileges"], service["ProtectSystem"]) == ("yes", "strict")
