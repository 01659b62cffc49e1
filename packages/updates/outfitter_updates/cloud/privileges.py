"""What a device may do, asked of the service that decides it."""

from outfitter_updates.catalogue.problems import NotFound
from outfitter_updates.cloud.connection import Connection
from outfitter_updates.cloud.devices import Devices
from outfitter_updates.operations.policy import arn_prefix
from outfitter_updates.operations.privileges import ACTIONS, Verdict, explain, variables_of


class Privileges:
    """Asks TestAuthorization, and reads the documents behind its answer."""

    def __init__(self, connection: Connection, devices: Devices) -> None:
        self._connection, self._devices = connection, devices

    def test(self, device: str, action: str, name: str | None, client_id: str | None) -> tuple[Verdict, ...]:
        """The verdict for each certificate of a device; ``name`` is the topic, the filter, or None for the client id.

        Raises NotFound when there is no such device, or it has no certificate.
        """
        thing, client = self._devices.need(device), client_id or device
        word, policy_action, kind = ACTIONS[action]
        resource = f"{arn_prefix(thing.arn)}{kind}/{name if name is not None else client}"
        certificates = self._devices.certificates_of(device)
        if not certificates:
            raise NotFound(f"{device} has no certificate: nothing can connect as this device.")
        iot, verdicts = self._connection.iot, []
        for certificate in certificates:
            told = iot.call(
                "test_authorization",
                principal=certificate,
                clientId=client,
                authInfos=[{"actionType": word, "resources": [resource]}],
            )["authResults"][0]
            # AWS finds the policies of a thing's groups only when it is given the thing as well.
            found = iot.call("get_effective_policies", principal=certificate, thingName=device)
            documents = {
                each["policyName"]: each["policyDocument"] for each in found.get("effectivePolicies", ())
            }
            identifier = certificate.rpartition("/")[2]
            described = iot.call("describe_certificate", certificateId=identifier)
            variables = variables_of(device, client, thing.device_type, thing.attributes)
            variables["iot:CertificateId"] = identifier
            verdicts.append(
                Verdict(
                    certificate=identifier,
                    status=described["certificateDescription"]["status"],
                    decision=told["authDecision"],
                    resource=resource,
                    said=explain(documents, policy_action, resource, variables),
                )
            )
        return tuple(verdicts)
