import os
import select
import subprocess
import sys

import pytest
from outfitter_fleet.stage.processes import ProcessEnded, Processes

# A child that starts one of its own in the same group, tells both ids, and stays.
PARENT = """
import subprocess, sys, signal
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print("ready", child.pid)
signal.pause()
"""
STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready")
signal.pause()
"""


def python(code):
    return [sys.executable, "-c", code]


class Watched:
    """A process by its handle: its end can be waited for though it is nobody's child here."""

    def __init__(self, pid):
        self.handle = os.pidfd_open(int(pid))

    def ended(self, timeout_seconds=0.0):
        readable, _, _ = select.select([self.handle], [], [], timeout_seconds)
        return bool(readable)


@pytest.fixture
def watch():
    watched = []

    def add(pid):
        watched.append(Watched(pid))
        return watched[-1]

    yield add
    for one in watched:
        os.close(one.handle)


def test_what_a_process_started_ends_with_it(tmp_path, watch):
    with Processes(tmp_path) as processes:
        process = processes.start("parent", python(PARENT))
        both = [watch(process.pid), watch(process.line("ready ", 10).split()[1])]
        assert not any(one.ended() for one in both)
    assert all(one.ended(5) for one in both)


def test_who_does_not_listen_is_killed(tmp_path):
    with Processes(tmp_path) as processes:
        process = processes.start("stubborn", python(STUBBORN))
        process.line("ready", 10)
        process.terminate()
        assert process.wait(0.2) == -9


def test_an_early_end_is_told_with_the_log(tmp_path):
    with Processes(tmp_path) as processes:
        process = processes.start("brief", python("import sys; print('oh'); sys.exit(3)"))
        with pytest.raises(ProcessEnded, match=r"brief ended \(3\).*brief\.log"):
            process.line("ready", 60)
    assert (tmp_path / "brief.log").read_text() == "oh\n"


def test_silence_is_told(tmp_path):
    with Processes(tmp_path) as processes:
        process = processes.start("silent", python("import signal; signal.pause()"))
        with pytest.raises(ProcessEnded, match="printed no line"):
            process.line("ready", 0.2)


def test_released_processes_stay(tmp_path):
    with Processes(tmp_path) as processes:
        process = processes.start("kept", python(STUBBORN))
        process.line("ready", 10)
        processes.release()
    assert process.running
    process.kill()
    process.wait(5)


def test_an_interrupted_run_leaves_nothing_behind(tmp_path, watch):
    code = f"""
import signal, sys
from pathlib import Path
from outfitter_fleet.stage.processes import Processes, interrupt_on_termination
interrupt_on_termination()
with Processes(Path({str(tmp_path)!r})) as processes:
    child = processes.start("parent", [sys.executable, "-c", {PARENT!r}])
    print(child.pid, child.line("ready ", 10).split()[1], flush=True)
    signal.pause()
"""
    run = subprocess.Popen(python(code), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with run.stdout:
        both = [watch(pid) for pid in run.stdout.readline().split()]
        assert not any(one.ended() for one in both)
        run.terminate()
        run.wait(20)
    assert all(one.ended(5) for one in both)
