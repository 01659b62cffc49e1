"""outfitter-agent check on a device of a real server: all well, and each thing that can be wrong."""

import hashlib
import json
import shutil
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from outfitter_agent.hands.validity import validities, validity

AGENT = Path(sys.executable).parent / "outfitter-agent"


@pytest.fixture
def device(agents, server, request):
    name = "check-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
    return agents(server, "--type", "lamp", name=name)


def look(device, *more, expect):
    command = [AGENT, "check", "--config", device.folder / "agent.toml", "--json", *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return {each["name"]: each for each in json.loads(done.stdout)}


def settings(device, text):
    (device.folder / "agent.toml.d/30-check.toml").write_text(text)


def renew(device, begins_days, ends_days):
    """Put a certificate with other dates in the place of the device's, with its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lamp")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now + timedelta(days=begins_days))
        .not_valid_after(now + timedelta(days=ends_days))
        .sign(key, hashes.SHA256())
    )
    (device.folder / "certificate.pem").write_bytes(made.public_bytes(Encoding.PEM))
    place = device.folder / "private.key"
    place.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    place.chmod(0o600)


def test_all_is_well_and_nothing_is_changed(device):
    before = sorted(device.folder.rglob("*"))
    found = look(device, expect=0)
    assert {name: each["level"] for name, each in found.items()} == {
        **dict.fromkeys(["key", "certificate", "ca", "name", "port", "tls", "mqtt"], "ok"),
        **dict.fromkeys(["state", "slots", "software", "trust"], "ok"),
        "store": "skipped",
    }
    assert sorted(device.folder.rglob("*")) == before


def test_a_running_agent_is_not_put_off(device, eventually):
    device.start()
    eventually(lambda: "connected to" in device.log())
    assert look(device, expect=0)["mqtt"]["level"] == "skipped"
    assert "lost" not in device.log()


def test_a_url_is_fetched_as_the_device_would_and_tells_the_clock(device, server):
    store = server.client("s3")
    store.create_bucket(Bucket=device.name)
    store.put_object(Bucket=device.name, Key="image", Body=b"x" * 5000)
    url = f"{server.https}/{device.name}/image".replace("127.0.0.1", "localhost")
    refused = look(device, "--url", url, expect=1)
    assert (refused["store"]["level"], refused["clock"]["level"]) == ("wrong", "ok")
    signed = store.generate_presigned_url("get_object", {"Bucket": device.name, "Key": "image"})
    assert look(device, "--url", signed, expect=0)["store"]["level"] == "ok"
    settings(device, 'ca = "/etc/ssl/certs/ca-certificates.crt"\n')
    assert "cannot be fetched" in look(device, "--url", url, expect=1)["store"]["text"]


def test_without_a_url_the_store_of_the_last_job_is_asked(device, server):
    (device.folder / "state").mkdir(exist_ok=True)
    place = device.folder / "state" / "status.json"
    place.write_text(json.dumps({"store": f"{server.https}/".replace("127.0.0.1", "localhost")}))
    found = look(device, expect=0)
    assert (found["store"]["level"], found["clock"]["level"]) == ("ok", "ok")
    place.write_text(json.dumps({"store": "https://127.0.0.1:1/"}))
    assert "cannot be fetched" in look(device, expect=1)["store"]["text"]


@pytest.mark.parametrize(
    ("begins", "ends", "level", "words"),
    [(-9, -1, "wrong", "expired on"), (1, 9, "wrong", "valid from"), (-1, 9, "warning", "valid until")],
)
def test_dates_of_the_certificate(device, begins, ends, level, words):
    renew(device, begins, ends)
    found = look(device, expect=1)  # the server knows none of these
    assert found["certificate"]["level"] == level
    assert words in found["certificate"]["text"]
    assert found["key"]["level"] == "ok"


def test_a_certificate_that_the_server_does_not_know(device):
    renew(device, -1, 900)
    found = look(device, expect=1)
    assert [name for name, each in found.items() if each["level"] == "wrong"] == ["mqtt"]
    assert "active?" in found["mqtt"]["advice"]


def test_a_revoked_certificate(device, server):
    der = ssl.PEM_cert_to_DER_cert((device.folder / "certificate.pem").read_text())
    server.client("iot").update_certificate(
        certificateId=hashlib.sha256(der).hexdigest(), newStatus="INACTIVE"
    )
    assert look(device, expect=1)["mqtt"]["level"] == "wrong"


def test_a_key_of_another(device):
    certificate = (device.folder / "certificate.pem").read_bytes()
    renew(device, -1, 9)
    (device.folder / "certificate.pem").write_bytes(certificate)
    found = look(device, expect=1)
    assert found["key"]["level"] == "wrong"
    assert found["tls"]["level"] == "skipped"


def test_an_authority_that_is_not_the_servers(device):
    renew(device, -1, 900)
    shutil.copy(device.folder / "certificate.pem", device.folder / "ca.pem")
    found = look(device, expect=1)
    assert "'ca'" in found["tls"]["advice"]
    assert "mqtt" not in found


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('endpoint = "no..such"', "name"),
        ("port = 1", "port"),
        ('state = "agent.toml"', "state"),
        ('slots = "agent.toml/software"', "slots"),
        ('trusted_keys = "agent.toml.d"', "trust"),
        ('configuration_schema = "no-schema"', "schema"),
        ('configuration_reload = ["no-such-program"]', "configuration_reload"),
        ('reboot = "command"\nreboot_command = ["./no-such"]', "reboot_command"),
        ('endpoint = "127.1"', "tls"),
        ("no_setting = 1", "settings"),
    ],
)
def test_what_is_wrong_is_named(device, text, name):
    settings(device, text)
    found = look(device, expect=1)
    assert [each["name"] for each in found.values() if each["level"] == "wrong"] == [name]
    assert found[name]["advice"]


def test_a_key_that_others_may_read(device):
    (device.folder / "private.key").chmod(0o640)
    assert "chmod 600" in look(device, expect=1)["settings"]["text"]


def test_a_current_slot_that_is_not_whole(device):
    (device.folder / "software").mkdir()
    (device.folder / "software/current").symlink_to("b")
    assert "slot b is current and not whole" in look(device, expect=1)["software"]["text"]


def test_for_people(device):
    settings(device, "port = 1")
    command = [AGENT, "check", "--config", device.folder / "agent.toml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "wrong    port" in done.stdout
    assert "-> does the server listen there" in done.stdout


def test_dates_are_those_that_a_library_reads(server):
    pem = server.ca.read_text()
    read = x509.load_pem_x509_certificate(pem.encode())
    (own,) = validities(pem)
    assert (own.begins, own.ends) == (read.not_valid_before_utc, read.not_valid_after_utc)
    der = ssl.PEM_cert_to_DER_cert(pem)
    for end in range(len(der)):
        with pytest.raises(ValueError, match="no certificate"):
            validity(der[:end])
