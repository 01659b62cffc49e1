"""Certificate authorities that people register, and who signed what."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from outfitter_server.access.certificates import UNREADABLE, CertificateFacts, facts
from outfitter_server.base.refusals import Refusal


class CertificateInvalid(Refusal):
    """The certificate is none, is no CA, or was not signed by whom it should be."""

    code = "CertificateValidationException"


class RegistrationCodeInvalid(Refusal):
    """The verification certificate does not carry the registration code."""

    code = "RegistrationCodeValidationException"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A certificate with the names by which its issuer is found: DER, hex."""

    facts: CertificateFacts
    subject: str
    issuer: str
    is_authority: bool


def read_signed(content: str | bytes) -> Signed:
    """Read one certificate: PEM, or (bytes) DER.

    Raises:
        CertificateInvalid: it is not one, or cannot be read: some names and doubled extensions cannot.
    """
    try:
        if isinstance(content, bytes):
            certificate = x509.load_der_x509_certificate(content)
        else:
            certificate = x509.load_pem_x509_certificate(content.encode())
        read = facts(certificate)
        authority = _is_authority(certificate)
    except UNREADABLE as error:
        raise CertificateInvalid(
            "the certificate is not an X.509 certificate in PEM whose extensions can be read"
        ) from error
    return Signed(
        facts=read,
        subject=certificate.subject.public_bytes().hex(),
        issuer=certificate.issuer.public_bytes().hex(),
        is_authority=authority,
    )


def signed_by(certificate_pem: str, authority_pem: str) -> bool:
    """Whether the authority signed the certificate: the issuer's name first, then the signature."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority_pem.encode()))
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def check_verification(authority: Signed, verification_pem: str, code: str) -> None:
    """Hold the verification certificate to what it proves: that whoever registers the authority has its key.

    Raises:
        CertificateInvalid: it is no certificate, or the authority did not sign it.
        RegistrationCodeInvalid: its common name is not the registration code, or there is none ("").
    """
    verification = read_signed(verification_pem)
    if not signed_by(verification.facts.pem, authority.facts.pem):
        raise CertificateInvalid("the verification certificate was not signed by the CA certificate")
    name = verification.facts.variables.get("iot:Certificate.Subject.CommonName")
    if not code or name != code:
        raise RegistrationCodeInvalid(
            "the common name of the verification certificate must be the registration code (GetRegistrationCode)"
        )


def check_authority(authority: Signed) -> None:
    """Refuse what cannot sign certificates.

    Raises:
        CertificateInvalid: its basic constraints do not say that it is a CA.
    """
    if not authority.is_authority:
        raise CertificateInvalid("caCertificate is not a CA: its basic constraints must have CA:TRUE")


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
