"""Certificates that others signed, as they come: some cannot be read, and none may bring down who looks at it."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID, NameOID
from outfitter_server.access.authorities import CertificateInvalid, read_signed, signed_by
from outfitter_server.access.certificates import read_certificate
from outfitter_server.base.refusals import InvalidRequest

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anybody")])
UNREADABLE = {
    "an EDI party": "3008a506a1040c026162",
    "an X.400 address": "3004a3020500",
    "no names at all": "0500",
    "not even DER": "ff",
}


def certificate(names: bytes | None = None) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(NAME, NAME, KEY.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
    if names is not None:
        extension = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, names)
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(KEY, hashes.SHA256())


@pytest.mark.parametrize("names", UNREADABLE)
@pytest.mark.parametrize("form", [Encoding.DER, Encoding.PEM])
def test_a_certificate_with_names_that_cannot_be_read_is_refused(names, form):
    found = certificate(bytes.fromhex(UNREADABLE[names])).public_bytes(form)
    with pytest.raises(CertificateInvalid):
        read_signed(found if form is Encoding.DER else found.decode())


def test_whatever_was_registered_before_is_refused_in_words():
    pem = certificate(bytes.fromhex(UNREADABLE["an EDI party"])).public_bytes(Encoding.PEM).decode()
    with pytest.raises(InvalidRequest):
        read_certificate(pem)
    with pytest.raises(InvalidRequest):
        read_certificate("\udcff")


def test_what_is_no_certificate_signed_nothing():
    pem = certificate().public_bytes(Encoding.PEM).decode()
    assert signed_by(pem, pem)
    assert not signed_by(pem, pem.replace("MII", "MIJ", 1))
    assert not signed_by("none", pem)
