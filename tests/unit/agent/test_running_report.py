"""The digest of the configuration in force: told once for each change, and ever more rarely when it is not taken."""

import hashlib
import os

import pytest
from outfitter_agent.hands.running import RunningReport
from outfitter_contract.running import (
    RunningConfiguration,
    RunningError,
    build_running,
    parse_running,
    running_topic,
)


class Broker:
    def __init__(self):
        self.told, self.takes = [], True

    def send(self, payload):
        if self.takes:
            self.told.append(parse_running(payload).sha256)
        return self.takes


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "configuration.json"


@pytest.fixture
def report(broker, path):
    return RunningReport(path, broker.send, bytes_max=100, watch_seconds=60)


def digest(content):
    return hashlib.sha256(content).hexdigest()


def test_only_changes_are_told(report, broker, path):
    report.look()
    report.look()
    assert broker.told == [None]
    path.write_bytes(b"{}")
    report.look()
    report.look()
    assert broker.told == [None, digest(b"{}")]
    os.utime(path, (1, 1))
    report.look()
    assert len(broker.told) == 2, "other times, the same content"
    path.unlink()
    report.look()
    assert broker.told[2:] == [None]


def test_what_was_not_taken_is_told_again(report, broker, path, caplog):
    path.write_bytes(b"{}")
    broker.takes = False
    report.look()
    assert "iot:RetainPublish" in caplog.text
    broker.takes = True
    report.look()
    assert broker.told == [digest(b"{}")]


def test_what_can_be_no_configuration_is_none(report, broker, path):
    path.write_bytes(b"x" * 101)
    report.look()
    path.unlink()
    path.mkdir()
    report.look()
    assert broker.told == [None]


def test_a_fifo_is_not_opened(report, broker, path):
    os.mkfifo(path)
    report.look()
    assert broker.told == [None]


def test_message_is_read_as_it_was_written():
    for sha256 in (None, digest(b"")):
        running = RunningConfiguration(sha256=sha256, at=5)
        assert parse_running(build_running(running)) == running
    assert running_topic("pump-1") == "outfitter/things/pump-1/configuration"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[" * 100_000,
        b"[]",
        b'{"sha256": "a", "at": 1}',
        b'{"at": -1}',
        b'{"at": true}',
        b'{"sha256": 1, "at": 1}',
        b"\xff",
    ],
)
def test_other_messages_are_refused(payload):
    with pytest.raises(RunningError):
        parse_running(payload)
