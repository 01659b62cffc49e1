"""The installation's certificate authority and its server certificate, kept in ``DIR/ca`` (0700, keys 0600).

Keys are EC P-256: an RSA key of AWS's size takes a hundred milliseconds and more to make, and every client that AWS
supports takes these too (docs/adr/0006-certificate-authority.md).
"""

import ipaddress
import os
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from outfitter_server.access.certificates import facts
from outfitter_server.base.refusals import InvalidRequest, Unavailable
from outfitter_server.services.ports import IssuedCertificate

CA_DAYS: Final = 365 * 30
SERVER_DAYS: Final = 397  # what clients accept of a server certificate
RENEW_DAYS: Final = 30
DEVICE_NAME: Final = "AWS IoT Certificate"
_RSA_BITS_MIN: Final = 2048
_CURVES: Final = frozenset({"secp256r1", "secp384r1"})
_SKEW: Final = timedelta(minutes=5)
_FOREVER: Final = datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
_PRIVATE: Final = 0o600


class FileAuthority:
    """The Authority port on files. Thread-safe: issuing runs beside the event loop."""

    def __init__(self, folder: Path, clock: Callable[[], int]) -> None:
        """Open the authority in ``folder`` or make a new one there; ``clock`` gives milliseconds since the epoch.

        Raises:
            Unavailable: the files there cannot be read or do not belong together.
        """
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        if not (folder / "ca.pem").exists():
            self._check_new()
            self._found()
        self._certificate, self._key = self._load()
        self._facts = facts(self._certificate)

    def ca_pem(self) -> str:
        """The CA certificate, PEM."""
        return self._facts.pem

    def issue_device(self, now: int, until: int | None = None) -> IssuedCertificate:
        """A new key pair and its client certificate, valid until then, else until the end of 2049 as AWS's are."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DEVICE_NAME)])
        certificate = self._sign_device(name, key.public_key(), now, until)
        return _issued(certificate, _private_pem(key).decode())

    def sign_request(self, csr_pem: str, now: int) -> IssuedCertificate:
        """A client certificate with the subject and key of a signing request; ``private_key_pem`` is empty.

        Raises:
            InvalidRequest: not a PEM request, not signed by its own key, or a key that is too weak.
        """
        try:
            request = x509.load_pem_x509_csr(csr_pem.encode())
            valid = request.is_signature_valid
            key, subject = request.public_key(), request.subject
        except (ValueError, InvalidSignature, UnicodeEncodeError) as error:
            raise InvalidRequest(
                "certificateSigningRequest is not a PEM certificate signing request"
            ) from error
        if not valid:
            raise InvalidRequest("certificateSigningRequest is not signed by its own key")
        if isinstance(key, rsa.RSAPublicKey):
            strong = key.key_size >= _RSA_BITS_MIN
        else:
            strong = isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES
        if not strong or not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            raise InvalidRequest(
                "certificateSigningRequest needs an RSA key of 2048 bits or more, or EC P-256 or P-384"
            )
        return _issued(self._sign_device(subject, key, now), "")

    def server_certificate(self, names: Sequence[str]) -> tuple[Path, Path]:
        """Certificate chain and key files of the listeners for these DNS names and addresses; the first is the subject.

        Made anew when the names change or thirty days before it ends.
        """
        chain, key_file = self._folder / "server.pem", self._folder / "server.key"
        wanted = _alternative_names(names)
        with self._lock:
            if not (chain.exists() and key_file.exists() and self._still_good(chain, key_file, wanted)):
                key = ec.generate_private_key(ec.SECP256R1())
                certificate = self._sign_server(names[0], wanted, key.public_key())
                _write(key_file, _private_pem(key), _PRIVATE)
                _write(chain, certificate.public_bytes(Encoding.PEM) + self._facts.pem.encode(), 0o644)
        return chain, key_file

    def _check_new(self) -> None:
        """A new authority must not take the place of one that has issued: no device would trust this server again."""
        if (self._folder / "server.pem").exists():
            raise Unavailable(
                f"{self._folder / 'ca.pem'} is missing, and the devices trust only what it signed; restore it (it is"
                f" the last certificate in server.pem there), or remove {self._folder} to begin anew without them"
            )

    def _found(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Outfitter"),
                x509.NameAttribute(NameOID.COMMON_NAME, f"Outfitter CA {os.urandom(4).hex()}"),
            ]
        )
        now = self._moment()
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + timedelta(days=CA_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(ca=True), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        # The key first: a certificate without its key would look like a whole authority at the next start.
        _write(self._folder / "ca.key", _private_pem(key), _PRIVATE)
        _write(self._folder / "ca.pem", certificate.public_bytes(Encoding.PEM), 0o644)

    def _load(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        try:
            certificate = x509.load_pem_x509_certificate((self._folder / "ca.pem").read_bytes())
            key = load_pem_private_key((self._folder / "ca.key").read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"the certificate authority in {self._folder} cannot be read: {error}"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise Unavailable(
                f"ca.key in {self._folder} is not the key of ca.pem: restore both from the same backup"
            )
        return certificate, key

    def _sign_device(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        now: int,
        until: int | None = None,
    ) -> x509.Certificate:
        begin = datetime.fromtimestamp(now // 1000, UTC) - _SKEW
        wanted = _FOREVER if until is None else datetime.fromtimestamp(until // 1000, UTC)
        end = min(wanted, self._certificate.not_valid_after_utc)
        builder = self._builder(subject, key, begin, end)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return builder.add_extension(usage, critical=False).sign(self._key, hashes.SHA256())

    def _sign_server(
        self, name: str, names: list[x509.GeneralName], key: ec.EllipticCurvePublicKey
    ) -> x509.Certificate:
        now = self._moment()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
        builder = self._builder(subject, key, now - _SKEW, now + timedelta(days=SERVER_DAYS))
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(usage, critical=False)
        return builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(
            self._key, hashes.SHA256()
        )

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        begin: datetime,
        end: datetime,
    ) -> x509.CertificateBuilder:
        issuer = self._certificate
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return (
            x509.CertificateBuilder(issuer.subject, subject, key, x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
            )
        )

    def _still_good(self, chain: Path, key_file: Path, wanted: list[x509.GeneralName]) -> bool:
        try:
            certificate = x509.load_pem_x509_certificate(chain.read_bytes())
            key = load_pem_private_key(key_file.read_bytes(), password=None)
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            certificate.verify_directly_issued_by(self._certificate)
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            return False
        ends = certificate.not_valid_after_utc - timedelta(days=RENEW_DAYS)
        # A crash between writing the two files leaves a pair that does not belong together.
        paired = key.public_key() == certificate.public_key()
        return paired and set(names) == set(wanted) and ends > self._moment()

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._clock() // 1000, UTC)


def _alternative_names(names: Sequence[str]) -> list[x509.GeneralName]:
    found: dict[str, x509.GeneralName] = {}
    for name in names:
        try:
            found[name] = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            found[name] = x509.DNSName(name)
    return list(found.values())


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _issued(certificate: x509.Certificate, private_key_pem: str) -> IssuedCertificate:
    read = facts(certificate)
    public = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return IssuedCertificate(
        certificate_id=read.id,
        certificate_pem=read.pem,
        public_key_pem=public.decode(),
        private_key_pem=private_key_pem,
        not_before=read.not_before,
        not_after=read.not_after,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _write(path: Path, content: bytes, mode: int) -> None:
    """Durable and whole: never readable by others, not even for a moment, when ``mode`` is 0600."""
    draft = path.with_suffix(f"{path.suffix}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
