"""Provisioning templates, claims and RegisterThing of the ``iot`` model."""

from typing import Any

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.members import page_size, seconds, tag_map
from outfitter_server.base.installation import Installation
from outfitter_server.base.pages import decode_token, encode_token
from outfitter_server.services.bulk_registration import BulkRegistration
from outfitter_server.services.fleet_provisioning import FleetProvisioning
from outfitter_server.services.provisioning_templates import (
    FLEET,
    Hook,
    ProvisioningTemplates,
    StoredTemplate,
    TemplateChange,
    TemplateVersion,
)


class ProvisioningOperations:
    """Handlers of the operations on templates and claims."""

    def __init__(
        self,
        templates: ProvisioningTemplates,
        fleet: FleetProvisioning,
        bulk: BulkRegistration,
        installation: Installation,
    ) -> None:
        """``installation`` prints ARNs."""
        self._templates = templates
        self._fleet = fleet
        self._bulk = bulk
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "CreateProvisioningTemplate": self._create,
            "DescribeProvisioningTemplate": self._describe,
            "UpdateProvisioningTemplate": self._update,
            "DeleteProvisioningTemplate": self._delete,
            "ListProvisioningTemplates": self._list,
            "CreateProvisioningTemplateVersion": self._create_version,
            "DescribeProvisioningTemplateVersion": self._describe_version,
            "DeleteProvisioningTemplateVersion": self._delete_version,
            "ListProvisioningTemplateVersions": self._list_versions,
            "CreateProvisioningClaim": self._claim,
            "RegisterThing": self._register,
        }

    async def _create(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        template = StoredTemplate(
            name=given["templateName"],
            description=given.get("description"),
            type=given.get("type") or FLEET,
            enabled=given.get("enabled", False),
            role_arn=given["provisioningRoleArn"],
            hook=_hook(given),
            body=given["templateBody"],
        )
        await self._templates.create(template, tag_map(given))
        return {
            "templateArn": self._arn(template.name),
            "templateName": template.name,
            "defaultVersionId": 1,
        }

    async def _describe(self, call: Call) -> dict[str, Any]:
        found = self._templates.describe(call.parameters["templateName"])
        hook = None
        if found.hook is not None:
            hook = {"payloadVersion": found.hook.payload_version, "targetArn": found.hook.target_arn}
        return self._summary(found) | {
            "defaultVersionId": found.default_version,
            "templateBody": found.body,
            "provisioningRoleArn": found.role_arn,
            "preProvisioningHook": hook,
        }

    async def _update(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        change = TemplateChange(
            description=given.get("description"),
            enabled=given.get("enabled"),
            default_version=given.get("defaultVersionId"),
            role_arn=given.get("provisioningRoleArn"),
            hook=_hook(given),
            remove_hook=given.get("removePreProvisioningHook", False),
        )
        await self._templates.update(given["templateName"], change)
        return {}

    async def _delete(self, call: Call) -> dict[str, Any]:
        await self._templates.delete(call.parameters["templateName"])
        return {}

    async def _list(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._templates.page(token=given.get("nextToken"), limit=page_size(given))
        return {"templates": [self._summary(each) for each in page.items], "nextToken": page.next_token}

    async def _create_version(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        as_default = given.get("setAsDefault", False)
        version = await self._templates.create_version(
            given["templateName"], given["templateBody"], as_default=as_default
        )
        return {
            "templateArn": self._arn(given["templateName"]),
            "templateName": given["templateName"],
            "versionId": version,
            "isDefaultVersion": as_default,
        }

    async def _describe_version(self, call: Call) -> dict[str, Any]:
        found = self._templates.version(call.parameters["templateName"], call.parameters["versionId"])
        return _line(found) | {"templateBody": found.body}

    async def _delete_version(self, call: Call) -> dict[str, Any]:
        await self._templates.delete_version(call.parameters["templateName"], call.parameters["versionId"])
        return {}

    async def _list_versions(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        position = decode_token(given.get("nextToken"), int)
        after = int(position[0] or 0) if position else 0
        rest = [each for each in self._templates.versions(given["templateName"]) if each.version > after]
        limit = page_size(given)
        more = encode_token([rest[limit - 1].version]) if len(rest) > limit else None
        return {"versions": [_line(each) for each in rest[:limit]], "nextToken": more}

    async def _claim(self, call: Call) -> dict[str, Any]:
        claim = await self._fleet.claim(call.parameters["templateName"])
        issued = claim.issued
        return {
            "certificateId": issued.certificate_id,
            "certificatePem": issued.certificate_pem,
            "keyPair": {"PublicKey": issued.public_key_pem, "PrivateKey": issued.private_key_pem},
            "expiration": seconds(claim.expires_at),
        }

    async def _register(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        done = await self._bulk.register(given["templateBody"], given.get("parameters") or {})
        return {"certificatePem": done.certificate_pem, "resourceArns": dict(done.arns)}

    def _summary(self, found: StoredTemplate) -> dict[str, Any]:
        return {
            "templateArn": self._arn(found.name),
            "templateName": found.name,
            "description": found.description,
            "creationDate": seconds(found.created_at),
            "lastModifiedDate": seconds(found.modified_at),
            "enabled": found.enabled,
            "type": found.type,
        }

    def _arn(self, name: str) -> str:
        return self._installation.iot_arn("provisioningtemplate", name)


def _hook(given: dict[str, Any]) -> Hook | None:
    hook = given.get("preProvisioningHook")
    if hook is None:
        return None
    return Hook(target_arn=hook["targetArn"], payload_version=hook.get("payloadVersion") or "2020-04-01")


def _line(found: TemplateVersion) -> dict[str, Any]:
    return {
        "versionId": found.version,
        "creationDate": seconds(found.created_at),
        "isDefaultVersion": found.is_default,
    }
