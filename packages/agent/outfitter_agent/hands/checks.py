"""One look each at what tells whether a device is healthy; each gives what is wrong, in words, or None."""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import pycurl

from outfitter_agent.hands.processes import die_with_parent, end

COMMAND_TIMEOUT_SECONDS: Final = 30
COMMAND_POLL_SECONDS: Final = 0.02
ACTIVE: Final = "active"

Sleep = Callable[[float], None]
"""Waits so many seconds; what it raises ends the look, and whatever the look has started."""


def run(
    command: Sequence[str],
    sleep: Sleep,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str | None:
    """A command, which ends with 0 when all is well."""
    try:
        child = subprocess.Popen(  # noqa: S603 - the command of the installed software, or of the device's owner
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - one prepared system call, no Python state is touched
        )
    except OSError as error:
        return f"could not be started: {error.strerror}: {error.filename}"
    deadline = time.monotonic() + COMMAND_TIMEOUT_SECONDS
    try:
        while (code := child.poll()) is None:
            if time.monotonic() >= deadline:
                return f"took longer than {COMMAND_TIMEOUT_SECONDS} s"
            sleep(COMMAND_POLL_SECONDS)
    finally:
        if child.returncode is None:
            end(child)
    return None if code == 0 else f"ended with {code}"


def ask(url: str, *, status: int, timeout_seconds: float) -> str | None:
    """An HTTP server of the device's own, which answers with that status when all is well; redirects are not followed."""
    curl = pycurl.Curl()
    try:
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.PROXY, "")
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.TIMEOUT_MS, int(timeout_seconds * 1000))
        curl.setopt(pycurl.WRITEFUNCTION, len)
        curl.perform()
        seen = curl.getinfo(pycurl.RESPONSE_CODE)
    except pycurl.error as error:
        return f"{url} does not answer: {error.args[1]}"
    finally:
        curl.close()
    return None if seen == status else f"{url} answers {seen} instead of {status}"


def look_at_units(units: Sequence[str]) -> str | None:
    """Units of systemd, which are all active when all is well."""
    try:
        done = subprocess.run(  # noqa: S603 - units are of the device's owner
            ["systemctl", "is-active", "--", *units],  # noqa: S607 - systemd's, wherever it lies
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_SECONDS,
            check=False,
        )
    except OSError as error:
        return f"systemctl could not be started: {error.strerror}"
    except subprocess.TimeoutExpired:
        return f"systemctl took longer than {COMMAND_TIMEOUT_SECONDS} s"
    states = done.stdout.decode(errors="replace").split()
    if len(states) != len(units):
        told = done.stderr.decode(errors="replace").strip()
        return f"systemctl does not tell the states of {', '.join(units)}: {told}"
    wrong = [f"{unit} is {state}" for unit, state in zip(units, states, strict=True) if state != ACTIVE]
    return ", ".join(wrong) or None
