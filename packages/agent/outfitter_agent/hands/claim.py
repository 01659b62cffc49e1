"""A device that has only a claim asks for an identity of its own: AWS's provisioning over MQTT, one connection, two requests."""

import json
import queue
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from outfitter_agent.hands.mqtt import CONNECT_TIMEOUT_SECONDS, Link, tls_context

CREATE: Final = "$aws/certificates/create/json"
_ENDINGS: Final = ("accepted", "rejected")


class ProvisioningError(Exception):
    """The device has no identity yet; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewIdentity:
    """What the service gave."""

    thing_name: str
    certificate_pem: str
    private_key_pem: str
    configuration: Mapping[str, str]


def provision(
    link: Link, template: str, parameters: Mapping[str, str], answer_timeout_seconds: float
) -> NewIdentity:
    """Get a key and a certificate, and be registered with them by the template.

    Raises:
        ProvisioningError: no connection, no answer in time, or the service refuses.
    """
    register = f"$aws/provisioning-templates/{template}/provision/json"
    claim = _Claim(link, answer_timeout_seconds)
    try:
        claim.connect((CREATE, register))
        created = claim.ask(CREATE, {})
        token = created["certificateOwnershipToken"]
        told = claim.ask(register, {"certificateOwnershipToken": token, "parameters": dict(parameters)})
        return NewIdentity(
            thing_name=str(told["thingName"]),
            certificate_pem=str(created["certificatePem"]),
            private_key_pem=str(created["privateKey"]),
            configuration=dict(told.get("deviceConfiguration") or {}),
        )
    except KeyError as error:
        raise ProvisioningError(
            f"the service's answer has no {error}; does the template make a thing?"
        ) from None
    finally:
        claim.close()


class _Claim:
    """One connection with the claim."""

    def __init__(self, link: Link, timeout_seconds: float) -> None:
        self._link, self._timeout = link, timeout_seconds
        self._events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"claim-{secrets.token_hex(8)}",
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        self._client.connect_timeout = CONNECT_TIMEOUT_SECONDS
        self._client.on_connect = lambda *given: self._events.put(("connected", given[3]))
        self._client.on_disconnect = lambda *given: self._events.put(("lost", given[3]))
        self._client.on_subscribe = lambda *given: self._events.put(("subscribed", given[3]))
        self._client.on_message = self._received

    def connect(self, topics: tuple[str, ...]) -> None:
        where = f"{self._link.host}:{self._link.port}"
        try:
            self._client.tls_set_context(tls_context(self._link))
            self._client.connect(self._link.host, self._link.port, self._link.keep_alive_seconds)
        except (OSError, ValueError) as error:
            raise ProvisioningError(f"no connection to {where}: {error}") from None
        self._client.loop_start()
        reason = self._take("connected")
        if reason.is_failure:
            raise ProvisioningError(f"{where} refuses the claim: {reason}")
        self._client.subscribe([(f"{topic}/{ending}", 1) for topic in topics for ending in _ENDINGS])
        if any(reason.is_failure for reason in self._take("subscribed")):
            raise ProvisioningError("the claim's policies do not let it hear the answers")

    def ask(self, topic: str, members: Mapping[str, Any]) -> dict[str, Any]:
        self._client.publish(topic, json.dumps(members).encode(), qos=1)
        answered, payload = self._take("message")
        try:
            told = json.loads(payload)
        except ValueError:
            raise ProvisioningError(f"the answer on {answered} is not JSON") from None
        if answered != f"{topic}/accepted":
            code, why = told.get("errorCode", "refused"), told.get("errorMessage", "")
            raise ProvisioningError(f"the service refuses: {code}: {why}")
        return dict(told)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _received(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._events.put(("message", (message.topic, bytes(message.payload))))

    def _take(self, kind: str) -> Any:
        try:
            found, value = self._events.get(timeout=self._timeout)
        except queue.Empty:
            raise ProvisioningError("no answer in time; do the claim's policies allow the request?") from None
        if found != kind:
            raise ProvisioningError(f"the connection ended: {value}; is the claim still good?")
        return value
