"""What one connection may do, remembered: policy verdicts cost more than messages."""

from typing import Final, Protocol

from outfitter_contract import topics as jobs_topics

from outfitter_server.access.conditions import source_variables
from outfitter_server.access.policy import Verdicts
from outfitter_server.base.installation import Installation
from outfitter_server.gateway.limits import VERDICTS_MAX
from outfitter_server.jobs import events
from outfitter_server.mqtt.topics import BASIC_INGEST_PREFIX
from outfitter_server.services.devices import DeviceIdentity, Devices

CONNECT: Final = "iot:Connect"
PUBLISH: Final = "iot:Publish"
SUBSCRIBE: Final = "iot:Subscribe"
RECEIVE: Final = "iot:Receive"
RETAIN_PUBLISH: Final = "iot:RetainPublish"

_KINDS: Final = {
    CONNECT: "client",
    PUBLISH: "topic",
    SUBSCRIBE: "topicfilter",
    RECEIVE: "topic",
    RETAIN_PUBLISH: "topic",
}
_ASKED_ONCE: Final = frozenset({CONNECT, SUBSCRIBE})  # of each name, so nothing is gained by remembering


class Permit(Protocol):
    """Decides for one client on one connection."""

    def allows(self, action: str, name: str) -> bool:
        """Whether the client may do this to the client id, topic or topic filter of this name."""

    def is_thing(self, thing: str) -> bool:
        """Whether the client is this thing."""


class PolicyPermit:
    """The policies of the certificate and of its things' groups decide."""

    def __init__(
        self,
        devices: Devices,
        identity: DeviceIdentity,
        client_id: str,
        installation: Installation,
        host: str | None = None,
    ) -> None:
        """Judge ``client_id``, who comes from ``host``, by the documents of ``identity``."""
        self._devices = devices
        self._client_id = client_id
        self._installation = installation
        self._source = source_variables(host)
        self._remembered: dict[tuple[str, str], bool] = {}
        self.renew(identity)

    def renew(self, identity: DeviceIdentity) -> None:
        """The identity changed; nothing that was decided before counts."""
        self._things = identity.things
        variables = self._devices.variables(identity, self._client_id) | self._source
        self._verdicts = Verdicts(identity.documents, variables)
        self._remembered.clear()

    def allows(self, action: str, name: str) -> bool:
        """As the policies say: an explicit deny wins, what nothing allows is refused."""
        key = (action, name)
        verdict = self._remembered.get(key)
        if verdict is None:
            verdict = self._verdicts.allows(action, self._installation.iot_arn(_KINDS[action], name))
            if action not in _ASKED_ONCE:
                if len(self._remembered) >= VERDICTS_MAX:
                    self._remembered.clear()
                self._remembered[key] = verdict
        return verdict

    def is_thing(self, thing: str) -> bool:
        """Whether the client id is this thing and the certificate is attached to it."""
        return thing == self._client_id and thing in self._things


class TrialPermit:
    """Without certificates: the client id is the thing, which reaches its own jobs topics, free topics, events and rules."""

    def __init__(self, client_id: str) -> None:
        """The thing that ``client_id`` names."""
        self._client_id = client_id
        self._own = jobs_topics.jobs_prefix(client_id)

    def allows(self, action: str, name: str) -> bool:
        """Whether the name is free, the thing's own, an event to hear, or a rule's entrance."""
        if action == CONNECT or not name.startswith("$") or name.startswith(self._own):
            return True
        return name.startswith(BASIC_INGEST_PREFIX if action == PUBLISH else events.PREFIX)

    def is_thing(self, thing: str) -> bool:
        """Whether the client id says so."""
        return thing == self._client_id


class SignedPermit:
    """An access key has the rights of the installation's root: all that ``iot:*`` allows. It is nobody's thing."""

    def allows(self, action: str, name: str) -> bool:  # noqa: ARG002 - a permit's signature
        """Yes; what is the service's own nobody gets, and the routes see to that."""
        return True

    def is_thing(self, thing: str) -> bool:  # noqa: ARG002 - a permit's signature
        """A thing has a certificate."""
        return False
