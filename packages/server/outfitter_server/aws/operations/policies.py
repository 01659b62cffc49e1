"""Policies of the ``iot`` model and what they are attached to; the older calls on principals are the same services."""

from typing import Any

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.members import page_size, seconds, tag_map
from outfitter_server.aws.operations.things import certificate_of
from outfitter_server.base.arns import iot_resource
from outfitter_server.base.installation import Installation
from outfitter_server.base.pages import decode_token, encode_token
from outfitter_server.base.refusals import NotFound
from outfitter_server.services.policies import Policies


class PolicyOperations:
    """Handlers of the operations on policies and their versions."""

    def __init__(self, policies: Policies, installation: Installation) -> None:
        """``installation`` prints ARNs."""
        self._policies = policies
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "CreatePolicy": self._create,
            "GetPolicy": self._get,
            "ListPolicies": self._list,
            "DeletePolicy": self._delete,
            "CreatePolicyVersion": self._create_version,
            "GetPolicyVersion": self._get_version,
            "ListPolicyVersions": self._list_versions,
            "SetDefaultPolicyVersion": self._set_default,
            "DeletePolicyVersion": self._delete_version,
        }

    async def _create(self, call: Call) -> dict[str, Any]:
        name, document = call.parameters["policyName"], call.parameters["policyDocument"]
        await self._policies.create(name, document, tag_map(call.parameters), self._arn(name))
        return {
            "policyName": name,
            "policyArn": self._arn(name),
            "policyDocument": document,
            "policyVersionId": "1",
        }

    async def _get(self, call: Call) -> dict[str, Any]:
        policy = self._policies.describe(call.parameters["policyName"])
        return {
            "policyName": policy.name,
            "policyArn": self._arn(policy.name),
            "policyDocument": policy.document,
            "defaultVersionId": str(policy.default_version),
            "creationDate": seconds(policy.created_at),
            "lastModifiedDate": seconds(policy.modified_at),
            "generationId": policy.generation_id,
        }

    async def _list(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._policies.page(
            ascending=given.get("ascendingOrder", False),
            token=given.get("marker"),
            limit=page_size(given, "pageSize"),
        )
        found = [named_policy(name, self._installation) for name in page.items]
        return {"policies": found, "nextMarker": page.next_token}

    async def _delete(self, call: Call) -> dict[str, Any]:
        await self._policies.delete(call.parameters["policyName"])
        return {}

    async def _create_version(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        made = await self._policies.create_version(
            given["policyName"], given["policyDocument"], as_default=given.get("setAsDefault", False)
        )
        return {
            "policyArn": self._arn(made.policy),
            "policyDocument": made.document,
            "policyVersionId": str(made.version),
            "isDefaultVersion": made.is_default,
        }

    async def _get_version(self, call: Call) -> dict[str, Any]:
        found = self._policies.version(call.parameters["policyName"], _version(call))
        return {
            "policyArn": self._arn(found.policy),
            "policyName": found.policy,
            "policyDocument": found.document,
            "policyVersionId": str(found.version),
            "isDefaultVersion": found.is_default,
            "creationDate": seconds(found.created_at),
            "lastModifiedDate": seconds(found.modified_at),
            "generationId": found.generation_id,
        }

    async def _list_versions(self, call: Call) -> dict[str, Any]:
        found = self._policies.versions(call.parameters["policyName"])
        lines = [
            {
                "versionId": str(each.version),
                "isDefaultVersion": each.is_default,
                "createDate": seconds(each.created_at),
            }
            for each in found
        ]
        return {"policyVersions": lines}

    async def _set_default(self, call: Call) -> dict[str, Any]:
        await self._policies.set_default(call.parameters["policyName"], _version(call))
        return {}

    async def _delete_version(self, call: Call) -> dict[str, Any]:
        await self._policies.delete_version(call.parameters["policyName"], _version(call))
        return {}

    def _arn(self, name: str) -> str:
        return self._installation.iot_arn("policy", name)


class PolicyTargetOperations:
    """Handlers of the operations that attach policies."""

    def __init__(self, policies: Policies, installation: Installation) -> None:
        """``installation`` prints and reads ARNs."""
        self._policies = policies
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "AttachPolicy": self._attach,
            "DetachPolicy": self._detach,
            "ListAttachedPolicies": self._list_attached,
            "ListTargetsForPolicy": self._list_targets,
            "AttachPrincipalPolicy": self._attach_principal,
            "DetachPrincipalPolicy": self._detach_principal,
            "ListPrincipalPolicies": self._list_of_principal,
        }

    async def _attach(self, call: Call) -> dict[str, Any]:
        await self._policies.attach(call.parameters["policyName"], self._target(call.parameters["target"]))
        return {}

    async def _detach(self, call: Call) -> dict[str, Any]:
        await self._policies.detach(call.parameters["policyName"], self._target(call.parameters["target"]))
        return {}

    async def _attach_principal(self, call: Call) -> dict[str, Any]:
        await self._policies.attach(call.parameters["policyName"], self._principal(call))
        return {}

    async def _detach_principal(self, call: Call) -> dict[str, Any]:
        await self._policies.detach(call.parameters["policyName"], self._principal(call))
        return {}

    async def _list_attached(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        names = self._policies.of_target(
            self._target(given["target"]), recursive=given.get("recursive", False)
        )
        return self._cut(given, names)

    async def _list_of_principal(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        names = self._policies.of_target_by_age(
            self._principal(call), ascending=given.get("ascendingOrder", False)
        )
        return self._cut(given, names)

    async def _list_targets(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._policies.targets(
            given["policyName"], token=given.get("marker"), limit=page_size(given, "pageSize")
        )
        targets = [self._installation.iot_arn(*target.split("/", 1)) for target in page.items]
        return {"targets": targets, "nextMarker": page.next_token}

    def _cut(self, given: dict[str, Any], names: list[str]) -> dict[str, Any]:
        """A page of a list that is bounded and was read whole; the marker counts what was shown."""
        position = decode_token(given.get("marker"), int)
        start = int(position[0] or 0) if position else 0
        end = start + page_size(given, "pageSize")
        return {
            "policies": [named_policy(name, self._installation) for name in names[start:end]],
            "nextMarker": encode_token([end]) if len(names) > end else None,
        }

    def _target(self, arn: str) -> str:
        return "/".join(iot_resource(arn, self._installation))

    def _principal(self, call: Call) -> str:
        return f"cert/{certificate_of(call.parameters['principal'], self._installation)}"


def named_policy(name: str, installation: Installation) -> dict[str, str]:
    """A policy as listings show it."""
    return {"policyName": name, "policyArn": installation.iot_arn("policy", name)}


def _version(call: Call) -> int:
    text = call.parameters["policyVersionId"]
    # Longer than any number that a store can hold: no such version, and no overflow either.
    if len(text) > 18:  # noqa: PLR2004 - digits of a 64-bit integer
        raise NotFound(f"policy {call.parameters['policyName']} has no version {text}")
    return int(text)
