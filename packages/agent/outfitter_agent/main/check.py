"""``outfitter-agent check``: what on this device would keep the agent from its work, and what to do about it."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from outfitter_agent.hands import reach, schema
from outfitter_agent.hands.anchor import Anchor
from outfitter_agent.hands.journal import is_locked
from outfitter_agent.hands.mqtt import Link, tls_context
from outfitter_agent.hands.slots.folder import ROOM_KEPT_BYTES
from outfitter_agent.hands.slots.port import SlotsError
from outfitter_agent.hands.status import read_status
from outfitter_agent.hands.trust import write_bundle
from outfitter_agent.hands.validity import validities
from outfitter_agent.main.link import link_of
from outfitter_agent.main.settings import Settings
from outfitter_agent.main.software import slots_of
from outfitter_agent.plans.findings import Finding, Level, ok, skipped, warning, wrong
from outfitter_agent.plans.keys import keys_that_count
from outfitter_agent.plans.troubles import Trouble

SOON: Final = timedelta(days=30)
ROOM_BYTES_WANTED: Final = 100 * 1024**2


def check(settings: Settings, url: str | None) -> list[Finding]:
    """Look at everything; ``url``: one that a job would name, to be fetched as the device would.

    Without it the store of the last job is asked whether it is there.
    """
    now = datetime.now(UTC)
    link = link_of(settings)
    found: list[Finding] = []
    if settings.tls:
        found += identity(settings, link, now)
    found += _network(settings, link, sound=all(each.level is not Level.WRONG for each in found))
    found += _store(settings, url, now)
    found += [_room("state", settings.state), _room("slots", settings.slots)]
    found += [software(settings), trust(settings), *_configuration(settings)]
    return found


def identity(settings: Settings, link: Link, now: datetime) -> list[Finding]:
    """The device's certificate and key, and the authorities; also against the clock."""
    found = []
    try:
        tls_context(link)
        found.append(ok("key", "the private key is for its user alone, and the certificate's"))
    except OSError as error:
        found.append(wrong("key", str(error), "put certificate and key in place again, or provision anew"))
    for name, path in (("certificate", settings.certificate), ("ca", settings.ca)):
        if path is not None:
            found.append(_valid(name, path, now))
    return found


def _valid(name: str, path: Path, now: datetime) -> Finding:
    try:
        periods = validities(path.read_text())
    except (OSError, ValueError) as error:
        return wrong(name, f"{path} cannot be used: {error}", "put the file in place again")
    begins, ends = max(each.begins for each in periods), min(each.ends for each in periods)
    if now < begins:
        text = f"{path} is valid from {begins:%Y-%m-%d %H:%M} UTC on; by this device's clock it is {now:%Y-%m-%d %H:%M}"
        return wrong(name, text, "set the clock; run an NTP client")
    if now > ends:
        return wrong(
            name, f"{path} expired on {ends:%Y-%m-%d}", "put a new one in place, if the clock is right"
        )
    text = f"valid until {ends:%Y-%m-%d}"
    if ends - now < SOON:
        return warning(name, f"{path} is {text}", "put a new one in place before that")
    return ok(name, text)


def _network(settings: Settings, link: Link, *, sound: bool) -> Iterable[Finding]:
    """One step after the other, until one does not work."""
    named = reach.resolve(link)
    yield named
    if named.level is Level.WRONG:
        return
    if not sound:
        yield skipped("tls", "not tried with a certificate or key that is wrong")
        return
    reached = reach.handshake(link)
    yield from reached
    if reached[-1].level is Level.WRONG:
        return
    if settings.state.is_dir() and is_locked(settings.state):
        yield skipped("mqtt", "the agent runs, and a second connection would put it off", "see status")
    else:
        yield reach.mqtt(link)


def _store(settings: Settings, url: str | None, now: datetime) -> list[Finding]:
    store = None if url else read_status(settings.state)["store"]
    if url is None and store is None:
        text = "which host holds the images is told by a job alone, and none was here yet"
        return [skipped("store", text, "give the URL of one: --url URL")]
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(Path(folder) / "ca.pem", system=settings.system_ca, own=settings.ca)
        return reach.fetch(url or str(store), bundle, now, any_answer=url is None)


def _room(name: str, folder: Path) -> Finding:
    """Whether the folder is there or can be made, can be written, and has room."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir():
        return wrong(name, f"{there} is no folder", f"remove it, or set '{name}' to another place")
    if not os.access(there, os.W_OK | os.X_OK):
        return wrong(name, f"{there} cannot be written by this user", "run as the agent's user, or chown it")
    free = shutil.disk_usage(there).free
    told = f"{there}: {free // 1024**2} MB free"
    if free < ROOM_KEPT_BYTES:
        return wrong(name, told, "make room: no image can be stored")
    if free < ROOM_BYTES_WANTED:
        return warning(name, told, "make room: larger images cannot be stored")
    return ok(name, told)


def software(settings: Settings) -> Finding:
    """What the slots hold."""
    try:
        slots = slots_of(settings)
        current, fault = slots.current(), slots.fault()
        held = [(slot, slots.installed(slot)) for slot in slots.names()]
    except SlotsError as error:
        return wrong("software", str(error), "mend the setting 'slot' or 'slot_options'")
    except Trouble as trouble:
        return wrong("software", trouble.reason, "see docs/reference/slots.md")
    except OSError as error:
        return skipped("software", f"cannot be read: {error.strerror}", "see slots")
    if fault is not None:
        return wrong("software", fault, "mend that, or send the software again")
    told = "; ".join(
        f"{slot}{' (current)' if slot == current else ''}: {f'{each.name} {each.version}' if each else 'empty'}"
        for slot, each in held
    )
    return ok("software", told if current is not None else f"none runs yet; {told}")


def trust(settings: Settings) -> Finding:
    """Which keys count."""
    if settings.trusted_keys is None:
        return ok("trust", "images need no signature: 'trusted_keys' is not set")
    anchor = Anchor(settings.trusted_keys, settings.state)
    try:
        keys = sorted(keys_that_count(anchor.anchors(), anchor.load()))
    except Trouble as trouble:
        return wrong("trust", trouble.reason, "put the public keys in place; nothing is installed until then")
    if not keys:
        return wrong("trust", "every key is revoked", "put a new public key in place")
    return ok("trust", f"keys that count: {', '.join(keys)}")


def _configuration(settings: Settings) -> Iterable[Finding]:
    if settings.configuration_schema is not None:
        yield _schema(settings.configuration_schema, settings.configuration)
    commands = [
        ("configuration_reload", settings.configuration_reload),
        ("configuration_reload_units", ("systemctl",) if settings.configuration_reload_units else ()),
        ("health_command", settings.health_command),
        ("health_units", ("systemctl",) if settings.health_units else ()),
    ]
    if settings.reboot == "command":
        commands.append(("reboot_command", settings.reboot_command))
    for name, command in commands:
        if command:
            yield _executable(name, command[0], settings.configuration.parent)


def _schema(place: Path, configuration: Path) -> Finding:
    if not place.is_file():
        return wrong(
            "schema", f"{place} is not there", "put it in place; no configuration is taken until then"
        )
    try:
        if configuration.exists():
            schema.check(place, configuration)
    except Trouble as trouble:
        return wrong("schema", trouble.reason, "mend the schema, or send a configuration that keeps to it")
    return ok("schema", f"{place} can be used")


def _executable(name: str, program: str, folder: Path) -> Finding:
    named = str(folder / program) if "/" in program else program
    if shutil.which(named) is None:
        return wrong(name, f"{program} cannot be run", f"install it, or change '{name}'")
    return ok(name, f"{program} can be run")
