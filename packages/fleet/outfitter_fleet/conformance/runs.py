"""Runs of the conformance tests, one server after the other, each foreign one in a network namespace of its own."""

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

OURS: Final = "outfitter"
SERVERS: Final = (OURS, "ministack", "moto")
MINISTACK: Final = "1.5.33"
MOVABLE_CLOCK: Final = "*/faketime/libfaketimeMT.so.1"  # below /usr/lib; Debian's package faketime
SUITE: Final = "tests/conformance"
_KEPT: Final = ".conformance"
_ALONE: Final = ("--ignore", f"{SUITE}/test_every_cell.py")  # about this repository, not about a server

Results = dict[str, dict[str, Any]]


def versions() -> dict[str, str]:
    """What is compared."""
    return {OURS: version("outfitter-server"), "ministack": MINISTACK, "moto": version("moto")}


def run(root: Path, server: str) -> Results:
    """What came out of every test against a server: cells and outcome, by test.

    Raises:
        RuntimeError: the tests could not be run.
    """
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "results.json"
        environment = {
            **os.environ,
            "OUTFITTER_CONFORMANCE_TARGET": server,
            "OUTFITTER_CONFORMANCE_RESULTS": str(told),
        }
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--tb=line",
            "-p",
            "no:cacheprovider",
            SUITE,
            *_ALONE,
        ]
        if server != OURS:
            clock = next(Path("/usr/lib").glob(MOVABLE_CLOCK), None)
            if clock is None:
                raise RuntimeError(f"/usr/lib/{MOVABLE_CLOCK} is missing: install Debian's package faketime")
            environment["OUTFITTER_CONFORMANCE_CLOCK"] = str(clock)
            environment["OUTFITTER_CONFORMANCE_MINISTACK"] = str(_ministack(root))
            alone = [sys.executable, "-m", "outfitter_fleet.conformance.alone"]
            command = ["unshare", "--map-root-user", "--net", *alone, *command]
        subprocess.run(command, cwd=root, env=environment, check=False)
        if not told.exists():
            raise RuntimeError(f"the tests against {server} did not run")
        found: Results = json.loads(told.read_text("utf-8"))
    return {name.removeprefix(f"{SUITE}/"): result for name, result in found.items()}


def _ministack(root: Path) -> Path:
    """MiniStack's program, in a virtual environment of its own; made when it is not there."""
    folder = root / _KEPT / f"ministack-{MINISTACK}"
    program = folder / "bin" / "ministack"
    if not program.exists():
        uv = str(Path(sys.executable).parent / "uv")
        subprocess.run([uv, "venv", "--quiet", folder], check=True)
        wanted = f"ministack[full]=={MINISTACK}"
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", folder / "bin/python", wanted], check=True
        )
    return program


def merged(of_servers: dict[str, Results]) -> dict[str, Any]:
    """One record of all runs, as it is kept in docs/reference/conformance.json."""
    tests = {
        name: {
            "cells": result["cells"],
            "outcomes": {
                server: found[name]["outcome"] if name in found else "absent"
                for server, found in of_servers.items()
            },
        }
        for name, result in of_servers[OURS].items()
        if result["cells"]
    }
    return {"versions": versions(), "tests": tests}
