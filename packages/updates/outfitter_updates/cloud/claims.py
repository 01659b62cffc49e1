"""The claim of a factory line: template, policy and certificate; all of it or nothing new."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from outfitter_updates.catalogue.devices import Claim, Group
from outfitter_updates.catalogue.problems import Conflict
from outfitter_updates.cloud.connection import Connection
from outfitter_updates.cloud.identities import Identities, Undo
from outfitter_updates.operations.claim import claim_policy, claim_template, template_body
from outfitter_updates.operations.policy import same_policy


class Claims:
    """Makes claims."""

    def __init__(self, connection: Connection, identities: Identities) -> None:
        self._connection, self._identities = connection, identities

    @contextmanager
    def issue(self, device_type: str, group: Group, policy_name: str, role_arn: str) -> Iterator[Claim]:
        """A claim for as long as the body needs to keep it; if the body fails, its certificate does not stay behind.

        Template and policies that are there already are used; raises Conflict when they say something else.
        """
        prefix = group.arn[: group.arn.index(":thinggroup/") + 1]
        template = claim_template(device_type)
        ca_pem = self._identities.authority()
        self._connection.iot.call("create_thing_type", thingTypeName=device_type)
        self._identities.need_device_policy(policy_name, prefix)
        self._template(template, template_body(device_type, policy_name), role_arn)
        self._identities.need_policy(f"claim-{template}", claim_policy(prefix, template))
        undo = Undo()
        try:
            made = self._certificate(undo, f"claim-{template}")
            yield Claim(
                template=template,
                certificate_id=made["certificateId"],
                certificate_pem=made["certificatePem"],
                private_key_pem=made["keyPair"]["PrivateKey"],
                ca_pem=ca_pem,
            )
        except BaseException as error:
            left = undo.run()
            if left:
                error.add_note(f"Left behind, remove by hand: {', '.join(left)}.")
            raise

    def _template(self, name: str, body: str, role_arn: str) -> None:
        iot = self._connection.iot
        existing = iot.find("describe_provisioning_template", templateName=name)
        if existing is None:
            iot.call(
                "create_provisioning_template",
                templateName=name,
                templateBody=body,
                provisioningRoleArn=role_arn,
                enabled=True,
                description="Made by outfitter line claim",
            )
        elif not same_policy(existing["templateBody"], body):
            raise Conflict(
                f"There is a provisioning template {name} that says something else: delete it, or make the claim by hand."
            )

    def _certificate(self, undo: Undo, policy: str) -> dict[str, Any]:
        iot = self._connection.iot
        made = self._identities.certificate(undo)
        arn = str(made["certificateArn"])
        iot.call("attach_policy", policyName=policy, target=arn)
        undo.remember(
            f"attachment of policy {policy}",
            lambda: iot.call("detach_policy", policyName=policy, target=arn),
        )
        return made
