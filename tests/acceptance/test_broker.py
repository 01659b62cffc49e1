"""The message broker as its clients see it, through kills of the server."""

import json
import queue
import time

import pytest
from botocore.exceptions import ClientError
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

SECONDS = 10


class Client:
    """paho over plain MQTT 5; what happens lands in queues."""

    def __init__(self, server, client_id):
        self.server = server
        self.messages, self.done = queue.SimpleQueue(), queue.SimpleQueue()
        self.session_present = False
        self.paho = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
        )
        self.paho.on_connect = lambda *given: self._connected(given[2])
        self.paho.on_disconnect = lambda *_: self.done.put("gone")
        self.paho.on_subscribe = lambda *given: self.done.put(given[3])
        self.paho.on_publish = lambda *_: self.done.put("published")
        self.paho.on_message = lambda *given: self.messages.put(given[2])

    def _connected(self, flags):
        self.session_present = flags.session_present
        self.done.put("connected")

    def connect(self, seconds_kept=0):
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = seconds_kept
        self.paho.connect(
            "127.0.0.1",
            self.server.port("mqtt"),
            clean_start=not seconds_kept,
            properties=properties,
        )
        self.paho.loop_start()
        assert self.done.get(timeout=SECONDS) == "connected"
        return self

    def subscribe(self, *filters, **options):
        self.paho.subscribe([(name, SubscribeOptions(qos=1, **options)) for name in filters])
        return self.done.get(timeout=SECONDS)

    def publish(self, topic, payload, *, qos=1, retain=False, properties=None):
        self.paho.publish(topic, payload, qos, retain, properties)
        assert self.done.get(timeout=SECONDS) == "published"

    def take(self):
        return self.messages.get(timeout=SECONDS)

    def lost(self):
        """The server is gone."""
        assert self.done.get(timeout=SECONDS) == "gone"
        self.paho.loop_stop()

    def close(self):
        self.paho.disconnect()
        self.paho.loop_stop()


def user_properties(**pairs):
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = list(pairs.items())
    return properties


def test_retained_messages_survive_kill_9(own_server):
    data = own_server.client("iot-data")
    before = int(time.time() * 1000)
    mouth = Client(own_server, "mouth").connect()
    mouth.publish("room/1", "lit", retain=True, properties=user_properties(colour="blue"))
    mouth.publish("room%2F1", "percent", retain=True)
    mouth.publish("room/2", "dark", retain=True)
    mouth.publish("room/2", "", retain=True)
    data.publish(topic="room/3", payload=b"over http", retain=True, qos=1)
    own_server.kill()
    mouth.lost()
    own_server.start()
    data = own_server.client("iot-data")
    found = data.get_retained_message(topic="room/1")
    assert (found["topic"], found["payload"], found["qos"]) == ("room/1", b"lit", 1)
    assert json.loads(found["userProperties"]) == [{"colour": "blue"}]
    assert before <= found["lastModifiedTime"] <= time.time() * 1000
    assert data.get_retained_message(topic="room%2F1")["payload"] == b"percent"
    with pytest.raises(ClientError) as refused:
        data.get_retained_message(topic="room/2")
    assert refused.value.response["Error"]["Code"] == "ResourceNotFoundException"
    first = data.list_retained_messages(maxResults=2)
    rest = data.list_retained_messages(maxResults=2, nextToken=first["nextToken"])
    listed = first["retainedTopics"] + rest["retainedTopics"]
    assert [(each["topic"], each["payloadSize"]) for each in listed] == [
        ("room%2F1", 7), ("room/1", 3), ("room/3", 9),
    ]  # fmt: skip
    assert "nextToken" not in rest
    ear = Client(own_server, "ear").connect()
    ear.subscribe("room/+")
    messages = {message.topic: message for message in (ear.take(), ear.take())}
    assert set(messages) == {"room/1", "room/3"}
    assert all(message.retain for message in messages.values())
    assert messages["room/1"].properties.UserProperty == [("colour", "blue")]
    data.publish(topic="room/1", payload=b"", retain=True)
    assert [each["topic"] for each in data.list_retained_messages()["retainedTopics"]] == [
        "room%2F1",
        "room/3",
    ]
    ear.close()


def test_a_shared_subscription_divides_the_work(server):
    members = [Client(server, f"member-{number}").connect() for number in range(3)]
    for member in members:
        member.subscribe("$share/crew/jobs-to-do/+")
    mouth = Client(server, "foreman").connect()
    for number in range(12):
        mouth.publish(f"jobs-to-do/{number}", str(number))
    found = [[int(member.take().payload) for _ in range(4)] for member in members]
    assert found == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    for each in (*members, mouth):
        each.close()


