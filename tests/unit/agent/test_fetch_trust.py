"""Whom downloads trust: the system's authorities and the installation's own, and nobody else."""

import datetime as dt
import hashlib
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from outfitter_agent.hands.fetch import Fetcher, FetchLimits
from outfitter_agent.hands.trust import write_bundle
from outfitter_agent.plans.troubles import Trouble

CONTENT = b"an image"
LIMITS = FetchLimits(
    attempts_max=1,
    backoff_max_seconds=0.01,
    connect_timeout_seconds=5,
    stall_seconds=5,
    stall_bytes=1,
    bytes_max=1000,
)


def authority(name):
    """A certificate authority; its key and certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key, certificate(name, key.public_key(), name, key, is_authority=True)


def certificate(subject, public_key, issuer, issuer_key, *, is_authority):
    now = dt.datetime.now(dt.UTC)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
    return (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(issuer_key, hashes.SHA256())
    )


def pem(made):
    return made.public_bytes(serialization.Encoding.PEM)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302 if self.path == "/down" else 200)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/image")
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """An https store; its address and the certificate of its authority."""
    folder = tmp_path_factory.mktemp("store")
    ca_key, ca = authority("the installation's own")
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "cert.pem").write_bytes(
        pem(certificate("store", key.public_key(), "the installation's own", ca_key, is_authority=False))
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}", pem(ca)
        server.shutdown()
        thread.join()


@pytest.fixture
def fetch(store, tmp_path):
    def call(*, own=None, system=None, path="/image"):
        files = {"own": own, "system": system}
        for name, content in files.items():
            if content is not None:
                (tmp_path / name).write_bytes(content)
        bundle = write_bundle(tmp_path / "bundle.pem", system=tmp_path / "system", own=tmp_path / "own")
        fetcher = Fetcher(tmp_path / "download", ca_file=bundle, limits=LIMITS, wait=lambda seconds: False)
        return fetcher.fetch(store[0] + path, sha256=None, size=None, progress=lambda received, total: None)

    return call


def test_own_authority(fetch, store):
    assert fetch(own=store[1]).sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_own_beside_the_system(fetch, store):
    assert fetch(own=store[1], system=pem(authority("public")[1])).size == len(CONTENT)


def test_authority_of_the_system(fetch, store):
    assert fetch(system=store[1]).size == len(CONTENT)


def test_another_authority_of_the_same_name(fetch):
    with pytest.raises(Trouble, match=r"not accessible: .*certificate"):
        fetch(own=pem(authority("the installation's own")[1]))


def test_no_authority(fetch):
    with pytest.raises(Trouble, match="not accessible"):
        fetch()


def test_never_down_to_plain_http(fetch, store):
    with pytest.raises(Trouble, match="not accessible"):
        fetch(own=store[1], path="/down")
