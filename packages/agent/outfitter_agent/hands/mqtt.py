"""The MQTT connection of the device: made again for ever, with exponential backoff and full jitter.

Each connection is a fresh client with the same client id: the session that must persist is the service's, and nothing
that an old connection had in flight is repeated by the new one; what matters is in the journal.
"""

import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

BACKOFF_SECONDS: Final = 1.0
STEADY_SECONDS: Final = 30.0
"""A connection that lasted this long was a good one: the backoff begins anew after it."""
CONNECT_TIMEOUT_SECONDS: Final = 20.0
FLUSH_SECONDS: Final = 2.0
PAYLOAD_BYTES_MAX: Final = 128 * 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How to reach the service."""

    host: str
    port: int
    client_id: str
    tls: bool
    ca: Path | None
    certificate: Path | None
    private_key: Path | None
    version_5: bool
    keep_alive_seconds: int
    session_expiry_seconds: int
    reconnect_max_seconds: float


class Connection:
    """Keeps one connection up; the callbacks run in its threads and must not block."""

    def __init__(
        self,
        link: Link,
        *,
        on_up: Callable[[], None],
        on_down: Callable[[], None],
        on_message: Callable[[str, bytes], None],
    ) -> None:
        """Nothing is connected until ``start``."""
        self._link = link
        self._on_up, self._on_down, self._on_message = on_up, on_down, on_message
        self._closed = threading.Event()
        self._lost = threading.Event()
        self._client: Client | None = None
        self._last: MQTTMessageInfo | None = None
        self._refused = 0
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def close(self) -> None:
        """Send what was published, disconnect and stay so."""
        self.flush()
        self._closed.set()
        self._lost.set()
        if self._thread.is_alive():
            self._thread.join(CONNECT_TIMEOUT_SECONDS)

    def flush(self) -> None:
        """Wait a little until what was published has been acknowledged."""
        info = self._last
        if info is not None and self._client is not None:
            with suppress(RuntimeError, ValueError):  # the connection went meanwhile
                info.wait_for_publish(FLUSH_SECONDS)

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send with QoS 1; False when there is no connection to send it on."""
        client = self._client
        return (
            client is not None and client.publish(topic, payload, qos=1).rc == MQTTErrorCode.MQTT_ERR_SUCCESS
        )

    def retain(self, topic: str, payload: bytes) -> bool:
        """Send with QoS 1 to be retained, and wait; False when the broker has not taken it."""
        client = self._client
        if client is None:
            return False
        info = client.publish(topic, payload, qos=1, retain=True)
        with suppress(RuntimeError, ValueError):  # the connection went meanwhile
            info.wait_for_publish(CONNECT_TIMEOUT_SECONDS)
            return info.is_published() and info.mid != self._refused
        return False

    def subscribe(self, filters: Sequence[str]) -> bool:
        """Subscribe with QoS 1; False when there is no connection."""
        client = self._client
        if client is None:
            return False
        code, _ = client.subscribe([(topic, 1) for topic in filters])
        return code == MQTTErrorCode.MQTT_ERR_SUCCESS

    def _run(self) -> None:
        failures = 0
        while not self._closed.is_set():
            started = time.monotonic()
            try:
                self._connect_once()
            except (OSError, ValueError) as error:
                log.warning("no connection to %s:%d: %s", self._link.host, self._link.port, error)
            lasted = time.monotonic() - started
            failures = 0 if lasted >= STEADY_SECONDS + CONNECT_TIMEOUT_SECONDS else failures + 1
            self._closed.wait(backoff(failures, self._link.reconnect_max_seconds, random.random()))  # noqa: S311 - spreads load

    def _connect_once(self) -> None:
        """Connect, and return when that connection is over; raises OSError."""
        self._lost.clear()
        client = self._fresh_client()
        if self._closed.is_set():
            return
        if self._link.version_5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = self._link.session_expiry_seconds
            client.connect(*self._address(), clean_start=False, properties=properties)
        else:
            client.connect(*self._address())
        client.loop_start()
        try:
            self._lost.wait()
        finally:
            was_up, self._client = self._client is not None, None
            client.disconnect()
            client.loop_stop()
            if was_up:
                self._on_down()

    def _address(self) -> tuple[str, int, int]:
        return self._link.host, self._link.port, self._link.keep_alive_seconds

    def _fresh_client(self) -> Client:
        link = self._link
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=link.client_id,
            clean_session=None if link.version_5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if link.version_5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_SECONDS
        if link.tls:
            client.tls_set_context(tls_context(link))
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = self._received
        client.on_publish = self._acknowledged
        return client

    def _connected(self, client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            log.warning("%s:%d refuses the connection: %s", self._link.host, self._link.port, reason)
            self._lost.set()
            return
        log.info("connected to %s:%d", self._link.host, self._link.port)
        self._client = client
        self._guarded(self._on_up)

    def _disconnected(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._closed.is_set() or self._lost.is_set():
            return  # it was meant to end, or what ended it has been said
        if self._client is not None:
            log.warning("connection to %s:%d lost: %s", self._link.host, self._link.port, reason)
        else:
            log.warning(
                "%s:%d ended the connection before accepting it (%s): is it an MQTT broker that knows this certificate?",
                self._link.host,
                self._link.port,
                reason,
            )
        self._lost.set()

    def _received(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if len(message.payload) <= PAYLOAD_BYTES_MAX:
            self._guarded(lambda: self._on_message(message.topic, bytes(message.payload)))

    def _acknowledged(self, _client: Client, _data: Any, number: int, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._refused = number
            log.warning("the broker refuses a message: %s", reason)

    def _guarded(self, callback: Callable[[], None]) -> None:
        """An error here would end paho's thread silently; the connection is given up instead."""
        try:
            callback()
        except Exception:
            log.exception("handling a message failed; connecting anew")
            self._lost.set()


def tls_context(link: Link) -> ssl.SSLContext:
    """The context with the device's identity; raises OSError that names the file which cannot be used."""
    try:
        context = ssl.create_default_context(cafile=str(link.ca) if link.ca else None)
    except ssl.SSLError as error:
        raise OSError(f"{link.ca} ('ca') holds no certificate of an authority: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if link.certificate and link.private_key:
        try:
            # Without a password of ours, OpenSSL would wait for one to be typed.
            context.load_cert_chain(link.certificate, link.private_key, password="")
        except ssl.SSLError as error:
            raise OSError(
                f"{link.certificate} ('certificate') and {link.private_key} ('private_key') are no certificate"
                f" with its key, unencrypted: {error}"
            ) from None
    return context


def backoff(failures: int, seconds_max: float, chance: float) -> float:
    """Seconds to wait after that many failures in a row: full jitter below a bound that doubles."""
    return chance * min(seconds_max, BACKOFF_SECONDS * 2.0 ** min(failures, 20))
