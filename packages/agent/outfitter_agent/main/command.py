"""The command ``outfitter-agent``. Exit codes: 0 done, 1 failed, 2 wrong usage."""

import argparse
import hashlib
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from outfitter_agent.hands.anchor import Anchor
from outfitter_agent.hands.journal import FILE_NAME, FolderInUseError, decode, is_locked
from outfitter_agent.hands.slots.port import SlotsError
from outfitter_agent.hands.status import read_status
from outfitter_agent.main.leaving import leave, say
from outfitter_agent.main.settings import Settings, SettingsError, load_settings
from outfitter_agent.main.software import slots_of
from outfitter_agent.plans.findings import Finding, Level, listed, wrong
from outfitter_agent.plans.keys import keys_that_count
from outfitter_agent.plans.transaction import Installed, Journal
from outfitter_agent.plans.troubles import Trouble

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2

LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(message)s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return leave("outfitter-agent", lambda: _command(arguments))


def _command(arguments: Sequence[str] | None) -> int:
    chosen = _parser().parse_args(arguments)
    level = logging.DEBUG if chosen.verbose else logging.INFO
    logging.basicConfig(level=level, format=LOG_FORMAT, stream=sys.stderr)
    if chosen.command == "provision":
        return _provision(chosen)
    try:
        settings = load_settings(chosen.config, os.environ)
    except SettingsError as error:
        if chosen.command == "check":
            return _show([wrong("settings", str(error), "mend the settings")], as_json=chosen.json)
        sys.stderr.write(f"outfitter-agent: {error}\n")
        return USAGE
    if chosen.command == "check":
        return _check(settings, chosen)
    return _run(settings, chosen) if chosen.command == "run" else _status(settings, as_json=chosen.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="outfitter-agent",
        description="Installs software on this device, and proves that it runs.",
        epilog="Example: outfitter-agent run --config /etc/outfitter/agent.toml",
    )
    parser.add_argument(
        "--version", action="version", version=f"outfitter-agent {version('outfitter-agent')}"
    )
    parser.add_argument("--verbose", action="store_true", help="log more")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run the agent in the foreground until SIGTERM",
        description="Runs the agent in the foreground until SIGTERM; logs go to the standard error.",
        epilog="Example: outfitter-agent run --config /etc/outfitter/agent.toml",
    )
    status = commands.add_parser(
        "status",
        help="show what is installed and what is under way",
        description="Shows what is installed, what is under way, and how the last job ended; the agent need not run.",
        epilog="Example: outfitter-agent status --config /etc/outfitter/agent.toml --json",
    )
    check = commands.add_parser(
        "check",
        help="look for what keeps the agent from its work",
        description="Looks at the certificate, the clock, the network, disks, slots and settings; says what is wrong and"
        " what to do. Exit code 1 when something is wrong.",
        epilog="Example: outfitter-agent check --config /etc/outfitter/agent.toml",
    )
    check.add_argument("--url", metavar="URL", help="of an image, to be fetched as the agent would")
    for command in (status, check):
        command.add_argument("--json", action="store_true", help="print JSON")
    _add_provision(commands)
    for command in (run, status, check):
        command.add_argument(
            "--config", type=Path, required=True, metavar="FILE", help="the settings, a TOML file"
        )
    return parser


def _add_provision(commands: Any) -> None:
    provision = commands.add_parser(
        "provision",
        help="get an identity of its own, with a claim",
        description="Asks for a key and a certificate with the claim, is registered by the template, and writes"
        " private.key, certificate.pem, ca.pem and agent.toml. Does nothing where agent.toml is already.",
        epilog="Example: outfitter-agent provision --claim /etc/claim --endpoint updates.example.net --template line"
        " --type pump-controller --parameter SerialNumber=117 --out /etc/outfitter",
    )
    provision.add_argument(
        "--claim", type=Path, required=True, metavar="DIR", help="holds certificate.pem, private.key, ca.pem"
    )
    provision.add_argument(
        "--endpoint", required=True, metavar="HOST:PORT", help="the device gateway; port 8883 unless given"
    )
    provision.add_argument(
        "--template", required=True, metavar="NAME", help="the provisioning template that registers it"
    )
    provision.add_argument("--type", required=True, metavar="TYPE", help="the device's type")
    provision.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what the template wants to know of the device; repeatable",
    )
    provision.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the files go")


