"""Uploads: bytes that arrive, URLs that have expired, stores that fail now and for good."""

import hashlib
import threading
from base64 import b64encode
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from outfitter_agent.hands.fetch import FetchLimits
from outfitter_agent.hands.put import Uploader
from outfitter_agent.plans.effects import Uploaded, UrlExpired
from outfitter_agent.plans.troubles import Abandoned, Trouble

LIMITS = FetchLimits(
    attempts_max=3,
    backoff_max_seconds=0.01,
    connect_timeout_seconds=5,
    stall_seconds=5,
    stall_bytes=1,
    bytes_max=1000,
)


class Store(ThreadingHTTPServer):
    """Answers PUT with the statuses given, then with 200."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses, self.bodies, self.headers = [], [], []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/bucket/key?X-Amz-Signature=s"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(body)
        self.server.headers.append(dict(self.headers))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        if status == 307:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"<Error>")

    def log_message(self, *args):
        pass


@pytest.fixture
def store():
    with running() as made:
        yield made


@contextmanager
def running():
    with Store() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


def uploader(wait=lambda _: False, check=lambda: None):
    return Uploader(ca_file=None, limits=LIMITS, wait=wait, check=check)


@pytest.mark.parametrize("size", [0, 7, 3_000_000])
def test_arrives_whole(store, size):
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert uploader().put(store.url, content) == Uploaded()
    assert store.bodies == [content]
    digest = b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    assert store.headers[0]["Content-MD5"] == digest


def test_redirected_with_its_bytes(store):
    store.statuses = [307]
    assert uploader().put(store.url, b"content") == Uploaded()
    assert store.bodies == [b"content"] * 2


@pytest.mark.parametrize("status", [400, 401, 403])
def test_expired(store, status):
    store.statuses = [status]
    assert uploader().put(store.url, b"x") == UrlExpired(
        reason=f"HTTP {status} from the store", bytes_gained=0
    )


@pytest.mark.parametrize("statuses", [[500, 503], [429], [0]])
def test_passing_faults_are_outlasted(store, statuses):
    store.statuses = list(statuses)
    assert uploader().put(store.url, b"x") == Uploaded()


def test_gives_up(store):
    store.statuses = [500] * 9
    with pytest.raises(Trouble, match="HTTP 500 from the store; gave up after 3 attempts"):
        uploader().put(store.url, b"x")


@pytest.mark.parametrize("status", [404, 405, 201, 204])
def test_anything_but_200_is_no_success(store, status):
    store.statuses = [status]
    with pytest.raises(Trouble, match=f"could not be uploaded: HTTP {status}"):
        uploader().put(store.url, b"x")


def test_nobody_there():
    with running() as store:
        url = store.url
    with pytest.raises(Trouble, match=r"could not be uploaded: .*gave up after 3"):
        uploader().put(url, b"x")


def test_abandoned_between_attempts(store):
    store.statuses = [500]
    with pytest.raises(Abandoned):
        uploader(wait=lambda _: True).put(store.url, b"x")


def test_abandoned_in_the_middle(store):
    def check():
        raise Abandoned

    with pytest.raises(Abandoned):
        uploader(check=check).put(store.url, b"x")


def test_impossible_url():
    with pytest.raises(Trouble, match="could not be uploaded"):
        uploader().put("ftp://127.0.0.1/x", b"x")
