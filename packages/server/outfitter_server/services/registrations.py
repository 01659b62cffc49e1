"""What a provisioning template asks for, made in the registry: all of it in one transaction, or nothing."""

from collections.abc import Sequence
from typing import Final

from outfitter_server.access.certificates import Status
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import Refusal
from outfitter_server.services.certificates import certificate_or_refuse, set_status_in
from outfitter_server.services.committer import Batch
from outfitter_server.services.group_members import GroupMembers
from outfitter_server.services.policies import Policies, attach_in, policy_document
from outfitter_server.services.principals import attach_in as attach_principal_in
from outfitter_server.services.things import Things, find_thing
from outfitter_server.things.provisioning import (
    Override,
    Plan,
    PlannedCertificate,
    PlannedPolicy,
    PlannedThing,
)
from outfitter_server.things.values import AttributeChange, Thing

_LEAVE: Final = (Override.FAIL, Override.DO_NOTHING)


class ResourceRegistrationFailure(Refusal):
    """Something of the registration exists already and is not what the template asks for."""

    code = "ResourceRegistrationFailureException"


class Registrations:
    """Carries out plans."""

    def __init__(
        self, things: Things, members: GroupMembers, policies: Policies, installation: Installation
    ) -> None:
        """The registries that a plan touches; ``installation`` prints ARNs."""
        self._things = things
        self._members = members
        self._policies = policies
        self._installation = installation

    def apply_in(self, batch: Batch, plan: Plan, certificate: str) -> dict[str, str]:
        """Make what the plan says with this registered certificate; the ARNs by the resources' labels.

        Raises:
            ResourceRegistrationFailure: something exists, differs, and may not be overridden.
            Refusal: what the registries say of it: an unknown type or group, too many policies…
        """
        home = self._installation
        arns = {plan.certificate.label: home.iot_arn("cert", certificate)}
        self._set_status(batch, plan.certificate, certificate)
        if plan.thing is not None:
            self._thing(batch, plan.thing)
            attach_principal_in(batch, plan.thing.name, certificate, exclusive=plan.certificate.exclusive)
            arns[plan.thing.label] = home.iot_arn("thing", plan.thing.name)
        for policy in plan.policies:
            self._policy(batch, policy)
            attach_in(batch, policy.name, f"cert/{certificate}")
            arns[policy.label] = home.iot_arn("policy", policy.name)
        return arns

    def _set_status(self, batch: Batch, planned: PlannedCertificate, certificate: str) -> None:
        wanted, found = Status(planned.status), certificate_or_refuse(batch.tx, certificate).status
        if found is wanted or (
            found is not Status.PENDING_ACTIVATION and planned.override is Override.DO_NOTHING
        ):
            return
        if found is not Status.PENDING_ACTIVATION and planned.override is Override.FAIL:
            raise ResourceRegistrationFailure(
                f"certificate {certificate} is {found}, not {wanted}; OverrideSettings can allow it"
            )
        set_status_in(batch, certificate, wanted)

    def _thing(self, batch: Batch, planned: PlannedThing) -> None:
        existing = find_thing(batch.tx, planned.name)
        if existing is None:
            self._things.create_in(
                batch, planned.name, planned.type, AttributeChange(attributes=planned.attributes or {})
            )
        else:
            self._adapt(batch, planned, existing)
        if planned.groups is not None:
            self._join(batch, planned, planned.groups, is_new=existing is None)

    def _adapt(self, batch: Batch, planned: PlannedThing, existing: Thing) -> None:
        kind, change = None, None
        if planned.type not in (None, existing.type):
            _refuse_unless(planned, "ThingTypeName")
            kind = planned.type if planned.override("ThingTypeName") not in _LEAVE else None
        if planned.attributes is not None and planned.attributes != existing.attributes:
            how = planned.override("AttributePayload")
            _refuse_unless(planned, "AttributePayload")
            if how not in _LEAVE:
                change = AttributeChange(attributes=planned.attributes, merge=how is Override.MERGE)
        if kind is not None or change is not None:
            self._things.update_in(batch, planned.name, kind, change)

    def _join(self, batch: Batch, planned: PlannedThing, groups: Sequence[str], *, is_new: bool) -> None:
        rows = batch.tx.all("memberships_of_thing", thing=planned.name)
        present = {row["group_name"] for row in rows}
        missing = [name for name in groups if name not in present]
        how = Override.MERGE if is_new else planned.override("ThingGroups")
        if missing and not is_new:
            _refuse_unless(planned, "ThingGroups")
        if how in _LEAVE:
            return
        if how is Override.REPLACE:
            # Dynamic groups have the members that their queries find.
            static = {row["group_name"] for row in rows if row["seq"] is None}
            for name in sorted(static.difference(groups)):
                self._members.remove_in(batch, planned.name, name)
        for name in missing:
            self._members.add_in(batch, planned.name, name, override=False)

    def _policy(self, batch: Batch, planned: PlannedPolicy) -> None:
        if planned.document is None:
            return
        there = policy_document(batch.tx, planned.name)
        if there is None:
            arn = self._installation.iot_arn("policy", planned.name)
            self._policies.create_in(batch, planned.name, planned.document, {}, arn)
        elif there != planned.document:
            raise ResourceRegistrationFailure(
                f"policy {planned.name} exists with another document than the template's"
            )


def _refuse_unless(planned: PlannedThing, member: str) -> None:
    if planned.override(member) is Override.FAIL:
        raise ResourceRegistrationFailure(
            f"thing {planned.name} exists with another {member}; OverrideSettings of {planned.label} can allow it"
        )