def _provision(chosen: argparse.Namespace) -> int:
    from outfitter_agent.hands.claim import ProvisioningError
    from outfitter_agent.main.provisioning import Claim, become

    for each in chosen.parameter:
        if not all(each.partition("=")):
            sys.stderr.write(
                f"outfitter-agent: --parameter {each!r}: write NAME=VALUE, neither of them empty\n"
            )
            return USAGE
    parameters = dict(each.partition("=")[::2] for each in chosen.parameter)
    claim = Claim(
        folder=chosen.claim,
        endpoint=chosen.endpoint,
        template=chosen.template,
        device_type=chosen.type,
        parameters=parameters,
    )
    try:
        name = become(claim, chosen.out)
    except (ProvisioningError, OSError) as error:
        sys.stderr.write(f"outfitter-agent: {error}\n")
        return FAILED
    sys.stderr.write("it has an identity already\n" if name is None else f"this device is {name}\n")
    return DONE


def _check(settings: Settings, chosen: argparse.Namespace) -> int:
    from outfitter_agent.main.check import check

    logging.disable(logging.CRITICAL)  # what would be logged is told as a finding
    try:
        findings = check(settings, chosen.url)
    finally:
        logging.disable(logging.NOTSET)
    return _show(findings, as_json=chosen.json)


def _show(findings: list[Finding], *, as_json: bool) -> int:
    if as_json:
        say(json.dumps([asdict(each) for each in findings], indent=2) + "\n")
    else:
        say(listed(findings))
    return FAILED if any(each.level is Level.WRONG for each in findings) else DONE


def _run(settings: Settings, chosen: argparse.Namespace) -> int:
    from outfitter_agent.hands.notify import Notifier
    from outfitter_agent.hands.signals import Signals
    from outfitter_agent.main.agent import Agent, start_arguments

    signals = Signals(Notifier(os.environ))
    signals.hear()
    arguments = start_arguments(chosen.config.absolute(), verbose=chosen.verbose)
    try:
        Agent(settings, arguments=arguments, signals=signals).run()
    except FolderInUseError as error:
        sys.stderr.write(f"outfitter-agent: {error}\n")
        return FAILED
    except SlotsError as error:
        sys.stderr.write(f"outfitter-agent: {chosen.config}: {error}\n")
        return USAGE
    except Exception:
        logging.getLogger(__name__).exception("the agent failed; its journal decides at the next start")
        return FAILED
    return DONE


def _status(settings: Settings, *, as_json: bool) -> int:
    shown = _facts(settings)
    if as_json:
        say(json.dumps(shown, indent=2) + "\n")
    else:
        width = max(len(name) for name in shown)
        lines = (
            f"{name.replace('_', ' '):{width}}  {'-' if value is None else value}\n"
            for name, value in shown.items()
        )
        say("".join(lines))
    return DONE


def _facts(settings: Settings) -> dict[str, Any]:
    journal = _journal(settings.state / FILE_NAME)
    slot, installed = _software(settings)
    under_way, final = journal.under_way, journal.final
    running, told = is_locked(settings.state), read_status(settings.state)
    connected_since = told.pop("connected_since")
    return {
        "thing_name": settings.thing_name,
        "device_type": settings.device_type,
        "agent_running": running,
        "connected_since": connected_since if running else None,
        "slot": slot,
        "name": installed.name if installed else None,
        "version": installed.version if installed else None,
        "sha256": installed.sha256 if installed else None,
        **_trust(settings, installed.name if installed else ""),
        "configuration": _digest(settings.configuration),
        "job": journal.job.job_id if journal.job else None,
        "stage": under_way.stage.value if under_way else None,
        "unreported_job": final.job.job_id if final else None,
        "unreported_status": final.status.value if final else None,
        **told,
    }


def _software(settings: Settings) -> tuple[str | None, Installed | None]:
    """The slot that runs and what it holds, as far as that can be known; why it cannot is told by ``check``."""
    try:
        slots = slots_of(settings)
        current = slots.current()
        return current, slots.installed(current)
    except (SlotsError, Trouble, OSError):
        return None, None


def _trust(settings: Settings, name: str) -> dict[str, str | None]:
    """The keys that count, or why none does, and the lowest version of the software that may be installed."""
    shown: dict[str, str | None] = {"trusted_keys": None, "minimum_version": None}
    if settings.trusted_keys is not None:
        anchor = Anchor(settings.trusted_keys, settings.state)
        try:
            trust = anchor.load()
            shown["trusted_keys"] = " ".join(sorted(keys_that_count(anchor.anchors(), trust)))
            shown["minimum_version"] = trust.minimums.get(name)
        except Trouble as trouble:
            shown["trusted_keys"] = trouble.reason
    return shown


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _journal(path: Path) -> Journal:
    try:
        return decode(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return Journal()
