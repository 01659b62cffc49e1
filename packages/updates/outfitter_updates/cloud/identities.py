"""A new device's identity: thing, certificate, policy and groups; all of it or nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from outfitter_updates.catalogue.devices import Device, DeviceOrder, Identity, host_and_port
from outfitter_updates.catalogue.problems import CloudRefused, Conflict, Problem, WrongUsage
from outfitter_updates.cloud.connection import Connection
from outfitter_updates.cloud.devices import Devices
from outfitter_updates.operations.policy import arn_prefix, device_policy, former_policy, same_policy

MQTT_PORT: Final = 8883
EXISTS: Final = "ResourceAlreadyExistsException"


class Undo:
    """What to take back when a later step fails, newest first."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, Callable[[], object]]] = []

    def remember(self, what: str, step: Callable[[], object]) -> None:
        """``what`` names the thing that stays behind when the step fails as well."""
        self._steps.append((what, step))

    def run(self) -> list[str]:
        """Takes everything back; returns what could not be."""
        left = []
        while self._steps:
            what, step = self._steps.pop()
            try:
                step()
            except Problem:
                left.append(what)
        return left


class Identities:
    """Issues identities to devices."""

    def __init__(self, connection: Connection, devices: Devices) -> None:
        self._connection, self._devices = connection, devices

    @contextmanager
    def issue(self, order: DeviceOrder) -> Iterator[Identity]:
        """An identity for as long as the body needs to keep it; if the body fails, nothing stays behind.

        Unknown groups are refused before anything is made. A thing, type or policy that is there already is used as
        it is; raises Conflict when it differs from what is ordered.
        """
        host, port = self._broker(order)
        for group in order.groups:
            self._devices.need_group(group)
        undo = Undo()
        try:
            yield self._make(order, undo, host, port)
        except BaseException as error:
            left = undo.run()
            if left:
                error.add_note(f"Left behind, remove by hand: {', '.join(left)}.")
            raise

    def _make(self, order: DeviceOrder, undo: Undo, host: str, port: int) -> Identity:
        ca_pem = self.authority()
        device, notes = self._thing(order, undo)
        policy_note = self.need_device_policy(order.policy_name, arn_prefix(device.arn))
        made = self.certificate(undo)
        self._attach(order, made, undo)
        self._join(order, undo)
        if ca_pem is None:
            notes.append(
                "AWS shows a certificate of Amazon Root CA 1, which the system's bundle of authorities has."
            )
        return Identity(
            device=device,
            certificate_id=made["certificateId"],
            certificate_pem=made["certificatePem"],
            private_key_pem=made["keyPair"]["PrivateKey"],
            ca_pem=ca_pem,
            mqtt_host=host,
            mqtt_port=port,
            notes=(*notes, *policy_note),
        )

    def _broker(self, order: DeviceOrder) -> tuple[str, int]:
        address = order.mqtt
        if address is None:
            told = self._connection.iot.call("describe_endpoint", endpointType="iot:Data-ATS")
            address = str(told["endpointAddress"])
        found = host_and_port(address, MQTT_PORT)
        if found is None:
            raise WrongUsage(f"{address!r} is no address of a broker: write HOST or HOST:PORT.")
        return found

    def _thing(self, order: DeviceOrder, undo: Undo) -> tuple[Device, list[str]]:
        iot = self._connection.iot
        existing = self._devices.find(order.name)
        if existing is not None:
            if order.device_type is not None and existing.device_type != order.device_type:
                raise Conflict(
                    f"The device {order.name} exists with the type {existing.device_type or 'none'}, not"
                    f" {order.device_type}. Leave out --type to give it one more certificate."
                )
            held = len(self._devices.certificates_of(order.name))
            return existing, [f"The device existed, with {held} certificate(s): this one is added to them."]
        if order.device_type is not None:
            iot.call("create_thing_type", thingTypeName=order.device_type)
        iot.call("create_thing", thingName=order.name, thingTypeName=order.device_type)
        undo.remember(f"thing {order.name}", lambda: iot.call("delete_thing", thingName=order.name))
        return self._devices.need(order.name), []

    def need_device_policy(self, name: str, prefix: str) -> tuple[str, ...]:
        """Make the policy of devices, or renew the one of a former version; raises Conflict as ``need_policy``."""
        return self.need_policy(name, device_policy(prefix), former=former_policy(prefix))

    def need_policy(self, name: str, wanted: str, *, former: str | None = None) -> tuple[str, ...]:
        """Make the policy, or renew the one that says ``former``; what was done, in sentences.

        Raises Conflict when there is one of the name that says something else.
        """
        iot = self._connection.iot
        try:
            iot.call("create_policy", policyName=name, policyDocument=wanted)
        except CloudRefused as refused:
            if refused.code != EXISTS:
                raise
        else:
            return (f"Made the policy {name}, which devices share.",)
        present = iot.call("get_policy", policyName=name)["policyDocument"]
        if former is not None and same_policy(present, former):
            iot.call("create_policy_version", policyName=name, policyDocument=wanted, setAsDefault=True)
            return (
                f"Renewed the policy {name}: its devices may tell the digest of their configuration, too.",
            )
        if not same_policy(present, wanted):
            raise Conflict(f"There is a policy {name} that says something else. Name another with --policy.")
        return ()

    def certificate(self, undo: Undo) -> dict[str, Any]:
        """A new key with its certificate, ACTIVE, as CreateKeysAndCertificate tells them; ``undo`` takes it back."""
        iot = self._connection.iot
        made = iot.call("create_keys_and_certificate", setAsActive=True)
        certificate = str(made["certificateId"])

        def take_back() -> None:
            iot.call("update_certificate", certificateId=certificate, newStatus="INACTIVE")
            iot.call("delete_certificate", certificateId=certificate)

        undo.remember(f"certificate {certificate}", take_back)
        return made

    def _attach(self, order: DeviceOrder, made: dict[str, Any], undo: Undo) -> None:
        iot, arn = self._connection.iot, str(made["certificateArn"])
        iot.call("attach_policy", policyName=order.policy_name, target=arn)
        undo.remember(
            f"attachment of policy {order.policy_name}",
            lambda: iot.call("detach_policy", policyName=order.policy_name, target=arn),
        )
        iot.call("attach_thing_principal", thingName=order.name, principal=arn)
        undo.remember(
            f"attachment of thing {order.name}",
            lambda: iot.call("detach_thing_principal", thingName=order.name, principal=arn),
        )

    def _join(self, order: DeviceOrder, undo: Undo) -> None:
        iot = self._connection.iot
        already = set(self._devices.groups_of(order.name)) if order.groups else set()
        for group in order.groups:
            if group in already:
                continue
            member = {"thingGroupName": group, "thingName": order.name}
            iot.call("add_thing_to_thing_group", **member)
            undo.remember(
                f"membership of group {group}",
                lambda member=member: iot.call("remove_thing_from_thing_group", **member),  # type: ignore[misc]
            )

    def authority(self) -> str | None:
        """The certificates that the server's own is checked against; None on AWS, whose authority is public."""
        iot = self._connection.iot
        if iot.is_aws:
            return None
        # The server's own comes first. Those that people registered vouch for devices, never for a server.
        own = next(iot.pages("list_ca_certificates", "certificates"), None)
        if own is None or own.get("status") != "ACTIVE":
            raise Conflict(
                f"{iot.endpoint} lists no certificate authority (ListCACertificates): devices could not check the"
                " server. Is it an outfitterd?"
            )
        described = iot.call("describe_ca_certificate", certificateId=own["certificateId"])
        return str(described["certificateDescription"]["certificatePem"]).rstrip() + "\n"
