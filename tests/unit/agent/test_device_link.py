"""The device's connection when its files, or the other side, are not what they should be: said so, and never a hang."""

import datetime as dt
import logging
import re
import socket
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from outfitter_agent.hands.mqtt import Connection, Link, tls_context

PEM = serialization.Encoding.PEM
OPENSSL = serialization.PrivateFormat.PKCS8
WAIT_SECONDS = 20


def link(folder, **changes):
    given = {
        "host": "127.0.0.1",
        "port": 1,
        "client_id": "pump-7",
        "tls": True,
        "ca": folder / "ca.pem",
        "certificate": folder / "device.pem",
        "private_key": folder / "device.key",
        "version_5": True,
        "keep_alive_seconds": 60,
        "session_expiry_seconds": 0,
        "reconnect_max_seconds": 0.1,
    }
    return Link(**given | changes)


def key_text(key, encryption=None):
    return key.private_bytes(PEM, OPENSSL, encryption or serialization.NoEncryption())


@pytest.fixture
def folder(tmp_path):
    """A device's files: a certificate that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pump-7")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    for file in ("ca.pem", "device.pem"):
        (tmp_path / file).write_bytes(certificate.public_bytes(PEM))
    (tmp_path / "device.key").write_bytes(key_text(key))
    return tmp_path


def test_files_that_fit(folder):
    assert tls_context(link(folder)).minimum_version is ssl.TLSVersion.TLSv1_2


def test_authority_that_is_none(folder):
    (folder / "ca.pem").write_text("garbage")
    with pytest.raises(OSError, match=re.escape(f"{folder}/ca.pem ('ca') holds no certificate")):
        tls_context(link(folder))


@pytest.mark.parametrize("damage", ["garbage", "key of another", "encrypted"])
def test_identity_that_is_none(folder, damage):
    key = ec.generate_private_key(ec.SECP256R1())
    if damage == "garbage":
        (folder / "device.pem").write_text("garbage")
    elif damage == "key of another":
        (folder / "device.key").write_bytes(key_text(key))
    else:
        (folder / "device.key").write_bytes(
            key_text(key, serialization.BestAvailableEncryption(b"a word that nobody types"))
        )
    with pytest.raises(OSError, match=re.escape(f"{folder}/device.pem ('certificate') and")):
        tls_context(link(folder))


def test_broker_that_hangs_up_at_once(folder, caplog):
    """One line a connection, and it says that the other side never accepted it."""
    twice = threading.Semaphore(0)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up():
            for _ in range(2):
                taken, _ = listener.accept()
                taken.recv(1000)
                taken.close()
                twice.release()

        broker = threading.Thread(target=hang_up)
        broker.start()
        connection = Connection(
            link(folder, tls=False, port=listener.getsockname()[1]),
            on_up=lambda: None,
            on_down=lambda: None,
            on_message=lambda _topic, _payload: None,
        )
        with caplog.at_level(logging.WARNING):
            connection.start()
            for _ in range(2):
                assert twice.acquire(timeout=WAIT_SECONDS)
            connection.close()
        broker.join()
    assert "ended the connection before accepting it" in caplog.messages[0]
