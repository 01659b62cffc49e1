"""MQTT over WebSocket with the clients that people use: paho and AWS's device SDK, signed and with certificates."""

import json
import queue
import threading
import time

import pytest
from awscrt import auth, mqtt, mqtt5
from awsiot import mqtt5_client_builder, mqtt_connection_builder
from outfitter_server.access.sessions import Session, make_session
from outfitter_server.access.signature import Credentials
from paho.mqtt import client as paho
from raw_websocket import RawWebSocket, signed_headers, signed_target

SECONDS = 20
LIVES = ["http", "https"]


class Browserlike:
    """paho over WebSocket."""

    def __init__(self, server, *, version, tls, client_id, target="/mqtt", headers=None, identity=None):
        self.inbox = queue.SimpleQueue()
        self.subscribed, self.published = queue.SimpleQueue(), queue.SimpleQueue()
        self.answered, self.closed = queue.SimpleQueue(), queue.SimpleQueue()
        five = version == "5"
        made = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=client_id,
            transport="websockets",
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
            reconnect_on_failure=False,
        )
        made.ws_set_options(path=target, headers=headers)
        if identity is not None:
            made.tls_set_context(identity.make_context(server.ca))
        elif tls:
            made.tls_set(str(server.ca))
        made.on_connect = lambda *given: self.answered.put(given[3])
        made.on_disconnect = lambda *given: self.closed.put(given[3])
        made.on_message = lambda *given: self.inbox.put(given[2])
        made.on_subscribe = lambda *given: self.subscribed.put(given[3])
        made.on_publish = lambda *given: self.published.put(given[3])
        made.connect("127.0.0.1", server.port("https" if tls else "http"))
        made.loop_start()
        self.client = made

    def connected(self):
        reason = self.answered.get(timeout=SECONDS)
        assert not reason.is_failure, reason
        return self

    def subscribe(self, *filters):
        self.client.subscribe([(name, 1) for name in filters])
        return [reason.value for reason in self.subscribed.get(timeout=SECONDS)]

    def publish(self, topic, payload, qos=1):
        self.client.publish(topic, payload, qos)
        return self.published.get(timeout=SECONDS)

    def take(self):
        found = self.inbox.get(timeout=SECONDS)
        return found.topic, found.payload

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def connect(server):
    made = []

    def make(**wishes):
        made.append(Browserlike(server, **wishes))
        return made[-1]

    yield make
    for each in made:
        each.close()


def signed(server, *, tls=False, **options):
    origin = server.https if tls else server.http
    return signed_target(origin, server.access_key, server.secret_key, **options)


def connectivity(server, thing):
    found = server.client("iot").search_index(queryString=f"thingName:{thing}")["things"]
    return found[0].get("connectivity", {}) if found else {}


@pytest.mark.parametrize("version", ["3.1.1", "5"])
@pytest.mark.parametrize("tls", [False, True], ids=LIVES)
def test_who_signs_may_do_what_the_access_key_may(server, connect, fleet, eventually, version, tls):
    thing = fleet.thing()
    client = connect(version=version, tls=tls, client_id=thing, target=signed(server, tls=tls)).connected()
    topic = f"free/{thing}"
    assert client.subscribe(topic, "$aws/events/job/#", f"$aws/things/{thing}/jobs/notify") == [1, 1, 1]
    large = b"x" * 131_072
    assert client.publish(topic, large).value == 0
    assert client.take() == (topic, large)
    eventually(lambda: connectivity(server, thing).get("connected"))
    job = fleet.job(thing)
    notified, payload = client.take()
    assert notified == f"$aws/things/{thing}/jobs/notify"
    assert [each["jobId"] for each in json.loads(payload)["jobs"]["QUEUED"]] == [job]
    client.publish(f"$aws/things/{thing}/jobs/{job}/get", b"{}")
    answered, payload = client.take()
    assert answered.endswith(f"/{job}/get/accepted")
    assert json.loads(payload)["execution"]["status"] == "QUEUED"
    client.close()
    eventually(lambda: connectivity(server, thing).get("connected") is False)


def test_a_signed_client_is_no_exception_where_the_service_alone_writes(server, connect):
    client = connect(version="5", tls=False, client_id="signed-writer", target=signed(server)).connected()
    assert client.subscribe("$SYS/#", "free/ok") == [0x8F, 1]
    assert client.publish("$aws/events/job/x/completed", b"{}").value == 0x90


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_a_certificate_decides_as_it_does_on_the_mqtt_port(server, connect, fleet, version):
    thing = fleet.thing()
    identity = fleet.identity(thing)
    client = connect(version=version, tls=True, client_id=thing, identity=identity).connected()
    assert client.subscribe(f"free/{thing}") == [1]
    client.publish(f"free/{thing}", b"over the web")
    assert client.take() == (f"free/{thing}", b"over the web")
    other = connect(version=version, tls=True, client_id=f"not-{thing}", identity=identity)
    reason = other.closed.get(timeout=SECONDS) if version == "3.1.1" else other.answered.get(timeout=SECONDS)
    assert reason.is_failure
    server.client("iot").update_certificate(certificateId=identity.certificate_id, newStatus="INACTIVE")
    assert client.closed.get(timeout=SECONDS).is_failure


