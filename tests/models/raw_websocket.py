"""A WebSocket client without manners: it signs as botocore does, and sends whatever a test wants to see refused."""

import base64
import os
import socket
import ssl
from typing import Self
from urllib.parse import quote

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from websockets.frames import Frame, Opcode

SERVICE = "iotdevicegateway"
SECONDS = 20


def signed_target(
    origin: str,
    key: str,
    secret: str,
    *,
    token: str | None = None,
    token_signed: bool = True,
    service: str = SERVICE,
    expires: int = 300,
) -> str:
    """``/mqtt`` with its signature in the query; the token signed with the rest, or added afterwards as AWS's SDKs do."""
    request = AWSRequest("GET", f"{origin}/mqtt")
    known = Credentials(key, secret, token if token_signed else None)
    SigV4QueryAuth(known, service, "us-east-1", expires=expires).add_auth(request)
    added = f"&X-Amz-Security-Token={quote(token, safe='')}" if token and not token_signed else ""
    return request.url.removeprefix(origin) + added


def signed_headers(origin: str, key: str, secret: str) -> dict[str, str]:
    """The headers of a ``GET /mqtt`` that is signed in them."""
    request = AWSRequest("GET", f"{origin}/mqtt")
    SigV4Auth(Credentials(key, secret), SERVICE, "us-east-1").add_auth(request)
    return dict(request.headers.items())


class RawWebSocket:
    """One socket."""

    def __init__(self, origin: str, target: str = "/mqtt", context: ssl.SSLContext | None = None) -> None:
        """Connected, and nothing sent."""
        self.origin, self.target = origin, target
        host, _, port = origin.partition("://")[2].rpartition(":")
        made = socket.create_connection((host, int(port)), timeout=SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = made if context is None else context.wrap_socket(made, server_hostname=host)
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def handshake(self, *, method: str = "GET", protocol: str = "HTTP/1.1", **changed: str | None) -> bytes:
        """A proper request for an upgrade; a header that is changed to None is left out."""
        headers: dict[str, str | None] = {
            "Host": self.origin.partition("://")[2],
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": "mqtt",
        }
        headers |= {name.replace("_", "-"): value for name, value in changed.items()}
        lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
        return "\r\n".join([f"{method} {self.target} {protocol}", *lines, "", ""]).encode()

    def upgrade(self, **changed: str | None) -> tuple[int, dict[str, str], bytes]:
        """Send the handshake; status, headers and body of the answer."""
        self.send(self.handshake(**changed))
        return self.answer()

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an HTTP answer."""
        while b"\r\n\r\n" not in self._received:
            self._more()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = self._take(int(headers.get("content-length", "0")))
        return int(first.split()[1]), headers, body

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def frame(
        self, data: bytes, opcode: Opcode = Opcode.BINARY, *, fin: bool = True, masked: bool = True
    ) -> None:
        self.send(Frame(opcode, data, fin).serialize(mask=masked))

    def take(self) -> tuple[Opcode, bytes]:
        """The next frame of the server."""
        first, length = self._take(2)
        assert not length & 0x80, "a server does not mask"
        if length > 125:
            length = int.from_bytes(self._take(2 if length == 126 else 8))
        return Opcode(first & 0x0F), self._take(length)

    def closes(self) -> int:
        """The code of the close frame that comes next, after which the connection ends."""
        opcode, payload = self.take()
        assert opcode is Opcode.CLOSE, (opcode, payload)
        self.ends()
        return int.from_bytes(payload[:2])

    def ends(self) -> None:
        """Nothing more comes but the end."""
        assert self._received == b""
        assert self.socket.recv(1) == b""

    def _take(self, count: int) -> bytes:
        while len(self._received) < count:
            self._more()
        data, self._received = self._received[:count], self._received[count:]
        return data

    def _more(self) -> None:
        data = self.socket.recv(65_536)
        assert data, f"the connection ended after {self._received!r}"
        self._received += data
