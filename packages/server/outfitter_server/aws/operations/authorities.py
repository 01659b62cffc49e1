"""Certificate authorities, and certificates that others signed, of the ``iot`` model."""

from collections.abc import Mapping
from typing import Any

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.members import page_size, seconds, tag_map
from outfitter_server.base.installation import Installation
from outfitter_server.services.authorities import (
    DEFAULT,
    Authorities,
    AuthorityChange,
    NewAuthority,
    RegistrationConfig,
)
from outfitter_server.services.foreign_certificates import ForeignCertificates

_AUTO = {True: "ENABLE", False: "DISABLE"}


class AuthorityOperations:
    """Handlers of the operations on CAs and foreign certificates."""

    def __init__(
        self, authorities: Authorities, foreign: ForeignCertificates, installation: Installation
    ) -> None:
        """``installation`` prints ARNs."""
        self._authorities = authorities
        self._foreign = foreign
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "GetRegistrationCode": self._code,
            "DeleteRegistrationCode": self._forget_code,
            "RegisterCACertificate": self._register,
            "DescribeCACertificate": self._describe,
            "UpdateCACertificate": self._update,
            "DeleteCACertificate": self._delete,
            "ListCACertificates": self._list,
            "ListCertificatesByCA": self._list_certificates,
            "RegisterCertificate": self._register_certificate,
            "RegisterCertificateWithoutCA": self._register_alone,
        }

    async def _code(self, _call: Call) -> dict[str, Any]:
        return {"registrationCode": await self._authorities.code()}

    async def _forget_code(self, _call: Call) -> dict[str, Any]:
        await self._authorities.forget_code()
        return {}

    async def _register(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        identifier = await self._authorities.register(
            NewAuthority(
                pem=given["caCertificate"],
                verification_pem=given.get("verificationCertificate"),
                mode=given.get("certificateMode") or DEFAULT,
                active=given.get("setAsActive", False),
                registers=given.get("allowAutoRegistration", False),
                config=_config(given.get("registrationConfig")),
                tags=tag_map(given),
            )
        )
        return {"certificateArn": self._arn("cacert", identifier), "certificateId": identifier}

    async def _describe(self, call: Call) -> dict[str, Any]:
        found = self._authorities.describe(call.parameters["certificateId"].lower())
        shown = {
            "certificateArn": self._arn("cacert", found.id),
            "certificateId": found.id,
            "status": found.status.value,
            "certificatePem": found.pem,
            "ownedBy": self._installation.account,
            "creationDate": seconds(found.created_at),
            "autoRegistrationStatus": _AUTO[found.registers],
            "lastModifiedDate": seconds(found.modified_at),
            "customerVersion": found.version,
            "generationId": found.generation_id or None,
            "validity": {"notBefore": seconds(found.not_before), "notAfter": seconds(found.not_after)},
            "certificateMode": found.mode,
        }
        config = found.config
        described: dict[str, Any] = {"certificateDescription": shown}
        if config != RegistrationConfig():
            described["registrationConfig"] = {
                "templateBody": config.body,
                "roleArn": config.role_arn,
                "templateName": config.template,
            }
        return described

    async def _update(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        auto = given.get("newAutoRegistrationStatus")
        config = given.get("registrationConfig")
        await self._authorities.update(
            given["certificateId"].lower(),
            AuthorityChange(
                status=given.get("newStatus"),
                registers=None if auto is None else auto == "ENABLE",
                config=None if config is None else _config(config),
                remove_config=given.get("removeAutoRegistration", False),
            ),
        )
        return {}

    async def _delete(self, call: Call) -> dict[str, Any]:
        await self._authorities.delete(call.parameters["certificateId"].lower())
        return {}

    async def _list(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._authorities.page(
            template=given.get("templateName"),
            ascending=given.get("ascendingOrder", False),
            token=given.get("marker"),
            limit=page_size(given, "pageSize"),
        )
        lines = [
            {
                "certificateArn": self._arn("cacert", line.id),
                "certificateId": line.id,
                "status": line.status.value,
                "creationDate": seconds(line.created_at),
            }
            for line in page.items
        ]
        return {"certificates": lines, "nextMarker": page.next_token}

    async def _list_certificates(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._authorities.certificates(
            given["caCertificateId"].lower(),
            ascending=given.get("ascendingOrder", False),
            token=given.get("marker"),
            limit=page_size(given, "pageSize"),
        )
        lines = [
            {
                "certificateArn": self._arn("cert", line.id),
                "certificateId": line.id,
                "status": line.status.value,
                "certificateMode": line.mode,
                "creationDate": seconds(line.created_at),
            }
            for line in page.items
        ]
        return {"certificates": lines, "nextMarker": page.next_token}

    async def _register_certificate(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        status = given.get("status") or ("ACTIVE" if given.get("setAsActive") else "INACTIVE")
        return self._registered(
            await self._foreign.register(given["certificatePem"], given.get("caCertificatePem"), status)
        )

    async def _register_alone(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        return self._registered(
            await self._foreign.register_alone(given["certificatePem"], given.get("status") or "INACTIVE")
        )

    def _registered(self, identifier: str) -> dict[str, Any]:
        return {"certificateArn": self._arn("cert", identifier), "certificateId": identifier}

    def _arn(self, kind: str, identifier: str) -> str:
        return self._installation.iot_arn(kind, identifier)


def _config(given: Mapping[str, Any] | None) -> RegistrationConfig:
    given = given or {}
    return RegistrationConfig(
        template=given.get("templateName"), body=given.get("templateBody"), role_arn=given.get("roleArn")
    )
