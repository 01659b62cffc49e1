"""Things of the ``iot`` model, and the certificates attached to them."""

from typing import Any

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.members import page_size, refuse_left_out
from outfitter_server.base.arns import iot_resource
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.services.principals import Attachment, Principals
from outfitter_server.services.things import Things
from outfitter_server.things.values import AttributeChange, Thing


class ThingOperations:
    """Handlers of the operations on things."""

    def __init__(self, things: Things, installation: Installation) -> None:
        """``installation`` prints ARNs."""
        self._things = things
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "CreateThing": self._create,
            "DescribeThing": self._describe,
            "UpdateThing": self._update,
            "DeleteThing": self._delete,
            "ListThings": self._list,
        }

    async def _create(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        refuse_left_out(given, "billingGroupName")
        thing = await self._things.create(
            given["thingName"], given.get("thingTypeName"), attribute_change(given.get("attributePayload"))
        )
        return {"thingName": thing.name, "thingArn": self._arn(thing), "thingId": thing.id}

    async def _describe(self, call: Call) -> dict[str, Any]:
        thing = self._things.describe(call.parameters["thingName"])
        return {"defaultClientId": thing.name, "thingId": thing.id, **self._shown(thing)}

    async def _update(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        await self._things.update(
            given["thingName"],
            given.get("thingTypeName"),
            attribute_change(given.get("attributePayload")),
            remove_type=given.get("removeThingType", False),
            expected=given.get("expectedVersion"),
        )
        return {}

    async def _delete(self, call: Call) -> dict[str, Any]:
        await self._things.delete(call.parameters["thingName"], call.parameters.get("expectedVersion"))
        return {}

    async def _list(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        name, value = given.get("attributeName"), given.get("attributeValue")
        if (name is None) != (value is None):
            raise InvalidRequest("give attributeName and attributeValue together, or neither")
        page = self._things.page(
            thing_type=given.get("thingTypeName"),
            attribute=None if name is None or value is None else (name, value),
            prefix=given.get("usePrefixAttributeValue", False),
            token=given.get("nextToken"),
            limit=page_size(given),
        )
        return {"things": [self._shown(thing) for thing in page.items], "nextToken": page.next_token}

    def _shown(self, thing: Thing) -> dict[str, Any]:
        return {
            "thingName": thing.name,
            "thingTypeName": thing.type,
            "thingArn": self._arn(thing),
            "attributes": dict(thing.attributes),
            "version": thing.version,
        }

    def _arn(self, thing: Thing) -> str:
        return self._installation.iot_arn("thing", thing.name)


class PrincipalOperations:
    """Handlers of the operations that attach certificates to things."""

    def __init__(self, principals: Principals, installation: Installation) -> None:
        """``installation`` prints and reads ARNs."""
        self._principals = principals
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "AttachThingPrincipal": self._attach,
            "DetachThingPrincipal": self._detach,
            "ListThingPrincipals": self._of_thing,
            "ListPrincipalThings": self._of_certificate,
            "ListThingPrincipalsV2": self._of_thing_with_types,
            "ListPrincipalThingsV2": self._of_certificate_with_types,
        }

    async def _attach(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        exclusive = given.get("thingPrincipalType") == "EXCLUSIVE_THING"
        await self._principals.attach(given["thingName"], self._certificate(given), exclusive=exclusive)
        return {}

    async def _detach(self, call: Call) -> dict[str, Any]:
        await self._principals.detach(call.parameters["thingName"], self._certificate(call.parameters))
        return {}

    async def _of_thing(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._principals.of_thing(
            given["thingName"], token=given.get("nextToken"), limit=page_size(given)
        )
        return {"principals": [self._arn(each) for each in page.items], "nextToken": page.next_token}

    async def _of_certificate(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._principals.of_certificate(
            self._certificate(given), token=given.get("nextToken"), limit=page_size(given)
        )
        return {"things": [each.thing for each in page.items], "nextToken": page.next_token}

    async def _of_thing_with_types(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._principals.of_thing(
            given["thingName"], token=given.get("nextToken"), limit=page_size(given)
        )
        found = [
            {"principal": self._arn(each), "thingPrincipalType": _kind(each)}
            for each in page.items
            if given.get("thingPrincipalType") in (None, _kind(each))
        ]
        return {"thingPrincipalObjects": found, "nextToken": page.next_token}

    async def _of_certificate_with_types(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._principals.of_certificate(
            self._certificate(given), token=given.get("nextToken"), limit=page_size(given)
        )
        found = [
            {"thingName": each.thing, "thingPrincipalType": _kind(each)}
            for each in page.items
            if given.get("thingPrincipalType") in (None, _kind(each))
        ]
        return {"principalThingObjects": found, "nextToken": page.next_token}

    def _certificate(self, given: dict[str, Any]) -> str:
        return certificate_of(given["principal"], self._installation)

    def _arn(self, attachment: Attachment) -> str:
        return self._installation.iot_arn("cert", attachment.certificate)


def certificate_of(principal: str, installation: Installation) -> str:
    """The id of the certificate that a principal ARN names.

    Raises:
        InvalidRequest: it names something else.
    """
    kind, name = iot_resource(principal, installation)
    if kind != "cert":
        raise InvalidRequest(f"the principal must be the ARN of a certificate, not of a {kind}")
    return name


def attribute_change(payload: dict[str, Any] | None) -> AttributeChange | None:
    """AWS's attributePayload as a value."""
    if payload is None:
        return None
    return AttributeChange(attributes=payload.get("attributes") or {}, merge=payload.get("merge", False))


def _kind(attachment: Attachment) -> str:
    return "EXCLUSIVE_THING" if attachment.exclusive else "NON_EXCLUSIVE_THING"
