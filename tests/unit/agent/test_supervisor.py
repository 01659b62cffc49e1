"""The software as a child: kept running, on probation not, and never left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from outfitter_agent.hands import checks, health, processes
from outfitter_agent.hands import supervisor as supervisor_module
from outfitter_agent.hands.health import HealthRules
from outfitter_agent.hands.output import OutputFile
from outfitter_agent.hands.signals import Stopping
from outfitter_agent.hands.supervisor import Program, Supervisor
from outfitter_agent.plans.transaction import Installed
from outfitter_agent.plans.troubles import Trouble

WAIT_SECONDS = 20
QUICK = HealthRules(settle_seconds=0.2, timeout_seconds=2, interval_seconds=0.02)
SLEEPS = "import time; print('up', flush=True); time.sleep(60)"


def program(folder, code, check=None, slot="a"):
    start = (sys.executable, "-c", code)
    return Program(
        Installed(slot=slot, name="pump", version="1.0", sha256="ab", start=start, health=check), folder
    )


@pytest.fixture
def supervisor(tmp_path):
    made = Supervisor(
        thing_name="pump-7", state_folder=tmp_path, output_bytes_max=10_000, stop_timeout_seconds=2
    )
    yield made
    made.stop()


def until(condition):
    deadline = time.monotonic() + WAIT_SECONDS
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        pause.wait(0.01)


def watch(supervisor, settle=True, times=QUICK):
    pause = threading.Event()
    return health.watch(supervisor, times, settle=settle, sleep=lambda seconds: pause.wait(seconds) and None)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_runs_in_its_folder_with_its_names(supervisor, tmp_path):
    code = "import os; print(os.getcwd(), os.environ['OUTFITTER_THING_NAME'], os.environ['OUTFITTER_SLOT'])"
    supervisor.start(program(tmp_path, code), probation=True)
    until(lambda: supervisor.running().ended)
    assert supervisor.output_tail() == f"{tmp_path} pump-7 a\n"
    assert "ended with exit code 0" in supervisor.running().ended


def test_secrets_of_the_agent_stay_with_it(supervisor, tmp_path, monkeypatch):
    monkeypatch.setenv("OUTFITTER_AGENT_PRIVATE_KEY", "x")
    assert "OUTFITTER_AGENT_PRIVATE_KEY" not in supervisor.environment(program(tmp_path, "").installed)


def test_ended_software_is_started_again(supervisor, tmp_path):
    supervisor.start(program(tmp_path, "print('once')"), probation=False)
    until(lambda: supervisor.running().restarts >= 1)
    until(lambda: supervisor.output_tail().count("once") >= 2)


def test_the_pause_begins_anew_after_a_steady_run(supervisor, tmp_path, monkeypatch):
    """It doubles with each end in a row, up to a minute: ends that are months apart are not in a row."""
    monkeypatch.setattr(supervisor_module, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(supervisor_module, "STEADY_SECONDS", 1.0)
    code = (
        "import time; began = time.monotonic(); print(began, flush=True)\n"
        "with open('starts', 'a+') as file: file.write('x'); file.seek(0); starts = len(file.read())\n"
        "time.sleep(1.2 if starts == 5 else 0); print(time.monotonic(), flush=True)"
    )
    supervisor.start(program(tmp_path, code), probation=False)
    until(lambda: len(supervisor.output_tail().split()) >= 11)
    times = [float(each) for each in supervisor.output_tail().split()]
    pauses = [began - ended for ended, began in zip(times[1::2], times[2::2], strict=False)]
    assert pauses[3] >= 0.8, "the fourth in a row"
    assert pauses[4] < 0.8, "the first after a steady run"


def test_on_probation_it_is_not(supervisor, tmp_path):
    supervisor.start(program(tmp_path, "raise SystemExit(3)"), probation=True)
    until(lambda: supervisor.running().ended)
    running = supervisor.running()
    assert (running.alive, running.restarts) == (False, 0)
    assert "ended with exit code 3" in running.ended


def test_leaves_probation_without_a_restart(supervisor, tmp_path):
    supervisor.start(
        program(tmp_path, "import os; print(os.getpid(), flush=True); " + SLEEPS), probation=True
    )
    until(supervisor.output_tail)
    pid = int(supervisor.output_tail().split()[0])
    supervisor.start(supervisor.running().program, probation=False)
    os.kill(pid, signal.SIGKILL)
    until(lambda: supervisor.running().restarts >= 1)


def test_program_that_is_not_there(supervisor, tmp_path):
    missing = Program(
        Installed(slot="a", name="pump", version="1", sha256="ab", start=("./nothing",)), tmp_path
    )
    supervisor.start(missing, probation=True)
    assert "could not be started" in supervisor.running().ended
    verdict = watch(supervisor)
    assert not verdict.healthy
    assert "could not be started" in verdict.reason


def test_stop_ends_the_whole_group(supervisor, tmp_path):
    code = "import subprocess, sys; c = subprocess.Popen(['sleep', '60']); print(c.pid, flush=True); c.wait()"
    supervisor.start(program(tmp_path, code), probation=False)
    until(supervisor.output_tail)
    grandchild = int(supervisor.output_tail())
    supervisor.stop()
    assert not supervisor.running().alive
    until(lambda: not alive(grandchild))


def test_stop_kills_what_will_not_end(tmp_path):
    stubborn = Supervisor(
        thing_name="p", state_folder=tmp_path, output_bytes_max=10_000, stop_timeout_seconds=0.1
    )
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPS
    stubborn.start(program(tmp_path, code), probation=False)
    until(stubborn.output_tail)
    stubborn.stop()
    assert "SIGKILL" in stubborn.running().ended


def test_software_that_no_signal_reaches_is_not_waited_for_without_end(supervisor, tmp_path, monkeypatch):
    supervisor.start(program(tmp_path, SLEEPS), probation=False)
    with monkeypatch.context() as deaf:
        deaf.setattr(supervisor_module, "end_group", lambda *_: None)  # as for one that became root's
        deaf.setattr(supervisor_module, "ENDING_SECONDS", 0.1)
        with pytest.raises(
            Trouble, match=f"process {supervisor.process_id()}.* is still there 0.1 s after SIGKILL"
        ):
            supervisor.stop()
        with pytest.raises(Trouble):
            supervisor.start(program(tmp_path, SLEEPS, slot="b"), probation=False)


def test_another_program_replaces_the_first(supervisor, tmp_path):
    supervisor.start(program(tmp_path, SLEEPS), probation=False)
    until(supervisor.output_tail)
    supervisor.start(program(tmp_path, "print('second', flush=True); " + SLEEPS, slot="b"), probation=True)
    until(lambda: "second" in supervisor.output_tail())
    assert supervisor.running().program.installed.slot == "b"


def test_healthy_without_a_check(supervisor, tmp_path):
    supervisor.start(program(tmp_path, SLEEPS), probation=True)
    verdict = watch(supervisor)
    assert verdict.healthy
    assert verdict.reason.startswith("no check, running for 0.")


def test_crash_within_the_settle_time(supervisor, tmp_path):
    supervisor.start(program(tmp_path, "print('bad lamp'); raise SystemExit(4)"), probation=True)
    verdict = watch(
        supervisor, times=HealthRules(settle_seconds=20, timeout_seconds=20, interval_seconds=0.02)
    )
    assert not verdict.healthy
    assert "exit code 4" in verdict.reason
    assert verdict.log == "bad lamp\n"


def test_check_that_passes_later(supervisor, tmp_path):
    code = f"import pathlib, time; time.sleep(0.1); pathlib.Path('ready').touch(); {SLEEPS}"
    supervisor.start(program(tmp_path, code, check=("test", "-e", "ready")), probation=True)
    assert watch(supervisor).reason.startswith("passed for")


@pytest.mark.parametrize(
    ("check", "reason"),
    [(("false",), "health command ended with 1"), (("./none",), "health command could not be started")],
)
def test_check_that_never_passes(supervisor, tmp_path, check, reason):
    supervisor.start(program(tmp_path, SLEEPS, check=check), probation=True)
    verdict = watch(
        supervisor, times=HealthRules(settle_seconds=0, timeout_seconds=0.3, interval_seconds=0.02)
    )
    assert not verdict.healthy
    assert reason in verdict.reason


def test_check_that_hangs(supervisor, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "COMMAND_TIMEOUT_SECONDS", 0.1)
    supervisor.start(program(tmp_path, SLEEPS, check=("sleep", "60")), probation=True)
    verdict = watch(
        supervisor, times=HealthRules(settle_seconds=0, timeout_seconds=0.01, interval_seconds=0.02)
    )
    assert "took longer than 0.1 s" in verdict.reason


def test_agent_that_is_to_end_waits_for_no_check(supervisor, tmp_path):
    supervisor.start(
        program(tmp_path, SLEEPS, check=("sh", "-c", "echo $$ > check.pid; sleep 60")), probation=True
    )
    number = tmp_path / "check.pid"

    def told_to_end(_seconds):
        if number.exists() and number.read_text().strip():
            raise Stopping

    with pytest.raises(Stopping):
        health.watch(supervisor, QUICK, settle=True, sleep=told_to_end)
    until(lambda: not alive(int(number.read_text())))


def test_no_software(supervisor):
    assert watch(supervisor).reason == "no software is installed"


def test_output_is_bounded(tmp_path):
    output = OutputFile(tmp_path / "log", bytes_max=10_000)
    read, write = os.pipe()
    copier = threading.Thread(target=output.copy_from, args=(read,))
    copier.start()
    for number in range(3000):
        os.write(write, f"line {number:06}\n".encode() * 5)
    os.close(write)
    copier.join()
    os.close(read)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 60_000
    assert output.tail().endswith("line 002999\n")
    output.clear()
    assert output.tail() == ""


ORPHANS = """
import sys, threading
from pathlib import Path
from outfitter_agent.hands.signals import Stopping
from outfitter_agent.hands.supervisor import Program, Supervisor
from outfitter_agent.plans.transaction import Installed
from outfitter_agent.plans.troubles import Trouble
state = Path(sys.argv[1])
supervisor = Supervisor(thing_name="p", state_folder=state, output_bytes_max=10000, stop_timeout_seconds=2)
code = ("import subprocess, os, time; c = subprocess.Popen(['sleep', '60'], start_new_session=True);"
        "open('pids', 'w').write(f'{os.getpid()} {c.pid} ');"
        "os.rename('pids', 'ready'); time.sleep(60)")
installed = Installed(slot="a", name="p", version="1", sha256="x", start=(sys.executable, "-c", code))
supervisor.start(Program(installed, state), probation=False)
threading.Event().wait()
"""


def test_killed_agent_leaves_nothing_that_runs_twice(tmp_path):
    """The child goes with the agent; what the child started in a session of its own, with the next agent."""
    with subprocess.Popen([sys.executable, "-c", ORPHANS, str(tmp_path)]) as agent:
        until((tmp_path / "ready").exists)
        child, grandchild = (int(pid) for pid in (tmp_path / "ready").read_text().split())
        agent.kill()
        agent.wait()
    until(lambda: not alive(child))
    assert alive(grandchild)
    assert processes.end_strays(tmp_path) == 1
    until(lambda: not alive(grandchild))
    assert processes.end_strays(tmp_path) == 0
