"""Settings: file, drop-ins, environment, and what is refused; the reference tells the truth."""

import json
import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from outfitter_agent.main.settings import Settings, SettingsError, load_settings

REFERENCE = Path(__file__).parents[3] / "docs/reference/agent-settings.md"
PLAIN = 'thing_name = "pump-7"\ndevice_type = "p1"\nendpoint = "localhost"\ntls = false\n'


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "agent.toml"
    path.write_text(PLAIN)
    return path


def test_least(file, tmp_path):
    settings = load_settings(file, {})
    assert (settings.port, settings.mqtt_version, settings.reboot) == (8883, "5", "restart")
    assert settings.state == tmp_path / "state"
    assert settings.slots == tmp_path / "software"
    assert settings.system_ca.is_absolute()


def test_drop_ins_in_order_and_the_environment_last(file, tmp_path):
    folder = tmp_path / "agent.toml.d"
    folder.mkdir()
    (folder / "20-b.toml").write_text('port = 2\nstate = "other"')
    (folder / "10-a.toml").write_text("port = 1\nkeep_alive_seconds = 30")
    (folder / "30-c.txt").write_text("port = 3")
    settings = load_settings(file, {})
    assert (settings.port, settings.keep_alive_seconds) == (2, 30)
    assert settings.state == tmp_path / "other"
    environment = {
        "OUTFITTER_AGENT_PORT": "4",
        "OUTFITTER_AGENT_SETTLE_SECONDS": "0.5",
        "OUTFITTER_AGENT_TLS": "false",
        "OUTFITTER_AGENT_REBOOT_COMMAND": '["reboot", "now"]',
        "OUTFITTER_AGENT_STATE": "third",
        "OUTFITTER_AGENT_SLOT_OPTIONS": '{"command": ["rauc"]}',
        "OUTFITTER_AGENT_SOMETHING": "for others",
    }
    settings = load_settings(file, environment)
    assert (settings.port, settings.settle_seconds, settings.tls) == (4, 0.5, False)
    assert settings.reboot_command == ("reboot", "now")
    assert settings.slot_options == {"command": ["rauc"]}
    assert settings.state == tmp_path / "third"


REFUSED = {
    "unknown": ('spelling = "x"', "'spelling' is no setting"),
    "type": ('port = "8883"', "'port' must be a whole number"),
    "true is no number": ("port = true", "'port' must be a whole number"),
    "bounds": ("port = 70000", "'port' must be 1 to 65535"),
    "fraction": ("settle_seconds = -0.5", "'settle_seconds' must be 0 to 3600"),
    "list": ('reboot_command = "reboot"', "'reboot_command' must be a list of texts"),
    "path": ("state = 1", "'state' must be a path"),
    "table": ('slot_options = "x"', "'slot_options' must be a table"),
    "url": ('health_url = "localhost:80"', "'health_url' must begin with http:// or https://"),
    "trial": ("trial_timeout_seconds = 10", "must be above 'settle_seconds' (10)"),
    "rauc without a boot": ('slot = "rauc"', 'needs reboot = "systemd" or "command"'),
    "reboot": ('reboot = "kick"', "'reboot' must be one of restart, command, systemd"),
    "reboot command": ('reboot = "command"', "needs 'reboot_command'"),
    "mqtt": ('mqtt_version = "3.1"', "'mqtt_version' must be one of 5, 3.1.1"),
    "no toml": ("port =", "is not TOML"),
    "deep": (f"reboot_command = {'[' * 5000}", "is not TOML"),
    "zero": ('state = "a\\u0000b"', "'state' must be a path"),
    "nobody's home": ('state = "~no-such-user/x"', "'state' begins with a home folder that is not known"),
}