def test_a_session_survives_kill_9_with_everything_that_waits_for_it(own_server):
    ear = Client(own_server, "ear").connect(seconds_kept=600)
    ear.subscribe("news/+", "$share/crew/work")
    ear.close()
    mouth = Client(own_server, "mouth").connect()
    for number in range(5):
        mouth.publish(f"news/{number}", "told", properties=user_properties(number=str(number)))
    mouth.publish("work", "shared")
    own_server.kill()
    mouth.lost()
    own_server.start()
    own_server.client("iot-data").publish(topic="news/5", qos=1, payload=b"told")
    ear = Client(own_server, "ear").connect(seconds_kept=600)
    assert ear.session_present
    topics = [ear.take().topic for _ in range(7)]
    assert topics == ["news/0", "news/1", "news/2", "news/3", "news/4", "work", "news/5"]
    ear.close()
    own_server.stop()
    own_server.start()
    ear = Client(own_server, "ear").connect(seconds_kept=600)
    assert ear.session_present
    own_server.client("iot-data").publish(topic="news/end", qos=1, payload=b"end")
    assert ear.take().topic == "news/end"
    ear.close()


def test_a_device_is_told_after_kill_9_only_what_it_missed(own_server, make_fleet, make_link, tmp_path):
    fleet = make_fleet(own_server, tmp_path)
    thing = fleet.thing("pump")
    device = fleet.device(thing, make_link(5, False), clean=False)
    device.subscribe("notify-next")
    fleet.iot.create_job(jobId="one", targets=[fleet.arn(thing)], document="{}")
    assert device.take_named("notify-next")["execution"]["jobId"] == "one"
    device.quiet()
    own_server.kill()
    own_server.start()
    device.connect(clean=False)
    assert device.session_present
    device.quiet()
    device.drop()
    own_server.kill()
    own_server.start()
    fleet = make_fleet(own_server, tmp_path)
    fleet.iot.cancel_job(jobId="one")
    device.connect(clean=False)
    assert "execution" not in device.take_named("notify-next")
    device.quiet()
    device.disconnect()


def test_what_a_publisher_was_told_is_delivered_after_kill_9(own_server):
    ear = Client(own_server, "ear").connect(seconds_kept=600)
    ear.subscribe("flood")
    ear.close()
    expected, told = set(), set()
    for start in (0, 400):
        mouth = Client(own_server, "mouth")
        mids = queue.SimpleQueue()
        mouth.paho.on_publish = lambda *given, mids=mids: mids.put(given[2])
        mouth.paho.max_inflight_messages_set(90)
        mouth.connect()
        sent = {mouth.paho.publish("flood", str(n), 1).mid: n for n in range(start, start + 400)}
        acknowledged = {mids.get(timeout=SECONDS) for _ in range(150)}
        own_server.kill()
        mouth.lost()
        while not mids.empty():
            acknowledged.add(mids.get())
        expected |= {sent[mid] for mid in acknowledged}
        own_server.start()
    ear = Client(own_server, "ear").connect(seconds_kept=600)
    assert ear.session_present
    while not expected <= told:
        told.add(int(ear.take().payload))
    assert len(expected) >= 300
    ear.close()


def test_wills_survive_kill_9_and_a_delayed_one_an_ordinary_stop(own_server):
    ear = Client(own_server, "ear").connect(seconds_kept=600)
    ear.subscribe("wills/#")
    ear.close()
    lost = []
    for name, delay in (("now", 0), ("later", 3), ("back", 3)):
        client = Client(own_server, name)
        properties = Properties(PacketTypes.WILLMESSAGE)
        properties.WillDelayInterval = delay
        client.paho.will_set(f"wills/{name}", b"gone", 1, properties=properties)
        lost.append(client.connect(seconds_kept=600))
    own_server.kill()
    for client in lost:
        client.lost()
    own_server.start()
    back = Client(own_server, "back").connect(seconds_kept=600)
    own_server.stop()
    own_server.start()
    ear = Client(own_server, "ear").connect(seconds_kept=600)
    assert [ear.take().topic for _ in range(2)] == ["wills/now", "wills/later"]
    own_server.client("iot-data").publish(topic="wills/end", qos=1, payload=b"end")
    assert ear.take().topic == "wills/end"
    back.lost()
    ear.close()
