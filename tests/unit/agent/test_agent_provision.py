"""The command ``outfitter-agent provision`` where it fails, and what it leaves alone."""

import pytest
from outfitter_agent.hands.claim import ProvisioningError
from outfitter_agent.main.command import main
from outfitter_agent.main.provisioning import host_and_port


@pytest.fixture
def claim(tmp_path):
    folder = tmp_path / "claim"
    folder.mkdir()
    for name in ("certificate.pem", "private.key", "ca.pem"):
        (folder / name).write_text("no certificate")
    return folder


def provision(claim, out, endpoint="127.0.0.1:1", device_type="pump", parameter="SerialNumber=1=2"):
    words = ["--claim", claim, "--endpoint", endpoint, "--template", "line", "--type", device_type]
    return main(["provision", *map(str, words), "--out", str(out), "--parameter", parameter])


@pytest.mark.parametrize(
    ("endpoint", "found"),
    [
        ("host", ("host", 8883)),
        ("host:1883", ("host", 1883)),
        ("[::1]:99", ("::1", 99)),
        ("[::1]", ("::1", 8883)),
    ],
)
def test_endpoints(endpoint, found):
    assert host_and_port(endpoint) == found


@pytest.mark.parametrize("endpoint", ["host:", "host:x", ":8883", "host:65536", "host:²"])
def test_what_is_no_endpoint(endpoint):
    with pytest.raises(ProvisioningError, match="is no endpoint"):
        host_and_port(endpoint)


def test_a_device_with_an_identity_keeps_it(tmp_path, claim, capsys):
    (tmp_path / "agent.toml").write_text("mine")
    assert provision(claim, tmp_path) == 0
    assert (tmp_path / "agent.toml").read_text() == "mine"
    assert "identity already" in capsys.readouterr().err


def test_a_claim_that_is_none_is_told(tmp_path, claim, capsys):
    out = tmp_path / "out"
    assert provision(claim, out) == 1
    assert "ca.pem" in capsys.readouterr().err
    (claim / "ca.pem").unlink()
    assert provision(claim, out) == 1
    assert "ca.pem" in capsys.readouterr().err
    assert not (out / "agent.toml").exists()


@pytest.mark.parametrize("parameter", ["SerialNumber", "SerialNumber=", "=1", ""])
def test_a_parameter_that_says_nothing(tmp_path, claim, capsys, parameter):
    """A variable that was not set would give all devices of a line one name."""
    assert provision(claim, tmp_path / "out", parameter=parameter) == 2
    assert "write NAME=VALUE" in capsys.readouterr().err


def test_a_type_that_the_settings_would_refuse_costs_no_certificate(tmp_path, claim, capsys):
    assert provision(claim, tmp_path / "out", device_type="a pump") == 1
    assert "--type 'a pump' is not" in capsys.readouterr().err


def test_every_option_is_needed(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["provision", "--claim", "x"])
    assert ended.value.code == 2
    assert "--endpoint" in capsys.readouterr().err
