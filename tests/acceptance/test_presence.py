"""Presence and subscription events, and who is told them, by real clients."""

import json
import queue
import time

import pytest
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

SECONDS = 20
EVENTS = "$aws/events/#"


class Client:
    """paho over plain MQTT 5; the events that it hears, in order, without those of others' names."""

    def __init__(self, server, client_id, *, seconds_kept=0):
        self.server, self.seconds_kept = server, seconds_kept
        self.messages, self.done = queue.SimpleQueue(), queue.SimpleQueue()
        self.paho = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
        )
        self.paho.on_connect = lambda *_: self.done.put("connected")
        self.paho.on_disconnect = lambda *given: self.done.put(("gone", str(given[3])))
        self.paho.on_subscribe = lambda *given: self.done.put(given[3])
        self.paho.on_unsubscribe = lambda *_: self.done.put("unsubscribed")
        self.paho.on_message = lambda *given: self.messages.put(given[2])

    def connect(self):
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = self.seconds_kept
        port = self.server.port("mqtt")
        self.paho.connect("127.0.0.1", port, clean_start=not self.seconds_kept, properties=properties)
        self.paho.loop_start()
        assert self.done.get(timeout=SECONDS) == "connected"
        return self

    def subscribe(self, *filters):
        self.paho.subscribe([(name, 1) for name in filters])
        return self.done.get(timeout=SECONDS)

    def disconnect(self):
        self.paho.disconnect()
        assert self.done.get(timeout=SECONDS)[0] == "gone"
        self.paho.loop_stop()

    def drop(self):
        self.paho.socket().shutdown(2)
        assert self.done.get(timeout=SECONDS)[0] == "gone"
        self.paho.loop_stop()

    def event(self, kind, client_id):
        """The next event that concerns this client, which must be of this kind."""
        while True:
            message = self.messages.get(timeout=SECONDS)
            if message.topic.endswith(f"/{client_id}"):
                assert message.topic.split("/")[-2:] == [kind, client_id], message.topic
                assert message.qos == 1
                assert not message.retain
                return json.loads(message.payload)


@pytest.fixture
def watcher(server):
    made = Client(server, "presence-watcher").connect()
    assert [code.value for code in made.subscribe(EVENTS)] == [1]
    yield made
    made.disconnect()


def test_a_life_of_a_client_is_told_in_aws_words(server, watcher):
    began = time.time() * 1000 - 1
    client = Client(server, "life").connect()
    came = watcher.event("connected", "life")
    assert set(came) == {
        "clientId",
        "timestamp",
        "eventType",
        "sessionIdentifier",
        "principalIdentifier",
        "ipAddress",
        "versionNumber",
    }
    assert (came["clientId"], came["eventType"], came["ipAddress"]) == ("life", "connected", "127.0.0.1")
    assert began <= came["timestamp"] <= time.time() * 1000 + 1
    client.subscribe("a/+", "b/#", "$aws/things/other/jobs/notify")
    listens = watcher.event("subscribed", "life")
    assert set(listens) == {
        "clientId",
        "timestamp",
        "eventType",
        "sessionIdentifier",
        "principalIdentifier",
        "topics",
    }
    assert listens["topics"][:2] == ["a/+", "b/#"]
    client.paho.unsubscribe(["a/+", "never/there"])
    assert client.done.get(timeout=SECONDS) == "unsubscribed"
    assert watcher.event("unsubscribed", "life")["topics"] == ["a/+"]
    client.disconnect()
    left = watcher.event("disconnected", "life")
    assert (left["clientInitiatedDisconnect"], left["disconnectReason"]) == (
        True,
        "CLIENT_INITIATED_DISCONNECT",
    )
    assert "ipAddress" not in left
    assert left["sessionIdentifier"] == came["sessionIdentifier"] == listens["sessionIdentifier"]
    assert left["versionNumber"] > came["versionNumber"]


