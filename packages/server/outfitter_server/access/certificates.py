"""What a certificate says: its id, its validity, and the policy variables that its names give."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from outfitter_server.base.refusals import CertificateState, DeleteConflict, InvalidRequest

_VARIABLES: Final[Mapping[ObjectIdentifier, str]] = {
    NameOID.DN_QUALIFIER: "DistinguishedNameQualifier",
    NameOID.COUNTRY_NAME: "Country",
    NameOID.ORGANIZATION_NAME: "Organization",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OrganizationalUnit",
    NameOID.STATE_OR_PROVINCE_NAME: "State",
    NameOID.COMMON_NAME: "CommonName",
    NameOID.SERIAL_NUMBER: "SerialNumber",
    NameOID.TITLE: "Title",
    NameOID.SURNAME: "Surname",
    NameOID.GIVEN_NAME: "GivenName",
    NameOID.INITIALS: "Initials",
    NameOID.PSEUDONYM: "Pseudonym",
    NameOID.GENERATION_QUALIFIER: "GenerationQualifier",
}
_ALTERNATIVES: Final[Mapping[type[x509.GeneralName], str]] = {
    x509.RFC822Name: "RFC822Name",
    x509.DNSName: "DNSName",
    x509.DirectoryName: "DirectoryName",
    x509.UniformResourceIdentifier: "UniformResourceIdentifier",
    x509.IPAddress: "IPAddress",
}
ALTERNATIVES_MAX: Final = 20
# What is raised at certificates of others: only the first two are of Python's own tree.
UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class Status(StrEnum):
    """The status of a certificate; only ACTIVE connects."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    REVOKED = "REVOKED"
    PENDING_ACTIVATION = "PENDING_ACTIVATION"


SETTABLE: Final = frozenset({Status.ACTIVE, Status.INACTIVE, Status.REVOKED})


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """A certificate as read.

    Attributes:
        id: SHA-256 of the DER form, 64 hex digits.
        not_before, not_after: milliseconds since the epoch.
        variables: policy variables that it gives, by name (``iot:Certificate.Subject.CommonName``…).
    """

    id: str
    pem: str
    not_before: int
    not_after: int
    variables: Mapping[str, str]


def fingerprint(der: bytes) -> str:
    """The id of the certificate with this DER form."""
    return sha256(der).hexdigest()


def read_certificate(pem: str) -> CertificateFacts:
    """Read one PEM certificate.

    Raises:
        InvalidRequest: it is not one.
    """
    try:
        return facts(x509.load_pem_x509_certificate(pem.encode()))
    except UNREADABLE as error:
        raise InvalidRequest("the certificate is not a PEM X.509 certificate that can be read") from error


def facts(certificate: x509.Certificate) -> CertificateFacts:
    """What the registry keeps of a certificate."""
    variables = {"iot:Certificate.SerialNumber": f"{certificate.serial_number:X}"}
    for holder, name in (("Subject", certificate.subject), ("Issuer", certificate.issuer)):
        for attribute in name:
            variable = _VARIABLES.get(attribute.oid)
            if variable is not None and isinstance(attribute.value, str):
                _add(variables, f"iot:Certificate.{holder}.{variable}", attribute.value)
    for holder, kind in (("Subject", x509.SubjectAlternativeName), ("Issuer", x509.IssuerAlternativeName)):
        for general in _alternatives(certificate, kind):
            variable = _ALTERNATIVES.get(type(general))
            if variable is not None:
                _add(
                    variables, f"iot:Certificate.{holder}.AlternativeName.{variable}", _general_text(general)
                )
    return CertificateFacts(
        id=fingerprint(certificate.public_bytes(Encoding.DER)),
        pem=certificate.public_bytes(Encoding.PEM).decode(),
        not_before=_milliseconds(certificate.not_valid_before_utc),
        not_after=_milliseconds(certificate.not_valid_after_utc),
        variables=variables,
    )


def template_parameters(pem: str) -> dict[str, str]:
    """What provisioning templates know of a certificate: its id, and parts of its subject by their names there.

    Raises:
        InvalidRequest: it is not one.
    """
    read = read_certificate(pem)
    found = {"Id": read.id}
    for name in ("Country", "Organization", "OrganizationalUnit", "CommonName", "SerialNumber"):
        value = read.variables.get(f"iot:Certificate.Subject.{name}")
        if value is not None:
            found[name] = value
    for name, variable in (
        ("StateName", "State"),
        ("DistinguishedNameQualifier", "DistinguishedNameQualifier"),
    ):
        value = read.variables.get(f"iot:Certificate.Subject.{variable}")
        if value is not None:
            found[name] = value
    return found


def _add(variables: dict[str, str], name: str, value: str) -> None:
    """The first value is the variable's; each has one with its number as well."""
    variables.setdefault(name, value)
    number = 0
    while f"{name}.{number}" in variables:
        number += 1
    variables[f"{name}.{number}"] = value


def _alternatives(
    certificate: x509.Certificate, kind: type[x509.SubjectAlternativeName] | type[x509.IssuerAlternativeName]
) -> Iterable[x509.GeneralName]:
    try:
        return list(certificate.extensions.get_extension_for_class(kind).value)[:ALTERNATIVES_MAX]
    except (x509.ExtensionNotFound, ValueError):
        return ()


def _general_text(general: x509.GeneralName) -> str:
    value = general.value
    return value.rfc4514_string() if isinstance(value, x509.Name) else str(value)


def check_new_status(wanted: str) -> Status:
    """The status that UpdateCertificate may set.

    Raises:
        InvalidRequest: one that only the service sets.
    """
    if wanted not in SETTABLE:
        raise InvalidRequest(f"newStatus cannot be {wanted}: use ACTIVE, INACTIVE or REVOKED")
    return Status(wanted)


def check_deletion(
    identifier: str, status: str, *, has_things: bool, has_policies: bool, force: bool
) -> None:
    """Refuse to delete what is in use: active first, then things even when forced, then policies unless forced.

    Raises:
        CertificateState: it is ACTIVE.
        DeleteConflict: things or policies are attached.
    """
    if status == Status.ACTIVE:
        raise CertificateState(
            f"certificate {identifier} is ACTIVE: set it INACTIVE or REVOKED before deleting it"
        )
    if has_things:
        raise DeleteConflict(
            f"things are attached to certificate {identifier}: detach them before deleting it"
        )
    if has_policies and not force:
        raise DeleteConflict(
            f"policies are attached to certificate {identifier}: detach them, or delete with forceDelete"
        )


def _milliseconds(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp()) * 1000
