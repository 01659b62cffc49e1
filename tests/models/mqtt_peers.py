"""MQTT clients that people use, unmodified, behind one face: what each is told to do, and what came to it."""

import asyncio
import contextlib
import queue
import re
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gmqtt
from awscrt import io, mqtt, mqtt5
from awsiot import mqtt_connection_builder
from gmqtt.mqtt.constants import MQTTv50, MQTTv311
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

SECONDS = 20
KEEP_SECONDS = 600


@dataclass(frozen=True)
class Heard:
    """A message as a client saw it."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


@dataclass(frozen=True)
class Way:
    """How a client comes to the server; without files of a certificate, plainly."""

    version: int
    port: int
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def through(self, port: int) -> "Way":
        return Way(self.version, port, self.ca, self.certificate, self.key)


@dataclass(frozen=True)
class Wish:
    """What a CONNECT says."""

    client_id: str
    kept: bool = False
    will: tuple[str, bytes] | None = None


class Relay:
    """A wire to the server that can be cut."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._to, self._ends = port, []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        try:
            near, _ = self._listener.accept()
        except OSError:
            return
        far = socket.create_connection(("127.0.0.1", self._to))
        self._ends += [near, far]
        self._listener.close()
        for one, other in ((near, far), (far, near)):
            self._threads.append(threading.Thread(target=self._pump, args=(one, other)))
            self._threads[-1].start()

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Both sides see the end of the connection, and nobody said goodbye."""
        self._listener.close()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(SECONDS)
        for end in self._ends:
            end.close()


class Peer:
    """A connected client. ``heard`` is what came, in its order."""

    def __init__(self, way: Way, wish: Wish) -> None:
        self.way, self.wish = way, wish
        self.heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.connect()

    def take(self) -> Heard:
        return self.heard.get(timeout=SECONDS)

    def _wait(self) -> Any:
        return self._done.get(timeout=SECONDS)

    def connect(self) -> None:
        raise NotImplementedError

    def subscribe(self, topic_filter: str) -> None:
        """With QoS 1; granted when this returns."""
        raise NotImplementedError

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Say goodbye."""
        raise NotImplementedError

    def forget(self) -> None:
        """Its connection was cut: end without another one."""
        self.close()


class Paho(Peer):
    def connect(self) -> None:
        five = self.way.version == 5
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=self.wish.client_id,
            clean_session=None if five else not self.wish.kept,
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
            reconnect_on_failure=False,
        )
        if self.way.ca:
            self._client.tls_set(str(self.way.ca), str(self.way.certificate), str(self.way.key))
        if self.wish.will:
            self._client.will_set(*self.wish.will, qos=1)
        self._client.on_connect = lambda *given: self._done.put(given[3])
        self._client.on_subscribe = lambda *given: self._done.put(given[3])
        self._client.on_publish = lambda *given: self._done.put(given[3])
        self._client.on_message = lambda _client, _data, message: self.heard.put(
            Heard(message.topic, message.payload, message.qos, bool(message.retain))
        )
        more: dict[str, Any] = {}
        if five:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = KEEP_SECONDS if self.wish.kept else 0
            more = {"clean_start": not self.wish.kept, "properties": properties}
        self._client.connect("127.0.0.1", self.way.port, **more)
        self._client.loop_start()
        assert not self._wait().is_failure

    def subscribe(self, topic_filter: str) -> None:
        self._client.subscribe(topic_filter, 1)
        assert not self._wait()[0].is_failure

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos, retain)
        assert not self._wait().is_failure

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Gmqtt(Peer):
    """gmqtt, on an event loop of its own in a thread."""

    def connect(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._run(self._connect())

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS)

    async def _connect(self) -> None:
        five, more = self.way.version == 5, {}
        if five and self.wish.kept:
            more["session_expiry_interval"] = KEEP_SECONDS
        if self.wish.will:
            more["will_message"] = gmqtt.Message(*self.wish.will, qos=1)
        self._client = gmqtt.Client(self.wish.client_id, clean_session=not self.wish.kept, **more)
        self._client.set_config({"reconnect_retries": 0})
        self._client.on_subscribe = lambda _client, _mid, granted, _properties: self._done.put(granted)
        self._client.on_message = self._hear
        context = None
        if self.way.ca:
            context = ssl.create_default_context(cafile=str(self.way.ca))
            context.load_cert_chain(self.way.certificate, self.way.key)
        version = MQTTv50 if five else MQTTv311
        await self._client.connect("127.0.0.1", self.way.port, ssl=context, version=version)

    def _hear(self, _client: Any, topic: str, payload: bytes, qos: int, properties: dict[str, Any]) -> int:
        self.heard.put(Heard(topic, bytes(payload), qos, bool(properties["retain"])))
        return 0

    async def _call(self, function: Any, *given: Any, **more: Any) -> None:
        function(*given, **more)

    def subscribe(self, topic_filter: str) -> None:
        self._run(self._call(self._client.subscribe, topic_filter, qos=1))
        assert max(self._wait()) <= 1

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        self._run(self._call(self._client.publish, topic, payload, qos=qos, retain=retain))
        self._run(self._client._wait_qos_queue_drained())

    def close(self) -> None:
        self._run(self._client.disconnect())
        self._end()

    def forget(self) -> None:
        self._run(self._call(self._client.stop_reconnect))
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()