def test_a_resumed_session_keeps_its_identifier_and_subscribes_nothing(server, watcher):
    client = Client(server, "resumes", seconds_kept=60).connect()
    first = watcher.event("connected", "resumes")
    client.subscribe("x")
    watcher.event("subscribed", "resumes")
    client.drop()
    lost = watcher.event("disconnected", "resumes")
    assert (lost["clientInitiatedDisconnect"], lost["disconnectReason"]) == (False, "CONNECTION_LOST")
    again = Client(server, "resumes", seconds_kept=60).connect()
    second = watcher.event("connected", "resumes")
    assert second["sessionIdentifier"] == first["sessionIdentifier"]
    versions = [each["versionNumber"] for each in (first, lost, second)]
    assert versions == sorted(set(versions))
    again.disconnect()
    watcher.event("disconnected", "resumes")  # and no subscribed before it
    anew = Client(server, "resumes").connect()
    assert watcher.event("connected", "resumes")["sessionIdentifier"] != first["sessionIdentifier"]
    anew.disconnect()


def test_a_client_that_is_taken_over_leaves_before_the_other_comes(server, watcher):
    one = Client(server, "twice").connect()
    watcher.event("connected", "twice")
    other = Client(server, "twice").connect()
    assert watcher.event("disconnected", "twice")["disconnectReason"] == "DUPLICATE_CLIENTID"
    assert watcher.event("connected", "twice")["eventType"] == "connected"
    assert one.done.get(timeout=SECONDS)[0] == "gone"
    one.paho.loop_stop()
    other.disconnect()
    assert watcher.event("disconnected", "twice")["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"


def test_wildcards_in_front_do_not_hear_of_it_and_ids_with_wildcards_are_not_told(server, watcher):
    every = Client(server, "hears-everything").connect()
    every.subscribe("#", "+/events/presence/#")
    for name in ("odd#", "odd+", "plain"):
        Client(server, name).connect().disconnect()
    assert watcher.event("connected", "plain")["clientId"] == "plain"
    every.paho.publish("end", b"", 1)
    heard = iter(lambda: every.messages.get(timeout=SECONDS).topic, "end")
    assert not [topic for topic in heard if topic.startswith("$")]
    every.disconnect()
    watcher.event("disconnected", "plain")
    heard = []
    while not watcher.messages.empty():
        heard.append(watcher.messages.get().topic)
    assert not [topic for topic in heard if "odd" in topic]


def test_policies_decide_who_hears_and_certificates_are_named(fleet, make_link, server):
    watcher = Client(server, "presence-of-certificates").connect()
    watcher.subscribe("$aws/events/presence/+/#")
    thing = fleet.thing()
    device = fleet.device(thing, make_link(4, True))
    came = watcher.event("connected", thing)
    certificate = fleet.identity(thing).certificate_id
    assert came["principalIdentifier"] == certificate
    device.disconnect()
    assert watcher.event("disconnected", thing)["principalIdentifier"] == certificate
    watcher.disconnect()


def test_topic_rules_see_it(server):
    iot = server.client("iot")
    iot.create_topic_rule(
        ruleName="presence_seen",
        topicRulePayload={
            "sql": "SELECT eventType AS what, clientId AS who FROM '$aws/events/presence/connected/ruled'",
            "actions": [
                {
                    "republish": {
                        "roleArn": "arn:aws:iam::000000000000:role/rules",
                        "topic": "rules/presence",
                        "qos": 1,
                    }
                }
            ],
        },
    )
    listener = Client(server, "listens-to-the-rule").connect()
    listener.subscribe("rules/presence")
    Client(server, "ruled").connect().disconnect()
    assert json.loads(listener.messages.get(timeout=SECONDS).payload) == {
        "what": "connected",
        "who": "ruled",
    }
    listener.disconnect()
    iot.delete_topic_rule(ruleName="presence_seen")


def test_wills_are_published_when_the_server_stops(own_server):
    watcher = Client(own_server, "away", seconds_kept=600).connect()
    watcher.subscribe("wills/#")
    watcher.drop()
    client = Client(own_server, "with-a-will")
    client.paho.will_set("wills/with-a-will", b"gone", 1, retain=True)
    client.connect()
    assert own_server.stop() == 0
    assert client.done.get(timeout=SECONDS)[0] == "gone"
    client.paho.loop_stop()
    own_server.start()
    watcher = Client(own_server, "away", seconds_kept=600).connect()
    message = watcher.messages.get(timeout=SECONDS)
    assert (message.topic, message.payload) == ("wills/with-a-will", b"gone")
    retained = own_server.client("iot-data").get_retained_message(topic="wills/with-a-will")
    assert retained["payload"] == b"gone"
    watcher.disconnect()
