"""Debian's Mosquitto beside ours: the same certificates, on the same core, its limits taken off."""

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outfitter_fleet.load.ground import Ground, cores
from outfitter_fleet.load.provision import ProvisioningFailed
from outfitter_fleet.stage.processes import Process

_READY_SECONDS_MAX: Final = 10.0
_SETTINGS: Final = """\
user root
persistence false
allow_anonymous true
set_tcp_nodelay true
max_inflight_messages 0
max_queued_messages 0
log_dest none

listener {plain} 127.0.0.1

listener {tls} 127.0.0.1
cafile {ca}
certfile {certificate}
keyfile {key}
require_certificate true
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mosquitto:
    """A broker that accepts connections, its address by wire (plain, tls)."""

    process: Process
    addresses: dict[str, tuple[str, int]]


def start_mosquitto(ground: Ground) -> Mosquitto:
    """Start it with the certificate of the ground's server.

    Raises:
        ProvisioningFailed: it is not installed, or does not come up.
    """
    authority = ground.server.data / "ca"
    plain, tls = _free_port(), _free_port()
    settings = ground.folder / "mosquitto.conf"
    settings.write_text(
        _SETTINGS.format(
            plain=plain,
            tls=tls,
            ca=authority / "ca.pem",
            certificate=authority / "server.pem",
            key=authority / "server.key",
        )
    )
    own = cores()
    if own:
        os.sched_setaffinity(0, {own[0]})
    try:
        process = ground.processes.start("mosquitto", [_program(), "-c", str(settings)])
    finally:
        if own:
            os.sched_setaffinity(0, {own[1]})
    for port in (plain, tls):
        _wait(process, port)
    return Mosquitto(process=process, addresses={"plain": ("127.0.0.1", plain), "tls": ("127.0.0.1", tls)})


def version() -> str:
    """What it says of itself."""
    said = subprocess.run([_program(), "-h"], check=False, capture_output=True, text=True).stdout
    return said.partition("\n")[0].removeprefix("mosquitto version ").strip()


def _program() -> str:
    found = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    if not Path(found).is_file():
        raise ProvisioningFailed("there is no mosquitto: `make mosquitto` installs Debian's")
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait(process: Process, port: int) -> None:
    deadline = time.monotonic() + _READY_SECONDS_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline or not process.running:
                raise ProvisioningFailed(f"mosquitto did not come up: see {process.log}") from None
            time.sleep(0.05)
        else:
            return
