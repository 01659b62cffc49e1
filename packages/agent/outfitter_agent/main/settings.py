"""The agent's settings: one TOML file, its drop-ins, the environment; docs/reference/agent-settings.md is the table."""

import ipaddress
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from outfitter_contract.configuration import CONFIGURATION_BYTES_MAX
from outfitter_contract.image import WORD
from outfitter_contract.topics import THING_NAME

ENVIRONMENT_PREFIX: Final = "OUTFITTER_AGENT_"
REBOOTS: Final = ("restart", "command", "systemd")
MQTT_VERSIONS: Final = ("5", "3.1.1")
_TRUTH: Final = {"true": True, "false": False, "1": True, "0": False}


class SettingsError(Exception):
    """The settings cannot be used; the message says which, where and what to write."""


def _number(default: float, least: float, most: float) -> Any:
    return field(default=default, metadata={"least": least, "most": most})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one device; paths are absolute."""

    thing_name: str
    device_type: str
    endpoint: str
    port: int = _number(8883, 1, 65535)
    tls: bool = True
    ca: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    system_ca: Path = Path("/etc/ssl/certs/ca-certificates.crt")
    trusted_keys: Path | None = None
    forced_below_minimum: bool = False
    state: Path = Path("state")
    slot: str = "folder"
    slot_options: Mapping[str, object] = field(default_factory=dict)
    slots: Path = Path("software")
    mqtt_version: str = "5"
    keep_alive_seconds: int = _number(60, 5, 1200)
    session_expiry_seconds: int = _number(3600, 0, 604_800)
    reconnect_max_seconds: float = _number(60.0, 0.1, 3600)
    answer_timeout_seconds: float = _number(15.0, 0.5, 300)
    settle_seconds: float = _number(10.0, 0, 3600)
    health_timeout_seconds: float = _number(60.0, 1, 3600)
    health_interval_seconds: float = _number(1.0, 0.05, 60)
    health_command: tuple[str, ...] = ()
    health_units: tuple[str, ...] = ()
    health_url: str = ""
    health_url_status: int = _number(200, 100, 599)
    health_url_timeout_seconds: float = _number(5.0, 0.1, 60)
    stop_timeout_seconds: float = _number(10.0, 0, 300)
    trial_boots_max: int = _number(3, 1, 20)
    trial_timeout_seconds: float = _number(1800.0, 0, 86_400)
    attempts_max: int = _number(20, 1, 1000)
    reboot: str = "restart"
    reboot_command: tuple[str, ...] = ()
    boot_log_command: tuple[str, ...] = ("journalctl", "-b", "-1", "-n", "50", "--no-pager", "-o", "cat")
    download_attempts_max: int = _number(8, 1, 100)
    download_backoff_max_seconds: float = _number(60.0, 0.01, 3600)
    download_connect_timeout_seconds: int = _number(30, 1, 600)
    download_stall_seconds: int = _number(30, 1, 3600)
    download_stall_bytes: int = _number(100, 1, 1_000_000)
    download_seconds_max: float = _number(86_400.0, 1, 31_536_000)
    download_bytes_per_second_max: int = _number(0, 0, 2**40)
    download_bytes_max_per_job: int = _number(0, 0, 2**50)
    image_bytes_max: int = _number(4 * 1024**3, 1, 2**50)
    log_bytes_max: int = _number(256 * 1024, 4096, 1_000_000_000)
    configuration: Path = Path("configuration.json")
    configuration_schema: Path | None = None
    configuration_hooks: Path | None = None
    configuration_reload: tuple[str, ...] = ()
    configuration_reload_units: tuple[str, ...] = ()
    configuration_reload_timeout_seconds: float = _number(60.0, 0.1, 3600)
    configuration_health: bool = False
    configuration_watch_seconds: float = _number(60.0, 0, 86_400)
    configuration_bytes_max: int = _number(CONFIGURATION_BYTES_MAX, 2, 64 * 1024**2)
    device_client: bool = False
    device_client_handlers: Path | None = None
    device_client_users: tuple[str, ...] = ()
    device_client_step_timeout_seconds: float = _number(3600.0, 0.1, 604_800)


def load_settings(path: Path, environment: Mapping[str, str]) -> Settings:
    """The settings that the file, its drop-ins and the environment give; raises SettingsError."""
    path = path.absolute()
    merged: dict[str, Any] = {}
    places: dict[str, str] = {}
    for place, told in (*_files(path), *_from_environment(environment)):
        merged |= told
        places |= dict.fromkeys(told, place)
    known = {item.name: item for item in fields(Settings)}
    unknown = sorted(set(merged) - set(known))
    if unknown:
        raise SettingsError(
            f"{places[unknown[0]]}: '{unknown[0]}' is no setting of the agent; see docs/reference/agent-settings.md"
        )
    values: dict[str, Any] = {}
    for name, value in merged.items():
        try:
            values[name] = _checked(name, known[name], value, path.parent)
        except SettingsError as error:
            raise SettingsError(f"{places[name]}: {error}") from None
    for item in known.values():
        if item.name not in values and isinstance(item.default, Path):
            values[item.name] = path.parent / item.default
    missing = [name for name in ("thing_name", "device_type", "endpoint") if name not in values]
    if missing:
        raise SettingsError(f"{path}: '{missing[0]}' is missing")
    settings = Settings(**values)
    if "trial_timeout_seconds" not in values:
        least = 2 * (settings.settle_seconds + settings.health_timeout_seconds)
        settings = replace(settings, trial_timeout_seconds=max(settings.trial_timeout_seconds, least))
    _check_together(settings, path)
    return settings


def _files(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the file says and then what its drop-ins say, each with its place."""
    yield str(path), _read(path)
    drop_ins = path.with_name(path.name + ".d")
    try:
        names = sorted(each.name for each in drop_ins.iterdir() if each.name.endswith(".toml"))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise SettingsError(f"{drop_ins} cannot be read: {error.strerror}") from None
    for name in names:
        yield str(drop_ins / name), _read(drop_ins / name)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Texts of the environment as the types of the settings; names that are no settings belong to others."""
    for item in fields(Settings):
        name = ENVIRONMENT_PREFIX + item.name.upper()
        text = environment.get(name)
        if text is None:
            continue
        try:
            yield f"{name} in the environment", {item.name: _parsed(text, item.type)}
        except (ValueError, RecursionError):
            raise SettingsError(
                f"{name} in the environment does not hold a value for '{item.name}'"
            ) from None


def _parsed(text: str, kind: Any) -> Any:
    if kind is int:
        return int(text)
    if kind is float:
        return float(text)
    if kind is bool:
        if text not in _TRUTH:
            raise ValueError(text)
        return _TRUTH[text]
    return json.loads(text) if kind in (tuple[str, ...], Mapping[str, object]) else text


def _checked(name: str, item: Any, value: Any, folder: Path) -> Any:
    """The value in its type and within its bounds; raises SettingsError."""
    kind = item.type
    if kind in (Path, Path | None):
        return _path(name, value, folder)
    if kind == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise SettingsError(f"'{name}' must be a list of texts, not {value!r}")
        return tuple(value)
    if kind == Mapping[str, object]:
        if not isinstance(value, dict):
            raise SettingsError(f"'{name}' must be a table, not {value!r}")
        return value
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise SettingsError(f"'{name}' must be {_KINDS[kind]}, not {value!r}")
    least, most = item.metadata.get("least"), item.metadata.get("most")
    if least is not None and not least <= value <= most:
        raise SettingsError(f"'{name}' must be {least} to {most}, not {value!r}")
    return value


def _path(name: str, value: Any, folder: Path) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise SettingsError(f"'{name}' must be a path, not {value!r}")
    try:
        return folder / Path(value).expanduser()
    except RuntimeError:
        raise SettingsError(f"'{name}' begins with a home folder that is not known: {value!r}") from None


_KINDS: Final = {str: "a text in quotes", int: "a whole number", float: "a number", bool: "true or false"}


def _check_names(settings: Settings, path: Path) -> None:
    if not THING_NAME.fullmatch(settings.thing_name):
        raise SettingsError(f"{path}: 'thing_name' is no name of a thing: {settings.thing_name!r}")
    if not WORD.fullmatch(settings.device_type):
        raise SettingsError(
            f"{path}: 'device_type' is not 1 to 128 of A-Z a-z 0-9 _ . : -: {settings.device_type!r}"
        )
    if not _is_host(settings.endpoint):
        raise SettingsError(
            f"{path}: 'endpoint' is a host name or an address, without scheme and port: {settings.endpoint!r}"
        )


def _check_together(settings: Settings, path: Path) -> None:
    _check_names(settings, path)
    if settings.reboot not in REBOOTS:
        raise SettingsError(f"{path}: 'reboot' must be one of {', '.join(REBOOTS)}")
    if settings.reboot == "command" and not settings.reboot_command:
        raise SettingsError(f"{path}: reboot = \"command\" needs 'reboot_command'")
    if settings.slot == "rauc" and settings.reboot == "restart":
        raise SettingsError(
            f'{path}: slot = "rauc" needs reboot = "systemd" or "command": its slots change when the machine boots'
        )
    if settings.mqtt_version not in MQTT_VERSIONS:
        raise SettingsError(f"{path}: 'mqtt_version' must be one of {', '.join(MQTT_VERSIONS)}")
    if settings.trusted_keys is not None and not os.access(settings.trusted_keys, os.R_OK):
        raise SettingsError(f"{path}: {settings.trusted_keys}, the place of 'trusted_keys', cannot be read")
    if 0 < settings.download_bytes_per_second_max <= settings.download_stall_bytes:
        raise SettingsError(
            f"{path}: 'download_bytes_per_second_max' must be above 'download_stall_bytes'"
            f" ({settings.download_stall_bytes}), or every download would count as stalled"
        )
    _check_health(settings, path)
    if settings.tls:
        _check_files(settings, path)


def _is_host(text: str) -> bool:
    """Whether a connection could be made to it; what the resolver makes of a name is not asked here."""
    if ":" in text:
        try:
            ipaddress.IPv6Address(text)
        except ValueError:
            return False
    return bool(text) and text.isprintable() and not set(text) & set(" /@[]")


def _check_health(settings: Settings, path: Path) -> None:
    if settings.health_url and not settings.health_url.startswith(("http://", "https://")):
        raise SettingsError(
            f"{path}: 'health_url' must begin with http:// or https://: {settings.health_url!r}"
        )
    if 0 < settings.trial_timeout_seconds <= settings.settle_seconds:
        raise SettingsError(
            f"{path}: 'trial_timeout_seconds' must be above 'settle_seconds' ({settings.settle_seconds:g}),"
            " or no software would ever be proven"
        )


def _check_files(settings: Settings, path: Path) -> None:
    for name in ("ca", "certificate", "private_key"):
        file: Path | None = getattr(settings, name)
        if file is None:
            raise SettingsError(f"{path}: '{name}' is missing, which tls needs")
        if not os.access(file, os.R_OK):
            raise SettingsError(f"{path}: {file}, the file of '{name}', cannot be read")
        if file.is_dir():
            raise SettingsError(f"{path}: {file}, the file of '{name}', is a folder")
    if settings.private_key is not None and settings.private_key.stat().st_mode & 0o077:
        raise SettingsError(
            f"{settings.private_key} may be read by others; run: chmod 600 {settings.private_key}"
        )