class Mosquitto(Peer):
    """mosquitto_sub, a process for each subscription, and mosquitto_pub, one for each message."""

    def connect(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def _common(self) -> list[str]:
        version = "mqttv5" if self.way.version == 5 else "mqttv311"
        found = ["-h", "127.0.0.1", "-p", str(self.way.port), "-V", version]
        if self.way.ca:
            found += ["--cafile", self.way.ca, "--cert", self.way.certificate, "--key", self.way.key]
        return [str(each) for each in found]

    def subscribe(self, topic_filter: str) -> None:
        command = [
            "mosquitto_sub",
            *self._common(),
            "-i",
            self.wish.client_id,
            "-q",
            "1",
            "-t",
            topic_filter,
            "-d",
        ]
        if self.wish.kept:
            command += ["-c"] + (["-x", str(KEEP_SECONDS)] if self.way.version == 5 else [])
        if self.wish.will:
            topic, payload = self.wish.will
            command += ["--will-topic", topic, "--will-payload", payload.decode(), "--will-qos", "1"]
        command += ["-F", "heard %t %q %r %p"]
        self._process = subprocess.Popen(
            ["stdbuf", "-oL", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,))
        self._reader.start()
        assert self._wait() == "1"

    def _read(self, process: "subprocess.Popen[str]") -> None:
        for line in process.stdout:
            if found := re.match(r"heard (\S+) (\d) (\d) (.*)", line):
                topic, qos, retain, payload = found.groups()
                self.heard.put(Heard(topic, payload.encode(), int(qos), retain == "1"))
            elif found := re.match(r"Subscribed \(mid: \d+\): (\d+)", line):
                self._done.put(found[1])

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        name = ["-i", f"{self.wish.client_id}-pub"]
        command = [
            "mosquitto_pub",
            *self._common(),
            *name,
            "-q",
            str(qos),
            "-t",
            topic,
            "-m",
            payload.decode(),
        ]
        subprocess.run(command + ["-r"] * retain, check=True, timeout=SECONDS, capture_output=True)

    def close(self) -> None:
        self._end(terminate=True)

    def forget(self) -> None:
        """kill -9."""
        self._end(terminate=False)

    def _end(self, *, terminate: bool) -> None:
        process, self._process = self._process, None
        if process is not None:
            if terminate:
                process.terminate()
            else:
                process.kill()
            process.wait(SECONDS)
            self._reader.join(SECONDS)
            process.stdout.close()


class Sdk311(Peer):
    """AWS's SDK, its client of MQTT 3.1.1."""

    def connect(self) -> None:
        will = self.wish.will and mqtt.Will(
            self.wish.will[0], mqtt.QoS.AT_LEAST_ONCE, self.wish.will[1], False
        )
        more = {
            "client_id": self.wish.client_id,
            "clean_session": not self.wish.kept,
            "will": will,
            "keep_alive_secs": 60,
            "reconnect_min_timeout_secs": 1,
        }
        if self.way.ca:
            self._connection = mqtt_connection_builder.mtls_from_path(
                str(self.way.certificate),
                str(self.way.key),
                ca_filepath=str(self.way.ca),
                endpoint="127.0.0.1",
                port=self.way.port,
                **more,
            )
        else:
            client = mqtt.Client(io.ClientBootstrap.get_or_create_static_default(), None)
            self._connection = mqtt.Connection(
                client=client, host_name="127.0.0.1", port=self.way.port, **more
            )
        self._connection.on_message(self._hear)
        self._connection.connect().result(SECONDS)

    def _hear(self, topic: str, payload: bytes, dup: bool, qos: mqtt.QoS, retain: bool, **_: Any) -> None:
        self.heard.put(Heard(topic, payload, int(qos), retain))

    def subscribe(self, topic_filter: str) -> None:
        granted, _ = self._connection.subscribe(topic_filter, mqtt.QoS.AT_LEAST_ONCE)
        assert granted.result(SECONDS)["qos"] == mqtt.QoS.AT_LEAST_ONCE

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        self._connection.publish(topic, payload, mqtt.QoS(qos), retain)[0].result(SECONDS)

    def close(self) -> None:
        self._connection.disconnect().result(SECONDS)


class Sdk5(Peer):
    """AWS's SDK, its client of MQTT 5. ``packets`` are messages with their properties."""

    aliasing = mqtt5.TopicAliasingOptions(
        outbound_behavior=mqtt5.OutboundTopicAliasBehaviorType.LRU,
        inbound_behavior=mqtt5.InboundTopicAliasBehaviorType.ENABLED,
    )

    def __init__(self, way: Way, wish: Wish) -> None:
        self.packets: queue.SimpleQueue[mqtt5.PublishPacket] = queue.SimpleQueue()
        super().__init__(way, wish)

    def connect(self) -> None:
        rejoin = mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS
        fresh = mqtt5.ClientSessionBehaviorType.CLEAN
        will = self.wish.will and mqtt5.PublishPacket(
            topic=self.wish.will[0], payload=self.wish.will[1], qos=mqtt5.QoS.AT_LEAST_ONCE
        )
        tls = None
        if self.way.ca:
            wanted = io.TlsContextOptions.create_client_with_mtls_from_path(
                str(self.way.certificate), str(self.way.key)
            )
            wanted.override_default_trust_store_from_path(ca_filepath=str(self.way.ca))
            tls = io.ClientTlsContext(wanted)
        options = mqtt5.ClientOptions(
            host_name="127.0.0.1",
            port=self.way.port,
            tls_ctx=tls,
            session_behavior=rejoin if self.wish.kept else fresh,
            topic_aliasing_options=self.aliasing,
            on_publish_callback_fn=self._hear,
            on_lifecycle_event_connection_success_fn=lambda _: self._done.put("connected"),
            on_lifecycle_event_connection_failure_fn=self._done.put,
            on_lifecycle_event_stopped_fn=lambda _: self._done.put("stopped"),
            connect_options=mqtt5.ConnectPacket(
                client_id=self.wish.client_id,
                session_expiry_interval_sec=KEEP_SECONDS if self.wish.kept else None,
                will=will,
                will_delay_interval_sec=0 if will else None,
                keep_alive_interval_sec=60,
            ),
        )
        self.client = mqtt5.Client(options)
        self.client.start()
        assert self._wait() == "connected"

    def _hear(self, received: mqtt5.PublishReceivedData) -> None:
        packet = received.publish_packet
        self.packets.put(packet)
        self.heard.put(
            Heard(packet.topic, bytes(packet.payload or b""), int(packet.qos), bool(packet.retain))
        )

    def subscribe(self, topic_filter: str) -> None:
        wanted = mqtt5.Subscription(topic_filter=topic_filter, qos=mqtt5.QoS.AT_LEAST_ONCE)
        granted = self.client.subscribe(mqtt5.SubscribePacket(subscriptions=[wanted])).result(SECONDS)
        assert granted.reason_codes == [mqtt5.SubackReasonCode.GRANTED_QOS_1]

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS(qos), retain=retain)
        self.client.publish(packet).result(SECONDS)

    def close(self) -> None:
        self.client.stop(mqtt5.DisconnectPacket())
        while self._wait() != "stopped":
            pass
