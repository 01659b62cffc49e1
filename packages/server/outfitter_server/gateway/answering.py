"""The answering half of a connection: acknowledgements in the order of the requests, and what the services answer."""

import asyncio
import logging
from abc import abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from outfitter_contract.topics import Verb

from outfitter_server.base.refusals import Refusal
from outfitter_server.gateway import jobs_wire
from outfitter_server.gateway.limits import IN_FLIGHT_MAX
from outfitter_server.gateway.link import ANSWERING
from outfitter_server.gateway.outgoing import OVERHEAD_BYTES, Outgoing
from outfitter_server.gateway.provisioning_wire import Reply
from outfitter_server.gateway.routes import Destination, Route
from outfitter_server.gateway.slots import Slot
from outfitter_server.gateway.words import BAD_TOPIC
from outfitter_server.mqtt.encode import encode_puback, encode_publish
from outfitter_server.mqtt.packets import MQTT_5, PubAck, Publish
from outfitter_server.mqtt.reasons import Reason
from outfitter_server.mqtt.sessions import Kind, Message
from outfitter_server.services.fleet_provisioning import Asker

if TYPE_CHECKING:
    from outfitter_server.gateway.server import Gateway

_NONE: Final[deque[Slot]] = deque(
    maxlen=0
)  # shared by all that only listen: an empty deque takes half a kilobyte

_log = logging.getLogger(__name__)

# Bound once, as in mqtt/sessions.py.
_ANSWER: Final = Kind.ANSWER
_JOBS: Final = Destination.JOBS
_SUCCESS: Final = Reason.SUCCESS


class Answering(Outgoing):
    """First in, first out.

    Attributes:
        certificate_id: "" on a plain listener, and of a caller.
    """

    __slots__ = ("_gateway", "_slots", "certificate_id")

    def __init__(self, gateway: "Gateway") -> None:
        """Nothing was asked yet."""
        super().__init__(gateway)
        self.certificate_id = ""
        self._gateway = gateway
        self._slots = _NONE

    @abstractmethod
    def close(self, reason: Reason | None = None, why: str = "", *, with_will: bool = True) -> None:
        """Close; an MQTT 5 client is told why."""

    @property
    def waiting(self) -> int:
        """How many answers are still under way."""
        return len(self._slots)

    def _refuse(self, packet: Publish, route: Route) -> None:
        named = route.destination in {Destination.RESERVED, Destination.INVALID}
        reason = Reason.TOPIC_NAME_INVALID if named else Reason.NOT_AUTHORIZED
        why = (
            BAD_TOPIC
            if named
            else f"no policy allows to publish{' and retain' * packet.retain} to {packet.topic}"
        )
        if self.version == MQTT_5 and packet.packet_id:
            self._settled(packet.packet_id, reason, why=why)
        else:
            _log.info("connection of %s closed: it may not publish to %r", self.name, packet.topic)
            self.close(reason, why)

    def _settled(
        self,
        packet_id: int,
        reason: Reason,
        under_way: "asyncio.Future[None] | None" = None,
        *,
        why: str = "",
    ) -> None:
        """Acknowledge, after everything that waits, and after what must be on disk before."""
        if reason is _SUCCESS or self.version != MQTT_5:
            frame = encode_puback(packet_id)
        else:
            frame = self.frame(PubAck(packet_id, reason), why)
        self.respond(frame, under_way, packet_id)

    def respond(self, frame: bytes, under_way: "asyncio.Future[None] | None", packet_id: int = 0) -> None:
        """Write an acknowledgement in its order; ``packet_id`` is a PUBLISH's, which counts against its window."""
        if under_way is None and not self._slots:
            self.write(frame)
            return
        slot = Slot(self, packet_id)
        self._wait(slot)
        if under_way is None:
            slot.outcome = frame
        else:
            under_way.add_done_callback(lambda _: slot.reply(frame))

    def _wait(self, slot: Slot) -> None:
        if self._slots is _NONE:
            self._slots = deque()
        self._slots.append(slot)

    # The services

    def _apply(self, packet: Publish, route: Route) -> None:
        """A device without an identity asks for one."""
        desk, request = self._gateway.provisioning, route.provisioning
        if desk is None or request is None or self.session is None:
            self._refuse(packet, route)
            return
        slot = Slot(self, packet.packet_id, route)
        self._wait(slot)
        asker = Asker(certificate_id=self.certificate_id, client_id=self.session.client_id)
        desk.submit(request, packet.payload, asker, slot.reply)

    def _ask(self, packet: Publish, route: Route) -> None:
        assert route.request is not None  # noqa: S101 - the caller looked
        request, token = jobs_wire.decode(route.request, packet.payload)
        if not self._slots and route.destination is _JOBS and not isinstance(request, Refusal):
            known = self._gateway.plane.known(request)
            if known is not None:
                self._answer(packet.packet_id, route, known, token)
                return
        slot = Slot(self, packet.packet_id, route)
        slot.token = token
        self._wait(slot)
        if route.destination is Destination.UNKNOWN_JOBS:
            refusal = jobs_wire.InvalidTopic(f"{route.topic} is no request of the jobs service")
            self._refuse_unread(slot, None, refusal)
        elif isinstance(request, Refusal):
            self._refuse_unread(slot, route.request.verb, request)
        else:
            self._gateway.plane.submit(request, slot.reply)

    def _refuse_unread(self, slot: Slot, verb: Verb | None, refusal: Refusal) -> None:
        """Answer what the job service need not see, and count it as that counts what it sees."""
        self._gateway.meters.job_requests_unread[verb, type(refusal)] += 1
        slot.reply(refusal)

    def settle(self, slot: Slot) -> None:
        """A slot has its outcome; write what is in order now."""
        slots = self._slots
        if not slots or slots[0] is not slot:
            return
        while slots and slots[0].outcome is not None:
            first = slots.popleft()
            if first.route is None:
                self.write(first.outcome)
            else:
                self._answer(first.packet_id, first.route, first.outcome, first.token)
        if self._pauses & ANSWERING and len(slots) < IN_FLIGHT_MAX // 2:
            self.resume(ANSWERING)

    def _answer(self, packet_id: int, route: Route, outcome: Any, token: str | None) -> None:
        request = route.request
        if request is None:
            if isinstance(outcome, Reply):
                self._reply(packet_id, route, outcome.suffix, outcome.payload)
                if outcome.closes:
                    self.close(Reason.NOT_AUTHORIZED)
            return
        try:
            suffix, payload = jobs_wire.answer(request, outcome, token, self._gateway.clock(), self.fill)
        except Exception as error:  # noqa: BLE001 - told to the device as the service's own fault, and logged
            _log.exception("a request to %r could not be answered", route.topic)
            suffix, payload = jobs_wire.answer(request, error, token, self._gateway.clock(), self.fill)
        self._reply(packet_id, route, suffix, payload)

    def _reply(self, packet_id: int, route: Route, suffix: str, payload: bytes) -> None:
        """Acknowledge, and answer when there is something to say."""
        session = self.session
        if session is None:
            return
        out, head = encode_puback(packet_id) if packet_id else b"", route.answer_topic(suffix)
        if suffix and len(head) + len(payload) + OVERHEAD_BYTES <= self._packet_bytes_max:
            answer_id = 0
            if packet_id:
                answer_id = session.offer(Message(head, payload, _ANSWER), self._gateway.second)
            if answer_id or not packet_id:
                out = encode_publish(head, payload, answer_id, self._block, before=out)
                self._gateway.meters.messages_out[1 if answer_id else 0] += 1
        if out:
            self.write(out)
