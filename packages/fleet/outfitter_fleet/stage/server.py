"""A real ``outfitterd serve`` on a data folder, and what a client needs to reach it."""

import configparser
import secrets
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config

from outfitter_fleet.stage.processes import Process, Processes, program

REGION: Final = "us-east-1"
READY_SECONDS: Final = 30.0
ANY_PORT: Final = "127.0.0.1:0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that accepts connections.

    Attributes:
        endpoints: ``HOST:PORT`` by listener (http, https, mqtt, mqtts), as the ready line gives them.
        ca: the file with the installation's CA certificate, PEM.
        ready_seconds: from the start of its process until it accepted connections.
    """

    process: Process
    data: Path
    endpoints: dict[str, str]
    access_key_id: str
    secret_access_key: str
    ca: Path
    ready_seconds: float

    @property
    def url(self) -> str:
        """The endpoint for AWS's clients."""
        return f"http://{self.endpoints['http']}"

    def address(self, listener: str) -> tuple[str, int]:
        """Host and port of one listener."""
        host, _, port = self.endpoints[listener].rpartition(":")
        return host, int(port)

    def client(self, service: str) -> Any:
        """A boto3 client of one service, at this server."""
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(retries={"max_attempts": 0}, max_pool_connections=16),
        )

    def environment(self) -> dict[str, str]:
        """The settings that AWS's own clients read."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def start_server(
    processes: Processes, data: Path, *listeners: str, endpoints: Mapping[str, str] | None = None
) -> Server:
    """Serve ``data``, new or used before, on free loopback ports of these listeners (http, https, mqtt, mqtts).

    ``endpoints`` are those of a server that was here before, to be reached where it was.

    Raises:
        ProcessEnded: it did not come up.
    """
    key_id, secret = _root_key(data)
    began = time.perf_counter()
    at = endpoints or {}
    flags = [word for listener in listeners for word in (f"--{listener}", at.get(listener, ANY_PORT))]
    process = processes.start(
        "outfitterd",
        [program("outfitterd"), "serve", "--data", str(data), *flags],
        {"OUTFITTER_ROOT_ACCESS_KEY_ID": key_id, "OUTFITTER_ROOT_SECRET_ACCESS_KEY": secret},
    )
    ready = process.line("ready ", READY_SECONDS)
    ready_seconds = time.perf_counter() - began
    bound = dict(word.split("=", 1) for word in ready.split()[1:] if "=" in word)
    ca = data.parent / "ca.pem"
    ca.write_bytes(
        subprocess.run(
            [program("outfitterd"), "ca", "--data", str(data)], check=True, capture_output=True
        ).stdout
    )
    return Server(
        process=process,
        data=data,
        endpoints=bound,
        access_key_id=key_id,
        secret_access_key=secret,
        ca=ca,
        ready_seconds=ready_seconds,
    )


def _root_key(data: Path) -> tuple[str, str]:
    """The key of a folder that was served before, or a new one."""
    kept = configparser.ConfigParser(interpolation=None)
    if kept.read(data / "credentials", "utf-8"):
        section = kept["default"]
        return section["aws_access_key_id"], section["aws_secret_access_key"]
    return "AKIA" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30)
