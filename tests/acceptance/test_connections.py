"""What AWS's clients are told of connections, and how they end one: GetConnection, DeleteConnection, ListSubscriptions, GetThingConnectivityData."""

import json
import queue
import subprocess
import sys
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

SECONDS = 20


def connect(server, client_id, *, seconds_kept=0, will=None, filters=()):
    """A client of plain MQTT 5 whose end is in ``done``, and what it was sent in ``messages``."""
    client = paho.Client(
        paho.CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5, reconnect_on_failure=False
    )
    client.done, client.messages = queue.SimpleQueue(), queue.SimpleQueue()
    client.on_connect = lambda *_: client.done.put("connected")
    client.on_subscribe = lambda *_: client.done.put("subscribed")
    client.on_disconnect = lambda *given: client.done.put(given[3].value)
    client.on_message = lambda *given: client.messages.put(given[2])
    if will:
        client.will_set(will, b"gone", 1)
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = seconds_kept
    client.connect(
        "127.0.0.1",
        server.port("mqtt"),
        keepalive=77,
        clean_start=not seconds_kept,
        properties=properties,
    )
    client.loop_start()
    assert client.done.get(timeout=SECONDS) == "connected"
    if filters:
        client.subscribe([(name, 1) for name in filters])
        assert client.done.get(timeout=SECONDS) == "subscribed"
    return client


def leave(client):
    client.disconnect()
    assert client.done.get(timeout=SECONDS) == 0
    client.loop_stop()


def code(refused):
    return refused.value.response["Error"]["Code"]


@pytest.fixture
def data(server):
    return server.client("iot-data")


def test_a_connection_is_described_while_it_is_there_and_after(server, data, eventually):
    began = time.time() * 1000 - 1
    client = connect(server, "described", seconds_kept=60)
    found = data.get_connection(clientId="described")
    assert found.pop("ResponseMetadata")
    assert began <= found.pop("connectedSince") <= time.time() * 1000 + 1
    assert found == {
        "clientId": "described",
        "connected": True,
        "thingName": "described",
        "cleanSession": False,
        "sessionExpiry": 60,
        "keepAliveDuration": 77,
    }
    socket = data.get_connection(clientId="described", includeSocketInformation=True)
    assert (socket["sourceIp"], socket["targetPort"]) == ("127.0.0.1", server.port("mqtt"))
    assert socket["sourcePort"] == client.socket().getsockname()[1]
    leave(client)
    left = eventually(lambda: not (now := data.get_connection(clientId="described"))["connected"] and now)
    assert left["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"
    assert left["disconnectedSince"] >= began
    assert "connectedSince" not in left
    with pytest.raises(ClientError) as refused:
        data.get_connection(clientId="never-seen")
    assert code(refused) == "ResourceNotFoundException"


def test_subscriptions_are_listed_in_pages_also_of_a_client_that_is_away(server, data):
    client = connect(server, "listens", seconds_kept=60, filters=("c/#", "a", "b/+"))
    leave(client)
    first = data.list_subscriptions(clientId="listens", maxResults=2)
    assert [(each["topicFilter"], each["qos"]) for each in first["subscriptions"]] == [("a", 1), ("b/+", 1)]
    rest = data.list_subscriptions(clientId="listens", maxResults=2, nextToken=first["nextToken"])
    assert [each["topicFilter"] for each in rest["subscriptions"]] == ["c/#"]
    assert "nextToken" not in rest
    with pytest.raises(ClientError) as refused:
        data.list_subscriptions(clientId="never-seen")
    assert code(refused) == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("options", "with_will", "kept"),
    [({}, True, True), ({"preventWillMessage": True}, False, True), ({"cleanSession": True}, True, False)],
    ids=["as it is", "without its will", "with its session"],
)
def test_a_connection_is_deleted(server, data, options, with_will, kept):
    name = f"deleted-{len(options)}-{kept}"
    ear = connect(server, f"{name}-ear", filters=(f"wills/{name}", "$aws/events/presence/disconnected/#"))
    client = connect(server, name, seconds_kept=60, will=f"wills/{name}", filters=("x",))
    data.delete_connection(clientId=name, **options)
    assert client.done.get(timeout=SECONDS) == 0x98  # administrative action
    client.loop_stop()
    heard = [ear.messages.get(timeout=SECONDS) for _ in range(1 + with_will)]
    told = {message.topic: message.payload for message in heard}
    left = json.loads(told[f"$aws/events/presence/disconnected/{name}"])
    assert (left["disconnectReason"], left["clientInitiatedDisconnect"]) == (
        "API_INITIATED_DISCONNECT",
        False,
    )
    assert (f"wills/{name}" in told) is with_will
    ear.publish(f"wills/{name}", b"the end", 1)
    assert ear.messages.get(timeout=SECONDS).payload == b"the end"
    if kept:
        assert data.list_subscriptions(clientId=name)["subscriptions"]
    else:
        with pytest.raises(ClientError) as refused:
            data.list_subscriptions(clientId=name)
        assert code(refused) == "ResourceNotFoundException"
    leave(ear)
    with pytest.raises(ClientError) as refused:
        data.delete_connection(clientId=name)
    assert code(refused) == "ResourceNotFoundException"


