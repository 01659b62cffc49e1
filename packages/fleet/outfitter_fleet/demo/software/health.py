"""The health command of the lamp: ends with 0 when the version of this image answers."""

import json
import socket
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEVICE = next(folder for folder in HERE.parents if (folder / "agent.toml").exists())
TIMEOUT_SECONDS = 2.0


def main() -> int:
    """Compare what answers with what this image is."""
    expected = json.loads((HERE / "outfitter.json").read_text())["version"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lamp:
        lamp.settimeout(TIMEOUT_SECONDS)
        try:
            lamp.connect(str(DEVICE / "lamp.sock"))
            answer = lamp.recv(64).decode().partition(" ")[0]
        except OSError as error:
            print(f"the lamp does not answer: {error}")
            return 1
    print(f"the lamp answers {answer}")
    return 0 if answer == expected else 1


if __name__ == "__main__":
    sys.exit(main())
