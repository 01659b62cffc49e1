"""An endpoint that answers by a script over real HTTP, and the command run against it."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest
from click.testing import CliRunner, Result
from outfitter_updates.cli.root import root
from outfitter_updates.cli.shape import Application
from outfitter_updates.main.command import open_cloud

NOW = 1_770_000_000_000
ACCOUNT = (
    "<GetCallerIdentityResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><GetCallerIdentityResult>"
    "<Arn>arn:aws:iam::000000000000:root</Arn><UserId>x</UserId><Account>000000000000</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
)


@dataclass
class Script:
    """Answers by ``METHOD path``; a list gives one answer after the other and then the last again. None: no answer."""

    answers: dict[str, object] = field(default_factory=lambda: {"POST /": ACCOUNT})
    asked: list[str] = field(default_factory=list)
    bodies: dict[str, object] = field(default_factory=dict)
    authorizations: dict[str, str] = field(default_factory=dict)
    url: str = ""

    def answer(self, request: str, body: bytes) -> tuple[int, str, bytes]:
        self.asked.append(request)
        self.bodies[request] = json.loads(body) if body.startswith(b"{") else body
        for pattern, told in self.answers.items():
            if re.fullmatch(pattern, request):
                several = isinstance(told, list)
                return self._shape(told.pop(0) if several and len(told) > 1 else told[0] if several else told)
        return (
            404,
            "ResourceNotFoundException",
            json.dumps({"message": f"{request} is not scripted"}).encode(),
        )

    @staticmethod
    def _shape(told: object) -> tuple[int, str, bytes]:
        if told is None:
            return 0, "", b""
        if isinstance(told, tuple):
            status, code = told
            return status, code, json.dumps({"message": f"{code} happened"}).encode()
        return 200, "", told.encode() if isinstance(told, str) else json.dumps(told).encode()


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        def _go(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(urlsplit(self.path).path)
            script.authorizations[f"{self.command} {path}"] = self.headers.get("Authorization", "")
            status, code, content = script.answer(f"{self.command} {path}", body)
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            if code:
                self.send_header("x-amzn-errortype", code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    for method in ("GET", "PUT", "POST", "PATCH", "DELETE", "HEAD"):
        setattr(Handler, f"do_{method}", Handler._go)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield script
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def outfitter(script, monkeypatch, tmp_path):
    """Runs the command in process: ``outfitter("device", "list")``."""
    for name, value in {
        "AWS_ENDPOINT_URL": script.url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    for name in (
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_SESSION_TOKEN",
        "OUTFITTER_ROLE_ARN",
    ):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, sleep=lambda _: None, clock=lambda: NOW) -> Result:
        application = Application(open_cloud=open_cloud, clock=clock, sleep=sleep, token=lambda: "abc123")
        return CliRunner().invoke(root, arguments, obj=application, prog_name="outfitter")

    return run
