"""A street lamp: answers on a socket in the device's folder which version of it is alight.

Runs as a program of its own from an unpacked image; it needs the standard library and the files beside it.
"""

import contextlib
import json
import os
import socket
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEVICE = next(folder for folder in HERE.parents if (folder / "agent.toml").exists())
SOCKET = DEVICE / "lamp.sock"
POLL_SECONDS = 0.5


def main() -> None:
    """Light up and answer until the agent ends."""
    version = json.loads((HERE / "outfitter.json").read_text())["version"]
    light = json.loads((HERE / "light.json").read_text())
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
                    connection.sendall(version.encode())


if __name__ == "__main__":
    main()
