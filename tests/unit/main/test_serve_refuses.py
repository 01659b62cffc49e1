"""Starts that cannot succeed: which option or folder it is and what to do, in one line, and exit code 1 or 2."""

import os
import socket
import subprocess
import sys

import pytest
from outfitter_server.main.command import main

COMMAND = [sys.executable, "-c", "from outfitter_server.main.command import main; main()"]
OFF = ["--http", "127.0.0.1:0", "--mqtts", "off"]
SECONDS = 60


def serve(*arguments, cwd):
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LANG": "C.UTF-8"}
    return subprocess.run(
        [*COMMAND, "serve", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def one_line(ended):
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    return line


@pytest.mark.parametrize("option", ["--http", "--https", "--mqtt", "--mqtts"])
def test_port_in_use(tmp_path, option):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = serve("--data", "data", *OFF, option, address, cwd=tmp_path)
    assert ended.returncode == 1
    assert one_line(ended) == (
        f"outfitterd: {option} {address}: Address already in use; end what listens there, or choose another HOST:PORT"
    )


def test_name_that_is_none(tmp_path):
    ended = serve("--data", "data", "--insecure", *OFF, "--http", "none.invalid:4566", cwd=tmp_path)
    assert ended.returncode == 1
    assert one_line(ended).startswith("outfitterd: --http none.invalid:4566: ")


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "data").touch()
    ended = serve("--data", "data", *OFF, cwd=tmp_path)
    assert ended.returncode == 1
    assert one_line(ended) == "outfitterd: the data folder data cannot be used: File exists"


def test_folder_whose_blobs_are_a_file(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/blobs").touch()
    ended = serve("--data", "data", *OFF, cwd=tmp_path)
    assert ended.returncode == 1
    assert one_line(ended).startswith("outfitterd: the data folder data cannot be used: data/blobs/")


def test_folder_without_a_name(tmp_path):
    """A variable that is not set does not make the working folder a data folder."""
    ended = serve("--data", "", *OFF, cwd=tmp_path)
    assert ended.returncode == 2
    assert "argument --data: the name is empty" in ended.stderr
    assert not list(tmp_path.iterdir())


def test_authority_without_its_certificate(tmp_path):
    """It is not replaced: the devices out there trust the one that made their certificates."""
    (tmp_path / "data/ca").mkdir(parents=True)
    for name in ("ca.key", "server.key", "server.pem"):
        (tmp_path / "data/ca" / name).write_text("kept")
    ended = serve("--data", "data", *OFF, cwd=tmp_path)
    assert ended.returncode == 1
    assert one_line(ended).startswith("outfitterd: data/ca/ca.pem is missing")
    assert (tmp_path / "data/ca/ca.key").read_text() == "kept"


def test_a_damaged_certificate_of_the_authority_is_not_shown(tmp_path, capsys):
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca/ca.pem").write_bytes(b"\xff")
    with pytest.raises(SystemExit) as ended:
        main(["ca", "--data", str(tmp_path)])
    assert ended.value.code == 1
    assert "is no certificate in PEM" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["backup", "--data", "", "x.tar"],
        ["backup", "--data", "data", ""],
        ["restore", "", "--data", "data"],
        ["restore", "x.tar", "--data", ""],
    ],
)
def test_backups_without_a_name(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "the name is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--http", "127.0.0.1:\u0664\u0665", "is no address"),
        ("--http", "127.0.0.1:" + "9" * 5000, "is no address"),
        ("--account", "\u0661" * 12, "an account is twelve digits"),
    ],
)
def test_digits_that_are_none(option, value, told, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--data", "data", option, value])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err
