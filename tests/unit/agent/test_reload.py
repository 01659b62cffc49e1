"""The reload command: passed, failed, too slow, not there; what it is told and what it wrote."""

import os
import sys
import threading
from pathlib import Path

import pytest
from outfitter_agent.hands import reload as reload_module
from outfitter_agent.hands.reload import Reload, tell


@pytest.fixture
def reload(tmp_path):
    def make(*command, seconds=10.0, name="the reload command", beat=lambda: None):
        return Reload(
            command,
            timeout_seconds=seconds,
            folder=tmp_path,
            log=tmp_path / "reload.log",
            environment={"OUTFITTER_CONFIGURATION": str(tmp_path / "c.json")},
            name=name,
            beat=beat,
        )

    return make


def test_none_is_set():
    assert tell([], None).healthy


def test_units_are_told_in_order_and_the_first_that_fails_is_the_last(reload, tmp_path):
    def unit(name, then):
        return reload("sh", "-c", f"echo {name} >> {tmp_path}/told; {then}", name=f"the reload of {name}")

    services = [unit("pump.service", "true"), unit("lamp.service", "true")]
    assert (
        tell(services, None).reason == "the reload of pump.service passed; the reload of lamp.service passed"
    )
    services.insert(1, unit("valve.service", "echo no >&2; exit 1"))
    verdict = tell(services, None)
    assert (verdict.healthy, verdict.log) == (False, "no\n")
    assert verdict.reason == "the reload of valve.service ended with exit code 1"
    assert (tmp_path / "told").read_text().split() == [
        f"{name}.service" for name in ("pump", "lamp", "pump", "valve")
    ]


def test_the_watchdog_hears_that_somebody_waits(reload, tmp_path, monkeypatch):
    """The command ends when it was told three times."""
    monkeypatch.setattr(reload_module, "POLL_SECONDS", 0.01)
    os.mkfifo(tmp_path / "beats")
    beats = os.open(tmp_path / "beats", os.O_RDWR)
    command = "for each in 1 2 3; do read beat; done < beats"
    assert reload("sh", "-c", command, beat=lambda: os.write(beats, b"beat\n")).run(None).healthy
    os.close(beats)


def test_passed_and_told(reload, tmp_path):
    command = f'echo "$OUTFITTER_CONFIGURATION $OUTFITTER_SOFTWARE_PID $PWD" > {tmp_path}/told'
    verdict = reload("sh", "-c", command).run(77)
    assert (verdict.healthy, verdict.reason) == (True, "the reload command passed")
    assert (tmp_path / "told").read_text() == f"{tmp_path}/c.json 77 {tmp_path}\n"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("echo first; echo last >&2; exit 3", "ended with exit code 3"),
        ("echo first; echo last; kill -9 $$", "was ended by signal SIGKILL"),
        ("echo first; echo last; kill -35 $$", "was ended by signal 35"),
    ],
)
def test_failed(reload, command, reason):
    verdict = reload("sh", "-c", command).run(None)
    assert (verdict.healthy, verdict.log) == (False, "first\nlast\n")
    assert reason in verdict.reason


def test_too_slow_is_ended_with_its_children(reload, tmp_path):
    command = f"sleep 60 & echo $! > {tmp_path}/child; wait"
    verdict = reload("sh", "-c", command, seconds=0.3).run(None)
    assert verdict.reason == "the reload command took longer than 0.3 s"
    child = int((tmp_path / "child").read_text())
    pause = threading.Event()
    for _ in range(100):
        try:
            state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        pause.wait(0.05)
    os.kill(child, 9)
    raise AssertionError("the child of the command runs on")


def test_service_that_it_started_lives_on(reload, tmp_path):
    script = tmp_path / "starts.sh"
    script.write_text("setsid sleep 60 &\necho $! > child\n")
    assert reload("sh", str(script)).run(None).healthy
    child = int((tmp_path / "child").read_text())
    os.kill(child, 9)


def test_endless_output_is_bounded(reload, tmp_path):
    verdict = reload("sh", "-c", "yes no such lamp", seconds=0.5).run(None)
    assert not verdict.healthy
    assert verdict.log.endswith("no such lamp\n") or "no such" in verdict.log
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 300_000


def test_not_there(reload):
    verdict = reload("/no/such/command").run(None)
    assert (
        verdict.reason
        == "the reload command could not be started: No such file or directory: /no/such/command"
    )
    assert reload(sys.executable, "-c", "pass").run(None).healthy
