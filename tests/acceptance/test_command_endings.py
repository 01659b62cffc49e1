"""The three programs end without a traceback when nobody takes what they write, or a person interrupts them."""

import os
import signal
import socket
import subprocess
import sysconfig
from pathlib import Path

import pytest

PROGRAMS = Path(sysconfig.get_path("scripts"))
SETTINGS = 'thing_name = "pump-7"\ndevice_type = "p1"\nendpoint = "127.0.0.1"\ntls = false\n'


@pytest.fixture
def commands(tmp_path):
    """A command of each program that needs no server, and writes something."""
    config = tmp_path / "agent.toml"
    config.write_text(SETTINGS)
    authority = tmp_path / "data/ca"
    authority.mkdir(parents=True)
    (authority / "ca.pem").write_text("a certificate\n")
    image = tmp_path / "pump"
    image.mkdir()
    (image / "outfitter.json").write_text(
        '{"name": "pump", "version": "1", "device_types": ["p1"], "start": ["./run"]}'
    )
    return {
        "status": ["outfitter-agent", "status", "--config", config],
        "ca": ["outfitterd", "ca", "--data", tmp_path / "data"],
        "pack": ["outfitter", "software", "pack", image, "--out", tmp_path / "pump.tar.gz", "--json"],
        "agent's help": ["outfitter-agent", "--help"],
        "server's help": ["outfitterd", "serve", "--help"],
        "help": ["outfitter", "--help"],
    }


def run(command, stdout, *, buffered):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    if not buffered:
        environment["PYTHONUNBUFFERED"] = "1"
    return subprocess.run(
        [PROGRAMS / command[0], *command[1:]],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        check=False,
    )


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("name", ["status", "ca", "pack", "agent's help", "server's help", "help"])
def test_a_closed_pipe(commands, name, buffered):
    reader, writer = os.pipe()
    os.close(reader)
    ended = run(commands[name], writer, buffered=buffered)
    os.close(writer)
    assert ended.stderr == ""
    assert ended.returncode == 1 or "help" in name


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("name", ["status", "ca", "pack"])
def test_a_full_disk(commands, name, buffered):
    with Path("/dev/full").open("w") as full:
        ended = run(commands[name], full, buffered=buffered)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "tandard output" in ended.stderr
    assert "No space left on device" in ended.stderr


@pytest.mark.parametrize("name", ["status", "ca", "pack"])
def test_no_output_at_all(commands, name):
    program, *arguments = commands[name]
    closing = ["sh", "-c", 'exec "$@" >&-', "sh", PROGRAMS / program, *arguments]
    ended = subprocess.run(closing, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_interrupted(tmp_path):
    """The broker takes the connection and says nothing, so that the command waits when it is interrupted."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = tmp_path / "agent.toml"
        config.write_text(f"{SETTINGS}port = {silent.getsockname()[1]}\n")
        agent = subprocess.Popen(
            ["env", "--default-signal=INT", PROGRAMS / "outfitter-agent", "check", "--config", config],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = silent.accept()
        with connection:
            agent.send_signal(signal.SIGINT)
            told = agent.communicate()[1]
    assert agent.returncode == 1
    assert told == "outfitter-agent: interrupted\n"