def test_a_thing_tells_whether_it_is_connected(fleet, make_link, server, eventually):
    iot, thing = server.client("iot"), fleet.thing()
    never = iot.get_thing_connectivity_data(thingName=thing)
    assert {name: never[name] for name in never if name != "ResponseMetadata"} == {
        "thingName": thing,
        "connected": False,
    }
    began = time.time() - 1
    device = fleet.device(thing, make_link(5, True))
    found = iot.get_thing_connectivity_data(thingName=thing, includeSocketInformation=True)
    assert (found["connected"], found["clientId"], found["sourceIp"]) == (True, thing, "127.0.0.1")
    assert began <= found["timestamp"].timestamp() <= time.time() + 1
    device.drop()
    left = eventually(
        lambda: not (now := iot.get_thing_connectivity_data(thingName=thing))["connected"] and now
    )
    assert left["disconnectReason"] == "CONNECTION_LOST"
    with pytest.raises(ClientError) as refused:
        iot.get_thing_connectivity_data(thingName="no-such-thing")
    assert code(refused) == "ResourceNotFoundException"


def test_who_is_taken_over_late_does_not_mark_the_other_one_offline(fleet, make_link, server, eventually):
    iot, thing = server.client("iot"), fleet.thing()
    one = fleet.device(thing, make_link(4, True))
    other = fleet.device(thing, make_link(4, True))
    assert one.closed.wait(SECONDS)
    one.disconnect()
    other.ask("get")
    assert iot.get_thing_connectivity_data(thingName=thing)["connected"]
    other.disconnect()
    eventually(lambda: not iot.get_thing_connectivity_data(thingName=thing)["connected"])
    found = iot.get_thing_connectivity_data(thingName=thing)
    assert found["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"


def test_nobody_is_connected_after_a_restart(own_server, eventually):
    iot = own_server.client("iot")
    iot.create_thing(thingName="waits")
    client = connect(own_server, "waits", seconds_kept=600)
    assert iot.get_thing_connectivity_data(thingName="waits")["connected"]
    own_server.kill()
    client.loop_stop()
    own_server.start()
    found = own_server.client("iot").get_thing_connectivity_data(thingName="waits")
    assert not found["connected"]
    assert "disconnectReason" not in found
    kept = own_server.client("iot-data").get_connection(clientId="waits")
    assert (kept["connected"], kept["sessionExpiry"]) == (False, 600)


def test_who_was_connected_at_a_stop_left_then(own_server, eventually):
    iot = own_server.client("iot")
    iot.update_indexing_configuration(
        thingIndexingConfiguration={
            "thingIndexingMode": "REGISTRY",
            "thingConnectivityIndexingMode": "STATUS",
        }
    )
    iot.create_thing(thingName="stays")
    leave(connect(own_server, "stays"))
    left = "CLIENT_INITIATED_DISCONNECT"
    eventually(lambda: iot.get_thing_connectivity_data(thingName="stays").get("disconnectReason") == left)
    client = connect(own_server, "stays")
    before = time.time()
    assert own_server.stop() == 0
    client.loop_stop()
    own_server.start()
    found = own_server.client("iot").get_thing_connectivity_data(thingName="stays")
    assert (found["connected"], found["disconnectReason"]) == (False, "SERVER_INITIATED_DISCONNECT")
    assert before - 1 < found["timestamp"].timestamp() < time.time() + 1


def test_the_command_line_of_aws_deletes_one(server, eventually):
    client = connect(server, "by-the-command-line")
    aws = Path(sys.executable).with_name("aws")
    subprocess.run(
        [aws, "iot-data", "delete-connection", "--client-id", "by-the-command-line"],
        env=server.environment(),
        check=True,
        timeout=60,
    )
    assert client.done.get(timeout=SECONDS) == 0x98
    client.loop_stop()
