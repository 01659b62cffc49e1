import ipaddress
import socket
import ssl
import stat
import threading
import time

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from outfitter_server.base.refusals import Unavailable
from outfitter_server.keys.authority import FileAuthority

NOW = 1_790_000_000_000
DAY = 86_400_000


def open_authority(folder, now=NOW):
    return FileAuthority(folder / "ca", lambda: now)


def now_milliseconds():
    return int(time.time() * 1000)


def served(authority, names=("devices.example", "127.0.0.1")):
    chain, _ = authority.server_certificate(names)
    return x509.load_pem_x509_certificate(chain.read_bytes())


def test_the_authority_is_made_once(tmp_path):
    first = open_authority(tmp_path)
    assert open_authority(tmp_path).ca_pem() == first.ca_pem()
    ca = x509.load_pem_x509_certificate(first.ca_pem().encode())
    ca.verify_directly_issued_by(ca)
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert ca.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_keys_are_for_the_owner_alone(tmp_path):
    open_authority(tmp_path).server_certificate(["localhost"])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "ca").iterdir()}
    assert modes == {"ca.key": 0o600, "server.key": 0o600, "ca.pem": 0o644, "server.pem": 0o644}
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", ["gone", "broken", "foreign"])
def test_a_damaged_authority_is_not_replaced_silently(tmp_path, damage):
    open_authority(tmp_path)
    key = tmp_path / "ca" / "ca.key"
    if damage == "gone":
        key.unlink()
    elif damage == "broken":
        key.write_text("nonsense")
    else:
        open_authority(tmp_path / "other")
        key.write_bytes((tmp_path / "other" / "ca" / "ca.key").read_bytes())
    with pytest.raises(Unavailable):
        open_authority(tmp_path)


def test_a_start_that_was_cut_between_key_and_certificate_is_repeated(tmp_path):
    open_authority(tmp_path)
    (tmp_path / "ca" / "ca.pem").unlink()
    (tmp_path / "ca" / "ca.pem.new").write_text("half")
    assert open_authority(tmp_path).issue_device(NOW).certificate_id


def test_the_server_certificate_has_the_names_and_both_key_identifiers(tmp_path):
    authority = open_authority(tmp_path)
    certificate = served(authority)
    ca = x509.load_pem_x509_certificate(authority.ca_pem().encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["devices.example"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    own = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert issuer.key_identifier == own.digest
    certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)


def test_the_server_certificate_stays_until_its_names_or_its_time_change(tmp_path):
    first = served(open_authority(tmp_path))
    assert served(open_authority(tmp_path, NOW + 300 * DAY)) == first
    assert served(open_authority(tmp_path), ("127.0.0.1", "devices.example")) == first
    renewed = served(open_authority(tmp_path, NOW + 368 * DAY))
    assert renewed != first
    assert served(open_authority(tmp_path, NOW + 368 * DAY), ("other.example",)) != renewed


@pytest.mark.parametrize("name", ["server.pem", "server.key"])
@pytest.mark.parametrize("content", [None, b"nonsense", "foreign"])
def test_a_broken_pair_of_server_files_is_made_anew(tmp_path, name, content):
    authority = open_authority(tmp_path)
    served(authority)
    path = tmp_path / "ca" / name
    if content is None:
        path.unlink()
    elif content == "foreign":
        served(open_authority(tmp_path / "other"))
        path.write_bytes((tmp_path / "other" / "ca" / name).read_bytes())
    else:
        path.write_bytes(content)
    chain, key = authority.server_certificate(["devices.example", "127.0.0.1"])
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key)
    served(authority).verify_directly_issued_by(x509.load_pem_x509_certificate(authority.ca_pem().encode()))


def test_devices_and_servers_trust_each_other(tmp_path):
    authority = FileAuthority(tmp_path / "ca", now_milliseconds)
    device = authority.issue_device(now_milliseconds())
    (tmp_path / "device.pem").write_text(device.certificate_pem + device.private_key_pem)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.ca_pem())
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(*authority.server_certificate(["devices.example"]))
    client = ssl.create_default_context(cadata=authority.ca_pem())
    client.load_cert_chain(tmp_path / "device.pem")
    near, far = socket.socketpair()
    seen = []

    def accept():
        with server.wrap_socket(far, server_side=True) as connection:
            seen.append(connection.getpeercert(binary_form=True))
            connection.sendall(b"in")

    thread = threading.Thread(target=accept)
    thread.start()
    with client.wrap_socket(near, server_hostname="devices.example") as connection:
        assert connection.recv(2) == b"in"
    thread.join()
    assert ssl.DER_cert_to_PEM_cert(seen[0]) == device.certificate_pem


def test_device_certificates_outlive_us(tmp_path):
    issued = open_authority(tmp_path).issue_device(NOW)
    certificate = x509.load_pem_x509_certificate(issued.certificate_pem.encode())
    assert certificate.subject.rfc4514_string() == "CN=AWS IoT Certificate"
    assert certificate.not_valid_after_utc.isoformat() == "2049-12-31T23:59:59+00:00"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert issued.not_before == NOW - 300_000