@pytest.mark.parametrize(("line", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(file, line, reason):
    file.write_text(PLAIN + line)
    with pytest.raises(SettingsError, match=re.escape(reason)):
        load_settings(file, {})


@pytest.mark.parametrize("name", ["thing_name", "device_type", "endpoint"])
def test_required(file, name):
    file.write_text("".join(line for line in PLAIN.splitlines(keepends=True) if not line.startswith(name)))
    with pytest.raises(SettingsError, match=f"'{name}' is missing"):
        load_settings(file, {})


@pytest.mark.parametrize("name", ["a/b", "", "x" * 129, "a#"])
def test_thing_names(file, name):
    file.write_text(PLAIN.replace("pump-7", name))
    with pytest.raises(SettingsError, match="no name of a thing"):
        load_settings(file, {})


@pytest.mark.parametrize(
    "endpoint", ["", " ", "a b", "tls://host", "host:8883", "[::1]", "host\\n", "user@host"]
)
def test_what_is_no_endpoint(file, endpoint):
    file.write_text(PLAIN.replace("localhost", endpoint))
    with pytest.raises(
        SettingsError, match="'endpoint' is a host name or an address, without scheme and port"
    ):
        load_settings(file, {})


@pytest.mark.parametrize(
    "endpoint", ["a.example.net", "192.0.2.1", "2001:db8::1", "fe80::1%eth0", "gerät.example"]
)
def test_endpoints(file, endpoint):
    file.write_text(PLAIN.replace("localhost", endpoint))
    assert load_settings(file, {}).endpoint == endpoint


@pytest.mark.parametrize("line", ["port = 70000", "spelling = 1", "port = "])
def test_what_is_wrong_is_told_with_its_place(file, tmp_path, line):
    folder = tmp_path / "agent.toml.d"
    folder.mkdir()
    (folder / "10-a.toml").write_text(line)
    (folder / "20-b.toml").write_text("keep_alive_seconds = 30")
    with pytest.raises(SettingsError, match="^" + re.escape(str(folder / "10-a.toml"))):
        load_settings(file, {})


def test_the_environment_is_told_as_the_place(file):
    with pytest.raises(SettingsError, match=r"^OUTFITTER_AGENT_PORT in the environment: 'port' must be 1 to"):
        load_settings(file, {"OUTFITTER_AGENT_PORT": "70000"})


def test_drop_ins_that_cannot_be_listed_are_not_passed_over(file, tmp_path, monkeypatch):
    """They may hold what keeps the device safe, such as ``trusted_keys``."""
    folder = tmp_path / "agent.toml.d"
    folder.mkdir()

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(SettingsError, match=r"agent\.toml\.d cannot be read: Permission denied"):
        load_settings(file, {})


def test_no_file(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "none.toml", {})


def test_bad_environment(file):
    with pytest.raises(SettingsError, match="OUTFITTER_AGENT_PORT in the environment"):
        load_settings(file, {"OUTFITTER_AGENT_PORT": "many"})


def test_tls_needs_its_files(file, tmp_path):
    file.write_text(
        PLAIN.replace("tls = false", 'ca = "ca.pem"\ncertificate = "c.pem"\nprivate_key = "k.pem"')
    )
    with pytest.raises(SettingsError, match="the file of 'ca', cannot be read"):
        load_settings(file, {})
    for name in ("ca.pem", "c.pem", "k.pem"):
        (tmp_path / name).write_text("x")
    (tmp_path / "k.pem").chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        load_settings(file, {})
    (tmp_path / "k.pem").chmod(0o600)
    (tmp_path / "c.pem").rename(tmp_path / "c")
    (tmp_path / "c.pem").mkdir()
    with pytest.raises(SettingsError, match="the file of 'certificate', is a folder"):
        load_settings(file, {})
    (tmp_path / "c.pem").rmdir()
    (tmp_path / "c").rename(tmp_path / "c.pem")
    assert load_settings(file, {}).private_key == tmp_path / "k.pem"
    file.write_text(PLAIN.replace("tls = false", ""))
    with pytest.raises(SettingsError, match="'ca' is missing, which tls needs"):
        load_settings(file, {})


@pytest.mark.parametrize(
    ("told", "bound"),
    [
        ("", 1800),
        ("settle_seconds = 1000\nhealth_timeout_seconds = 500", 3000),
        ("trial_timeout_seconds = 0", 0),
        ("trial_timeout_seconds = 90", 90),
    ],
)
def test_trial_has_a_bound_unless_it_is_taken_away(told, bound, file):
    file.write_text(PLAIN + told)
    assert load_settings(file, {}).trial_timeout_seconds == bound


def test_reference_lists_every_setting_with_its_default():
    rows = dict(
        re.findall(
            r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|",
            REFERENCE.read_text().split("\n## ")[0],
            re.MULTILINE,
        )
    )
    assert set(rows) == {item.name for item in fields(Settings)}
    for item in fields(Settings):
        told = rows[item.name].strip()
        if not told.startswith("required"):
            default = item.default if item.default_factory is MISSING else item.default_factory()
            assert told.strip('`"') == _shown(default), item.name


def _shown(default):
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, tuple):
        return json.dumps(default)
    return "none" if default is None else str(default)
