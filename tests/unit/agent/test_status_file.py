"""What ``outfitter-agent status`` tells of a running agent: written seldom, whole, and read with care."""

import json
import logging

import pytest
from outfitter_agent.hands.status import FILE_NAME, KEYS, LastError, StatusFile, read_status


def test_written_at_once_and_then_not_again_before_its_time(tmp_path):
    status = StatusFile(tmp_path, write_seconds=60)
    status.link(up=True)
    since = read_status(tmp_path)["connected_since"]
    assert since.endswith("+00:00")
    before = (tmp_path / FILE_NAME).stat().st_ino
    for _ in range(100):
        status.link(up=False)
        status.ended("j1", "SUCCEEDED")
    assert (tmp_path / FILE_NAME).stat().st_ino == before
    assert read_status(tmp_path)["connected_since"] == since
    status.close()
    told = read_status(tmp_path)
    assert (told["connected_since"], told["last_job"], told["last_status"]) == (None, "j1", "SUCCEEDED")


def test_what_waits_is_written_when_it_is_time(tmp_path, eventually):
    status = StatusFile(tmp_path, write_seconds=0.05)
    status.link(up=True)
    status.ended("j1", "FAILED")
    eventually(lambda: read_status(tmp_path)["last_job"] == "j1")


def test_the_next_agent_goes_on_with_it(tmp_path):
    first = StatusFile(tmp_path)
    first.link(up=True)
    first.ended("j1", "FAILED")
    first.close()
    second = StatusFile(tmp_path)
    second.error("x" * 5000)
    told = read_status(tmp_path)
    assert (told["connected_since"], told["last_job"], told["last_error"]) == (None, "j1", "x" * 1000)


@pytest.mark.parametrize(
    ("url", "store"),
    [
        ("https://images.example:4567/bucket/key?X-Amz-Signature=secret", "https://images.example:4567/"),
        ("https://user:secret@images.example/key", "https://images.example/"),
        ("http://[::1]:80/key", "http://[::1]:80/"),
        ("http://[::1/key", None),
        ("https://images.example:x/key", None),
        ("file:///etc/passwd", None),
        (7, None),
    ],
)
def test_of_a_url_no_more_is_kept_than_where_it_leads(url, store, tmp_path):
    status = StatusFile(tmp_path)
    status.handed_over({"url": url})
    status.handed_over({"operation": "trust-update"})
    status.handed_over("no document")
    status.close()
    assert read_status(tmp_path)["store"] == store
    assert "secret" not in (tmp_path / FILE_NAME).read_text() if store else True


@pytest.mark.parametrize("content", [b"", b"\xff", b"[1]", b'{"last_job": 7}', b'{"last_job": null}'])
def test_a_file_that_is_none(content, tmp_path):
    (tmp_path / FILE_NAME).write_bytes(content)
    assert read_status(tmp_path) == dict.fromkeys(KEYS)


def test_a_disk_that_is_full_is_no_fault(tmp_path):
    (tmp_path / f"{FILE_NAME}.new").mkdir()
    StatusFile(tmp_path).link(up=True)
    assert read_status(tmp_path)["connected_since"] is None


def test_warnings_are_the_last_error(tmp_path):
    log = logging.getLogger("test_status_file")
    handler = LastError(StatusFile(tmp_path))
    log.addHandler(handler)
    try:
        log.info("all is well")
        assert not (tmp_path / FILE_NAME).exists()
        log.warning("no connection to %s", "here")
    finally:
        log.removeHandler(handler)
    assert json.loads((tmp_path / FILE_NAME).read_bytes())["last_error"] == "no connection to here"
