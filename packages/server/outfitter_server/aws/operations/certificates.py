"""Certificates of the ``iot`` model."""

from typing import Any

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.members import page_size, seconds
from outfitter_server.base.installation import Installation
from outfitter_server.services.certificates import Certificates


class CertificateOperations:
    """Handlers of the operations on certificates."""

    def __init__(self, certificates: Certificates, installation: Installation) -> None:
        """``installation`` prints ARNs."""
        self._certificates = certificates
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "CreateKeysAndCertificate": self._create,
            "CreateCertificateFromCsr": self._create_from_request,
            "DescribeCertificate": self._describe,
            "ListCertificates": self._list,
            "UpdateCertificate": self._update,
            "DeleteCertificate": self._delete,
        }

    async def _create(self, call: Call) -> dict[str, Any]:
        issued = await self._certificates.create(active=call.parameters.get("setAsActive", False))
        return {
            "certificateArn": self._arn(issued.certificate_id),
            "certificateId": issued.certificate_id,
            "certificatePem": issued.certificate_pem,
            "keyPair": {"PublicKey": issued.public_key_pem, "PrivateKey": issued.private_key_pem},
        }

    async def _create_from_request(self, call: Call) -> dict[str, Any]:
        issued = await self._certificates.create_from_request(
            call.parameters["certificateSigningRequest"], active=call.parameters.get("setAsActive", False)
        )
        return {
            "certificateArn": self._arn(issued.certificate_id),
            "certificateId": issued.certificate_id,
            "certificatePem": issued.certificate_pem,
        }

    async def _describe(self, call: Call) -> dict[str, Any]:
        record = self._certificates.describe(_identifier(call.parameters["certificateId"]))
        shown = {
            "certificateArn": self._arn(record.id),
            "certificateId": record.id,
            "caCertificateId": record.issuer_id,
            "status": record.status.value,
            "certificatePem": record.pem,
            "ownedBy": self._installation.account,
            "creationDate": seconds(record.created_at),
            "lastModifiedDate": seconds(record.modified_at),
            "customerVersion": record.version,
            "transferData": {},
            "generationId": record.generation_id,
            "validity": {"notBefore": seconds(record.not_before), "notAfter": seconds(record.not_after)},
            "certificateMode": record.mode,
        }
        return {"certificateDescription": shown}

    async def _list(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._certificates.page(
            ascending=given.get("ascendingOrder", False),
            token=given.get("marker"),
            limit=page_size(given, "pageSize"),
        )
        lines = [
            {
                "certificateArn": self._arn(line.id),
                "certificateId": line.id,
                "status": line.status.value,
                "certificateMode": line.mode,
                "creationDate": seconds(line.created_at),
            }
            for line in page.items
        ]
        return {"certificates": lines, "nextMarker": page.next_token}

    async def _update(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        await self._certificates.set_status(_identifier(given["certificateId"]), given["newStatus"])
        return {}

    async def _delete(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        await self._certificates.delete(
            _identifier(given["certificateId"]), force=given.get("forceDelete", False)
        )
        return {}

    def _arn(self, identifier: str) -> str:
        return self._installation.iot_arn("cert", identifier)


def _identifier(text: str) -> str:
    return text.lower()