def test_a_signature_counts_more_than_the_certificate_beside_it(server, connect, fleet):
    thing = fleet.thing()
    client = connect(
        version="5",
        tls=True,
        client_id=f"operator-of-{thing}",
        identity=fleet.identity(thing),
        target=signed(server, tls=True),
    ).connected()
    assert client.subscribe("$aws/events/#") == [1]


def test_a_signature_in_the_headers_is_as_good(server, connect):
    headers = signed_headers(server.http, server.access_key, server.secret_key)
    client = connect(version="5", tls=False, client_id="by-headers", headers=headers).connected()
    assert client.subscribe("free/headers") == [1]


def test_clients_of_both_doors_hear_each_other(server, connect, fleet, make_link):
    device = fleet.device(fleet.thing(), make_link(5, True))
    topic = f"free/{device.thing}"
    client = connect(version="5", tls=False, client_id="listener", target=signed(server)).connected()
    client.subscribe(topic)
    device.subscribe(topic)
    device.publish(topic, {"from": "the device"})
    assert json.loads(client.take()[1]) == {"from": "the device"}
    assert device.take().body == {"from": "the device"}
    client.publish(topic, b'{"from": "the page"}')
    assert device.take().body == {"from": "the page"}


@pytest.mark.parametrize("token_signed", [True, False], ids=["signed", "added afterwards"])
def test_a_session_token_stands_where_its_sdk_puts_it(server, token_signed):
    root = Credentials(access_key_id=server.access_key, secret_access_key=server.secret_key)
    soon = int(time.time() * 1000) + 60_000
    lent = make_session(root, Session(arn="arn:aws:sts::000000000000:assumed-role/r/s", expires_at=soon), "n")
    known = (lent.access_key_id, lent.secret_access_key)
    good = signed_target(server.http, *known, token=lent.session_token, token_signed=token_signed)
    bad = signed_target(server.http, *known, token="nobody's", token_signed=token_signed)
    with RawWebSocket(server.http, good) as raw:
        assert raw.upgrade()[0] == 101
    with RawWebSocket(server.http, bad) as raw:
        status, headers, body = raw.upgrade()
    assert (status, headers["x-amzn-errortype"]) == (403, "UnrecognizedClientException")
    assert "token" in json.loads(body)["message"]


@pytest.fixture
def sdk(server):
    """What AWS's device SDK is told of the connection; it signs by itself."""
    return {
        "endpoint": "localhost",
        "port": server.port("https"),
        "ca_filepath": str(server.ca),
        "region": "us-east-1",
        "credentials_provider": auth.AwsCredentialsProvider.new_static(server.access_key, server.secret_key),
    }


@pytest.fixture
def sdk_5(sdk):
    """A started client of MQTT 5, and what it was told: outcomes of connecting, and messages."""
    outcomes, messages, stopped = queue.SimpleQueue(), queue.SimpleQueue(), threading.Event()
    client = mqtt5_client_builder.websockets_with_default_aws_signing(
        client_id="sdk-5",
        on_publish_received=lambda data: messages.put(data.publish_packet),
        on_lifecycle_connection_success=lambda data: outcomes.put(data.connack_packet.reason_code),
        on_lifecycle_connection_failure=lambda data: outcomes.put(data.exception),
        on_lifecycle_stopped=lambda _: stopped.set(),
        **sdk,
    )
    client.start()
    yield client, outcomes, messages
    client.stop()
    assert stopped.wait(SECONDS)


def test_awss_sdk_of_mqtt_5_signs_its_way_in(sdk_5):
    client, outcomes, messages = sdk_5
    assert outcomes.get(timeout=SECONDS) == mqtt5.ConnectReasonCode.SUCCESS
    wanted = mqtt5.Subscription("free/sdk-5", mqtt5.QoS.AT_LEAST_ONCE)
    assert client.subscribe(mqtt5.SubscribePacket([wanted])).result(SECONDS).reason_codes == [1]
    large = b"x" * 100_000
    packet = mqtt5.PublishPacket(topic="free/sdk-5", payload=large, qos=mqtt5.QoS.AT_LEAST_ONCE)
    assert client.publish(packet).result(SECONDS).puback.reason_code == 0
    assert messages.get(timeout=SECONDS).payload == large


def test_awss_sdk_of_mqtt_3_signs_its_way_in(sdk):
    messages = queue.SimpleQueue()
    connection = mqtt_connection_builder.websockets_with_default_aws_signing(
        client_id="sdk-3", clean_session=True, keep_alive_secs=60, **sdk
    )
    connection.connect().result(SECONDS)
    granted, _ = connection.subscribe(
        "free/sdk-3", mqtt.QoS.AT_LEAST_ONCE, lambda topic, payload, **_: messages.put((topic, payload))
    )
    assert granted.result(SECONDS)["qos"] == mqtt.QoS.AT_LEAST_ONCE
    connection.publish("free/sdk-3", b"hello", mqtt.QoS.AT_LEAST_ONCE)[0].result(SECONDS)
    assert messages.get(timeout=SECONDS) == ("free/sdk-3", b"hello")
    connection.disconnect().result(SECONDS)
