"""What the agent runs after a new configuration: tells the lamp, and ends with 0 when the lamp shines so.

A lamp whose bulb bears less, as ``bulb.json`` in the device's folder says, refuses.
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEVICE = next(folder for folder in HERE.parents if (folder / "agent.toml").exists())
LAMP_SECONDS = 5.0
LOOK_SECONDS = 0.05


def main() -> int:
    """Check, tell, and see it shine."""
    wanted = json.loads(Path(os.environ["OUTFITTER_CONFIGURATION"]).read_text()).get("brightness")
    bulb = DEVICE / "bulb.json"
    bears = json.loads(bulb.read_text())["bears"] if bulb.exists() else 100
    if isinstance(wanted, int) and wanted > bears:
        print(f"this bulb bears {bears} %, not {wanted} %")
        return 1
    if "OUTFITTER_SOFTWARE_PID" not in os.environ:
        return 0
    os.kill(int(os.environ["OUTFITTER_SOFTWARE_PID"]), signal.SIGHUP)
    deadline = time.monotonic() + LAMP_SECONDS
    while wanted is not None and shining() != str(wanted):
        if time.monotonic() > deadline:
            print(f"the lamp does not shine with {wanted} %")
            return 1
        time.sleep(LOOK_SECONDS)
    return 0


def shining() -> str:
    """What the lamp says of itself, in per cent."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lamp:
        lamp.settimeout(LAMP_SECONDS)
        try:
            lamp.connect(str(DEVICE / "lamp.sock"))
            return lamp.recv(64).decode().partition(" ")[2]
        except OSError:
            return ""


if __name__ == "__main__":
    sys.exit(main())
