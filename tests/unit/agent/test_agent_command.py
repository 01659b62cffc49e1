"""The command outfitter-agent as a process: usage, status, one agent for a folder, SIGTERM, kill -9."""

import io
import json
import resource
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from outfitter_agent.hands.journal import JournalFile
from outfitter_agent.hands.slots.folder import FolderSlots
from outfitter_agent.main.command import main
from outfitter_agent.plans.transaction import Installed, JobRef, Journal, StepsRun, StepsStage

AGENT = Path(sys.executable).parent / "outfitter-agent"
WAIT_SECONDS = 20
LITTLE = 4096
PROGRAM = "import os, time; open('pid.new', 'w').write(str(os.getpid())); os.rename('pid.new', 'pid'); time.sleep(60)"


@pytest.fixture
def nowhere():
    """A port where nobody answers."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def config(tmp_path, nowhere):
    path = tmp_path / "agent.toml"
    path.write_text(
        'thing_name = "pump-7"\ndevice_type = "p1"\nendpoint = "127.0.0.1"\ntls = false\n'
        f"port = {nowhere}\nreconnect_max_seconds = 0.1\nstop_timeout_seconds = 2\n"
    )
    return path


@pytest.fixture
def software(tmp_path):
    """Slot a holds a program that writes its process id into its folder."""
    image = tmp_path / "image.tar.gz"
    with tarfile.open(image, "w:gz") as tar:
        info = tarfile.TarInfo("main.py")
        info.size = len(PROGRAM)
        tar.addfile(info, io.BytesIO(PROGRAM.encode()))
    slots = FolderSlots(tmp_path / "software", unpacked_bytes_max=1_000_000)
    start = (sys.executable, "main.py")
    slots.unpack(image, Installed(slot="a", name="pump", version="1.0", sha256="ab", start=start))
    slots.switch("a")
    return tmp_path / "software/a/pid"


def until(condition):
    deadline = time.monotonic() + WAIT_SECONDS
    pause = threading.Event()
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came to be"
        pause.wait(0.01)
    return value


def pid_in(path, other_than=0):
    def read():
        try:
            found = int(path.read_text())
        except FileNotFoundError:
            return None
        return found if found != other_than else None

    return until(read)


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def start(config, **options):
    return subprocess.Popen([AGENT, "run", "--config", config], stderr=subprocess.DEVNULL, **options)


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["run"], ["run", "--config"], ["status", "--config", "none"]]
)
def test_wrong_usage_is_2(arguments):
    run = subprocess.run([AGENT, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "outfitter-agent" in run.stderr


@pytest.mark.parametrize("arguments", [[], ["run"], ["status"], ["check"], ["provision"]])
def test_help_has_an_example(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    assert "Example: outfitter-agent" in capsys.readouterr().out


def test_status_of_a_new_device(config, tmp_path, capsys):
    assert main(["status", "--config", str(config), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["thing_name"], shown["agent_running"], shown["version"]) == ("pump-7", False, None)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["agent.toml"], "looking changes nothing"


def test_status_for_people(config, software, capsys):
    assert main(["status", "--config", str(config)]) == 0
    assert "version            1.0\n" in capsys.readouterr().out


def test_status_of_a_document_of_steps(config, tmp_path, capsys):
    job = JobRef(job_id="steps", execution_number=1)
    (tmp_path / "state").mkdir()
    JournalFile(tmp_path / "state").save(Journal(steps=StepsRun(job=job, stage=StepsStage.REBOOTING)))
    assert main(["status", "--config", str(config), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["job"], shown["stage"]) == ("steps", "rebooting")


def test_full_disk_does_not_keep_the_software_from_its_start(config, software, tmp_path):
    """A limit on file sizes stands for the full disk; only the authorities are too large for it."""
    (tmp_path / "ca.pem").write_text("x" * 2 * LITTLE)
    config.write_text(config.read_text() + 'ca = "ca.pem"\n')
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (LITTLE, LITTLE))
    with start(config, preexec_fn=limit) as agent:
        pid_in(software)
        agent.terminate()
        assert agent.wait(WAIT_SECONDS) == 0


def test_sigterm_ends_agent_and_software(config, software):
    with start(config) as agent:
        child = pid_in(software)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(WAIT_SECONDS) == 0
    until(lambda: gone(child))


def test_more_sigterms_do_not_end_it_half_way(config, software):
    pause = threading.Event()
    with start(config) as agent:
        pid_in(software)
        while agent.poll() is None:
            agent.send_signal(signal.SIGTERM)
            pause.wait(0.001)
        assert agent.returncode == 0


def test_second_agent_is_refused(config, software):
    with start(config) as agent:
        pid_in(software)
        second = subprocess.run(
            [AGENT, "run", "--config", config], capture_output=True, text=True, check=False
        )
        assert second.returncode == 1
        assert "another agent uses the state folder" in second.stderr
        agent.terminate()
        assert agent.wait(WAIT_SECONDS) == 0


def test_killed_agent_takes_the_software_along_and_the_next_starts_it_once(config, software):
    with start(config) as agent:
        first = pid_in(software)
        agent.kill()
        agent.wait()
    until(lambda: gone(first))
    with start(config) as agent:
        second = pid_in(software, other_than=first)
        assert not gone(second)
        agent.terminate()
        assert agent.wait(WAIT_SECONDS) == 0
    until(lambda: gone(second))


def test_environment_wins_over_the_file(config, monkeypatch, capsys):
    monkeypatch.setenv("OUTFITTER_AGENT_THING_NAME", "pump-8")
    assert main(["status", "--config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["thing_name"] == "pump-8"
