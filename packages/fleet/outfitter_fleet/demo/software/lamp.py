"""A street lamp: tells on a socket in the device's folder which version of it is alight, and how bright.

The brightness comes from the device's configuration, read at the start and at each SIGHUP. Runs as a program of its own
from an unpacked image; it needs the standard library and the files beside it.
"""

import contextlib
import json
import os
import signal
import socket
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEVICE = next(folder for folder in HERE.parents if (folder / "agent.toml").exists())
SOCKET = DEVICE / "lamp.sock"
CONFIGURATION = DEVICE / "configuration.json"
POLL_SECONDS = 0.5
BRIGHTNESS = 30


def brightness() -> int:
    """Per cent, as the configuration says; what the maker thought right when it says nothing."""
    try:
        return int(json.loads(CONFIGURATION.read_text())["brightness"])
    except (FileNotFoundError, KeyError):
        return BRIGHTNESS


def main() -> None:
    """Light up and answer until the agent ends."""
    version = json.loads((HERE / "outfitter.json").read_text())["version"]
    light = json.loads((HERE / "light.json").read_text())
    shining = brightness()

    def dim(_number: int, _frame: object) -> None:
        nonlocal shining
        shining = brightness()

    signal.signal(signal.SIGHUP, dim)
    parent = os.getppid()
    SOCKET.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(SOCKET))
        listener.listen()
        listener.settimeout(POLL_SECONDS)
        print(f"lamp {version} shines {light['colour']}", flush=True)
        while os.getppid() == parent:
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(f"{version} {shining}".encode())


if __name__ == "__main__":
    main()
