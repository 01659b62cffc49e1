"""Downloads against a real HTTP server that misbehaves on command."""

import hashlib
import json
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from outfitter_agent.hands.fetch import Fetcher, FetchLimits
from outfitter_agent.hands.partial import Partial
from outfitter_agent.plans.effects import Downloaded, UrlExpired
from outfitter_agent.plans.troubles import Abandoned, Trouble

CONTENT = bytes(range(256)) * 4096
LENGTH = len(CONTENT)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


class Store:
    """An object, and for each coming request a fault; when there are none left, all is well."""

    def __init__(self):
        self.content = CONTENT
        self.etag = '"one"'
        self.faults = []
        self.requests = []
        self.released = threading.Event()
        self.refuses = None

    def serve(self, handler):
        self.requests.append({name.lower(): value for name, value in handler.headers.items()})
        fault = self.faults.pop(0) if self.faults else None
        if self.refuses:
            self._plain(handler, self.refuses, self.content)
            return
        if isinstance(fault, int):
            self._plain(handler, fault, b"<Error/>")
        elif fault == "redirect":
            self._plain(handler, 302, b"", location="/elsewhere")
        else:
            self._object(handler, fault)

    def _plain(self, handler, status, body, **headers):
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def _object(self, handler, fault):
        asked = handler.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if handler.headers.get("If-Range") not in (None, self.etag) and fault != "other etag":
            start = 0
        if start >= len(self.content) and start:
            self._plain(handler, 416, b"")
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        if fault != "no etag":
            handler.send_header("ETag", self.etag)
        if fault == "chunked":
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Content-Length", str(len(body)))
        if start:
            first = start + 5 if fault == "other range" else start
            handler.send_header("Content-Range", f"bytes {first}-{len(self.content) - 1}/{len(self.content)}")
        handler.end_headers()
        if fault == "chunked":
            handler.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
        elif fault in ("truncate", "no etag"):
            handler.wfile.write(body[: len(body) // 2])
            handler.close_connection = True
        elif fault == "stall":
            handler.wfile.write(body[: len(body) // 2])
            handler.wfile.flush()
            self.released.wait(20)
            handler.close_connection = True
        else:
            handler.wfile.write(body)


@contextmanager
def serving(store):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            store.serve(self)

        def log_message(self, *args):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/image.tar.gz"
        finally:
            store.released.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def url(store):
    with serving(store) as address:
        yield address


def limits(**changes):
    values = {
        "attempts_max": 3,
        "backoff_max_seconds": 0.01,
        "connect_timeout_seconds": 5,
        "stall_seconds": 1,
        "stall_bytes": 100,
        "bytes_max": 1 << 30,
    }
    return FetchLimits(**values | changes)


@pytest.fixture
def fetcher(tmp_path):
    return new_fetcher(tmp_path)


def new_fetcher(folder, wait=lambda seconds: False, **changes):
    return Fetcher(folder, ca_file=None, limits=limits(**changes), wait=wait)


def fetch(fetcher, url, sha256=DIGEST, size=LENGTH, progress=lambda received, total: None):
    return fetcher.fetch(url, sha256=sha256, size=size, progress=progress)


def quiet(received, total):
    """Nobody looks."""


def test_whole(fetcher, url):
    seen = []
    outcome = fetch(fetcher, url, progress=lambda received, total: seen.append((received, total)))
    assert outcome == Downloaded(sha256=DIGEST, size=LENGTH)
    assert fetcher.path.read_bytes() == CONTENT
    assert all(received <= len(CONTENT) for received, _ in seen)


@pytest.mark.parametrize("fault", ["chunked", "redirect", 503, 429, 500, "truncate"])
def test_passing_faults(fault, fetcher, store, url):
    store.faults = [fault]
    assert fetch(fetcher, url).sha256 == DIGEST
    assert fetcher.path.read_bytes() == CONTENT


def test_nothing_promised(fetcher, store, url):
    store.faults = ["chunked"]
    assert fetch(fetcher, url, sha256=None, size=None) == Downloaded(sha256=DIGEST, size=LENGTH)


def test_truncated_is_resumed(fetcher, store, url):
    store.faults = ["truncate", "truncate"]
    assert fetch(fetcher, url).sha256 == DIGEST
    ranges = [request.get("range") for request in store.requests]
    assert ranges == [None, f"bytes={HALF}-", f"bytes={HALF + HALF // 2}-"]
    assert store.requests[1]["if-range"] == '"one"'


def test_progress_forgives_attempts(tmp_path, store, url):
    store.faults = ["truncate"] * 8
    assert fetch(new_fetcher(tmp_path, attempts_max=2), url).sha256 == DIGEST


def test_stalled_is_broken_off_and_resumed(tmp_path, store, url):
    store.faults = ["stall"]
    assert fetch(new_fetcher(tmp_path, stall_bytes=10_000_000), url).sha256 == DIGEST
    assert store.requests[1]["range"] == f"bytes={HALF}-"


def test_no_validator_starts_over(fetcher, store, url):
    store.faults = ["no etag"]
    assert fetch(fetcher, url).sha256 == DIGEST
    assert "range" not in store.requests[1]


def test_changed_object_starts_over(fetcher, store, url):
    """If-Range does not match: the store sends the whole of the new object."""
    store.faults = ["truncate"]
    old, store.content, store.etag = store.content, b"x" * len(CONTENT), '"zero"'

    def back(received, total):
        if received:
            store.content, store.etag = old, '"one"'

    assert fetch(fetcher, url, progress=back).sha256 == DIGEST
    assert fetcher.path.read_bytes() == CONTENT


def test_store_that_ignores_if_range(fetcher, store, url):
    store.faults = ["truncate", "other etag"]

    def change(received, total):
        if received:
            store.etag = '"two"'

    assert fetch(fetcher, url, progress=change).sha256 == DIGEST


def test_other_range_starts_over(fetcher, store, url):
    store.faults = ["truncate", "other range"]
    assert fetch(fetcher, url).sha256 == DIGEST


def test_resumed_garbage_is_fetched_whole_once(tmp_path, fetcher, store, url):
    store.faults = ["truncate", *[503] * 2]
    with pytest.raises(Trouble, match="HTTP 503"):
        fetch(new_fetcher(tmp_path, attempts_max=2), url)
    part = tmp_path / "image.part"
    part.write_bytes(bytes(part.stat().st_size))
    assert fetch(new_fetcher(tmp_path), url).sha256 == DIGEST


def test_resumes_in_another_life(tmp_path, store, url):
    store.faults = ["truncate", *[503] * 2]
    with pytest.raises(Trouble, match="gave up after 2 attempts"):
        fetch(new_fetcher(tmp_path, attempts_max=2), url)
    assert fetch(new_fetcher(tmp_path), f"{url}?X-Amz-Signature=fresh").sha256 == DIGEST
    assert store.requests[-1]["range"] == f"bytes={HALF}-"


def test_whole_file_of_another_life_is_not_fetched_again(tmp_path, store, url):
    fetch(new_fetcher(tmp_path), url)
    assert fetch(new_fetcher(tmp_path), url).sha256 == DIGEST
    assert len(store.requests) == 1


def test_416_starts_over(tmp_path, store, url):
    """The object shrank: nothing is left to resume."""
    fetch(new_fetcher(tmp_path), url, sha256=None, size=None)
    store.content = CONTENT[:1000]
    outcome = fetch(new_fetcher(tmp_path), url, sha256=None, size=None)
    assert outcome.size == 1000
    assert len(store.requests) == 3


def test_expired_then_fresh_url(fetcher, store, url):
    store.faults = ["truncate", 403]
    expired = fetch(fetcher, url)
    assert expired == UrlExpired(reason="HTTP 403 from the store", bytes_gained=HALF)
    assert fetch(fetcher, f"{url}?fresh").sha256 == DIGEST
    assert store.requests[-1]["range"] == f"bytes={HALF}-"


@pytest.mark.parametrize("status", [404, 405, 410])
def test_refused_for_good(status, fetcher, store, url):
    store.faults = [status]
    with pytest.raises(Trouble, match=f"not accessible: HTTP {status}"):
        fetch(fetcher, url)
    assert len(store.requests) == 1


@pytest.mark.parametrize(
    ("promised", "reason"),
    [
        ({"sha256": "0" * 64}, "SHA-256 is"),
        ({"size": len(CONTENT) + 1}, f"it has {len(CONTENT)} bytes instead of"),
        ({"size": len(CONTENT) - 1}, "bytes or more instead of"),
    ],
)
def test_not_what_was_promised(promised, reason, fetcher, url):
    with pytest.raises(Trouble, match=f"the image is corrupt: .*{reason}"):
        fetch(fetcher, url, **promised)


def test_endless_body(tmp_path, store, url):
    store.faults = ["chunked"]
    with pytest.raises(Trouble, match="larger than this device takes"):
        fetch(new_fetcher(tmp_path, bytes_max=5000), url, sha256=None, size=None)
    with pytest.raises(Trouble, match="larger than this device takes"):
        fetch(new_fetcher(tmp_path, bytes_max=5000), url)


def test_empty_object(fetcher, store, url):
    store.content = b""
    outcome = fetch(fetcher, url, sha256=None, size=None)
    assert outcome == Downloaded(sha256=hashlib.sha256().hexdigest(), size=0)


def test_unreachable(fetcher):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(Trouble, match="gave up after 3 attempts in a row"):
            fetch(fetcher, f"http://127.0.0.1:{closed.getsockname()[1]}/image")


@pytest.mark.parametrize("bad", ["file:///etc/passwd", "gopher://127.0.0.1/", "http://"])
def test_urls_of_other_kinds(bad, fetcher):
    with pytest.raises(Trouble, match="not accessible"):
        fetch(fetcher, bad)


def test_what_progress_raises_ends_the_download(fetcher, store, url):
    def abandon(received, total):
        if received:
            raise Abandoned

    store.faults = ["stall"]
    with pytest.raises(Abandoned):
        fetch(fetcher, url, progress=abandon)


def test_told_to_stop_between_attempts(tmp_path, store, url):
    store.faults = [503]
    with pytest.raises(Abandoned):
        fetch(new_fetcher(tmp_path, wait=lambda seconds: True), url)


def test_disk_too_small_is_said_before_the_download(tmp_path, store, url):
    partial = Partial(tmp_path)
    partial.begin("image", None)
    with pytest.raises(Trouble, match="the disk is full: the image needs"):
        partial.make_room(1 << 60)
    assert not partial.path.exists()


DISK_FULL = """
import signal, sys
from pathlib import Path
from outfitter_agent.hands.fetch import Fetcher, FetchLimits
from outfitter_agent.plans.troubles import Trouble
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limits = FetchLimits(attempts_max=1, backoff_max_seconds=0, connect_timeout_seconds=5, stall_seconds=5,
                     stall_bytes=1, bytes_max=1 << 30)
fetcher = Fetcher(Path(sys.argv[1]), ca_file=None, limits=limits, wait=lambda seconds: False)
try:
    fetcher.fetch(sys.argv[2], sha256=None, size=None, progress=lambda received, total: None)
except Trouble as trouble:
    print(trouble.reason, fetcher.path.exists())
"""


def test_disk_full(tmp_path, url):
    """A limit on file sizes stands for the full disk: writes fail half way."""
    child = subprocess.run(
        [sys.executable, "-c", DISK_FULL, str(tmp_path), url],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, HALF)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.startswith("the disk is full: no room after"), child.stderr
    assert child.stdout.endswith("False\n"), "the partial file made room"


def test_budget_is_one_for_all_attempts_and_lives(tmp_path, store, url):
    """Half comes in the first life; the whole of a changed object would be too much in the second."""
    store.faults = ["truncate", *[503] * 2]
    bounds = {"job_bytes_max": LENGTH + HALF // 2}
    with pytest.raises(Trouble, match="gave up"):
        new_fetcher(tmp_path, attempts_max=2, **bounds).fetch(
            url, sha256=None, size=None, progress=quiet, job="one"
        )
    store.etag = '"two"'
    with pytest.raises(Trouble, match="would cost more than a job may fetch") as told:
        new_fetcher(tmp_path, **bounds).fetch(url, sha256=None, size=None, progress=quiet, job="one")
    spent, missing, bound = (int(number) for number in re.findall(r"\b\d+\b", told.value.reason))
    assert HALF < spent < HALF + 100_000, "half, two refusals, and what came with the head of the whole"
    assert LENGTH + HALF <= spent + missing <= LENGTH + HALF + 2 * len(b"<Error/>")
    assert bound == LENGTH + HALF // 2
    assert new_fetcher(tmp_path, **bounds).fetch(
        url, sha256=None, size=None, progress=quiet, job="another"
    ) == Downloaded(sha256=DIGEST, size=LENGTH)


def test_download_is_kept_when_its_cost_cannot_be_noted(tmp_path, url):
    def block(received, _total):
        if received:
            (tmp_path / "spent.json.new").mkdir(exist_ok=True)

    fetcher = new_fetcher(tmp_path, job_bytes_max=10 * LENGTH)
    with pytest.raises(IsADirectoryError):
        fetcher.fetch(url, sha256=DIGEST, size=LENGTH, progress=block, job="one")
    assert json.loads((tmp_path / "image.json").read_bytes())["synced"] == LENGTH


def test_budget_is_noted_before_it_is_spent(tmp_path, store, url):
    """Who dies at any instant has not spent more than is written down."""
    noted = []

    def look(received, total):
        if received:
            noted.append((received, json.loads((tmp_path / "spent.json").read_bytes())["bytes"]))

    store.faults = ["truncate"] * 3
    fetcher = new_fetcher(tmp_path, job_bytes_max=2 * LENGTH)
    fetcher.fetch(url, sha256=DIGEST, size=LENGTH, progress=look, job="one")
    assert noted
    assert all(received <= written for received, written in noted)
    assert json.loads((tmp_path / "spent.json").read_bytes()) == {"job": "one", "bytes": LENGTH}
    fetcher.discard()
    assert not (tmp_path / "spent.json").exists()


def test_budget_of_what_has_no_length(tmp_path, store, url):
    store.faults = ["chunked"]
    with pytest.raises(Trouble, match="costs more than a job may fetch"):
        fetch(new_fetcher(tmp_path, job_bytes_max=HALF), url, sha256=None, size=None)


def test_no_budget_writes_nothing(tmp_path, url):
    fetch(new_fetcher(tmp_path), url)
    assert not (tmp_path / "spent.json").exists()


def test_bandwidth(tmp_path, url):
    """A megabyte at four a second takes a fifth of one at the least; libcurl lets the first bit through at once."""
    began = time.monotonic()
    assert fetch(new_fetcher(tmp_path, bytes_per_second_max=4_000_000), url).sha256 == DIGEST
    assert time.monotonic() - began > 0.15


def test_refusal_without_an_end_is_not_read(fetcher, store, url):
    store.content, store.refuses = b"x" * (1 << 22), 404
    with pytest.raises(Trouble, match="HTTP 404"):
        fetch(fetcher, url)


def test_room_for_unpacking_is_looked_at_first(tmp_path, store, url):
    limited = limits()
    fetcher = Fetcher(
        tmp_path, ca_file=None, limits=limited, wait=lambda _: False, also_needs=lambda total: 1 << 60
    )
    with pytest.raises(Trouble, match=rf"needs {LENGTH} bytes, and {1 << 60} or more once it is unpacked"):
        fetch(fetcher, url)
    assert not fetcher.path.exists()
