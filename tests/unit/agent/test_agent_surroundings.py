"""What the agent takes from its surroundings, and does without: authorities, os-release, the log of the boot before."""

import os
import platform

import pytest
from outfitter_agent.hands.trust import write_bundle
from outfitter_agent.main.agent import Agent
from outfitter_agent.main.settings import Settings


@pytest.fixture
def make_agent(tmp_path):
    """An agent with these settings, which does not run."""
    made = []

    def make(**changes):
        settings = Settings(
            thing_name="pump-7",
            device_type="p1",
            endpoint="127.0.0.1",
            tls=False,
            state=tmp_path / "state",
            slots=tmp_path / "software",
            configuration=tmp_path / "configuration.json",
            **changes,
        )
        made.append(Agent(settings, arguments=[]))
        return made[-1]

    yield make
    for agent in made:
        agent._close()
        os.close(agent._lock)


def test_no_os_release(make_agent, monkeypatch):
    monkeypatch.setattr(platform, "_os_release_candidates", ("/nowhere/os-release",))
    monkeypatch.setattr(platform, "_os_release_cache", None)
    assert make_agent()._facts.attributes["operatingSystem"] == "linux"


MACHINE = {"reboot": "command", "reboot_command": ("true",)}


def test_log_of_the_boot_before_is_what_the_software_wrote(make_agent, tmp_path):
    agent = make_agent(**MACHINE, boot_log_command=("echo", "of the machine"))
    (tmp_path / "state/software.log").write_text("of the software\n")
    assert agent._boot_log() == "of the software\n"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("sh", "-c", "yes x | head -n 1000000; echo last words"), "x\nlast words\n"),
        (("sh", "-c", "echo half; exit 3"), "half\n"),
        (("no-such-command",), ""),
        ((), ""),
    ],
)
def test_log_of_the_boot_before_is_what_the_command_says(command, told, make_agent):
    log = make_agent(**MACHINE, boot_log_command=command)._boot_log()
    assert log.endswith(told)
    assert len(log) <= 4096 if told else log == ""


def test_restart_of_the_agent_alone_has_no_log_of_the_machine(make_agent):
    assert make_agent(boot_log_command=("echo", "of another boot"))._boot_log() == ""


def test_bundle_is_written_when_it_changes_only(tmp_path):
    target, own, system = (tmp_path / name for name in ("bundle.pem", "own.pem", "system.pem"))
    assert write_bundle(target, system=system, own=None) is None
    own.write_text("own\n")
    assert write_bundle(target, system=system, own=own) == target
    before = target.stat().st_ino
    write_bundle(target, system=system, own=own)
    assert target.stat().st_ino == before
    system.write_text("system\n")
    write_bundle(target, system=system, own=own)
    assert target.read_text() == "system\nown\n"


def test_bundle_that_cannot_be_written_is_done_without(tmp_path, caplog):
    target, own = tmp_path / "bundle.pem", tmp_path / "own.pem"
    own.write_text("own\n")
    (tmp_path / "bundle.pem.new").mkdir()
    assert write_bundle(target, system=tmp_path / "none", own=own) == own
    target.write_text("old\n")
    assert write_bundle(target, system=tmp_path / "none", own=own) == target
    assert "could not be written" in caplog.text
