import asyncio
import json
import queue
import ssl
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.properties import Properties

VERSIONS = [pytest.param(mqtt.MQTTv311, id="3.1.1"), pytest.param(mqtt.MQTTv5, id="5")]


class Paho:
    """A paho client with its network loop in its own thread; what happens lands in queues."""

    def __init__(self, client_id: str, protocol: int, tls: ssl.SSLContext | None = None) -> None:
        self.messages: queue.Queue[Any] = queue.Queue()
        self.connected: queue.Queue[Any] = queue.Queue()
        self.subscribed: queue.Queue[Any] = queue.Queue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol)
        if tls is not None:
            self.client.tls_set_context(tls)
        self.client.on_connect = lambda *arguments: self.connected.put(arguments[3])
        self.client.on_message = lambda *arguments: self.messages.put(arguments[2])
        self.client.on_subscribe = lambda *arguments: self.subscribed.put(arguments[3])

    async def connect(self, port: int, host: str = "127.0.0.1") -> Any:
        await asyncio.to_thread(self.client.connect, host, port)
        self.client.loop_start()
        return await asyncio.to_thread(self.connected.get, timeout=5)

    async def subscribe(self, *filters: str) -> Any:
        self.client.subscribe([(topic_filter, 1) for topic_filter in filters])
        return await asyncio.to_thread(self.subscribed.get, timeout=5)

    async def message(self) -> Any:
        return await asyncio.to_thread(self.messages.get, timeout=5)

    async def stop(self) -> None:
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)


def tls_context(pki, certificate=None, key=None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pki.ca_file))
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


@pytest.mark.parametrize("protocol", VERSIONS)
async def test_request_is_answered_without_a_subscription_to_the_answer(world, protocol):
    paho = Paho("dev-1", protocol)
    assert (await paho.connect(world.port)).value == 0
    info = paho.client.publish("$aws/things/dev-1/jobs/get", json.dumps({"clientToken": "t"}), qos=1)
    message = await paho.message()
    assert message.topic == "$aws/things/dev-1/jobs/get/accepted"
    assert message.qos == 1
    body = json.loads(message.payload)
    assert body["clientToken"] == "t"
    assert body["queuedJobs"][0]["jobId"] == "job-1"
    await asyncio.to_thread(info.wait_for_publish, 5)
    await paho.stop()


@pytest.mark.parametrize("protocol", VERSIONS)
async def test_over_tls_with_certificate(tls_world, pki, protocol):
    certificate, key, der = pki.device("dev-1")
    tls_world.devices.add(der, "dev-1")
    paho = Paho("dev-1", protocol, tls_context(pki, certificate, key))
    assert (await paho.connect(tls_world.tls_port, "localhost")).value == 0
    await paho.subscribe("$aws/things/dev-1/jobs/notify-next", "free/#")
    paho.client.publish("$aws/things/dev-1/jobs/$next/get", "", qos=1)
    assert (await paho.message()).topic == "$aws/things/dev-1/jobs/$next/get/accepted"
    assert tls_world.delivery.hosts[-1] == ("localhost", "127.0.0.1")
    tls_world.change("dev-1")
    assert json.loads((await paho.message()).payload)["execution"]["jobId"] == "job-1"
    paho.client.publish("free/talk", "hello", qos=1)
    assert (await paho.message()).payload == b"hello"
    await paho.stop()


@pytest.mark.parametrize("protocol", VERSIONS)
async def test_clients_talk_to_each_other(world, protocol):
    ear, mouth = Paho("ear", protocol), Paho("mouth", protocol)
    await ear.connect(world.port)
    await mouth.connect(world.port)
    await ear.subscribe("room/+/talk")
    properties = None
    if protocol == mqtt.MQTTv5:
        properties = Properties(mqtt.PacketTypes.PUBLISH)
        properties.UserProperty = ("colour", "blue")
        properties.MessageExpiryInterval = 60
    for qos in (0, 1):
        mouth.client.publish("room/a/talk", f"said {qos}", qos=qos, properties=properties)
        message = await ear.message()
        assert (message.payload, message.qos) == (f"said {qos}".encode(), qos)
        if properties is not None:
            assert message.properties.UserProperty == [("colour", "blue")]
            assert message.properties.MessageExpiryInterval in (59, 60)
    await ear.stop()
    await mouth.stop()


async def test_unknown_certificate_gets_code_5(tls_world, pki):
    certificate, key, _ = pki.device("stranger")
    paho = Paho("stranger", mqtt.MQTTv311, tls_context(pki, certificate, key))
    assert (await paho.connect(tls_world.tls_port, "localhost")) == "Not authorized"
    await paho.stop()
