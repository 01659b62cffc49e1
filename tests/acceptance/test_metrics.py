"""``/_outfitter/metrics`` by real scrapes of a real server, read by Prometheus's own parsers."""

import json
import urllib.error
import urllib.request

import pytest
from outfitter_server.main.metric_families import FAMILIES
from paho.mqtt import client as paho
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def fetch(server, accept="text/plain", method="GET"):
    request = urllib.request.Request(
        f"{server.http}/_outfitter/metrics", headers={"Accept": accept}, method=method
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def scrape(server):
    """Every sample: the value by its name and its label values."""
    found = {}
    for family in parse_openmetrics(fetch(server, OPENMETRICS)[1]):
        for sample in family.samples:
            found[(sample.name, *sample.labels.values())] = sample.value
    return found


def rise(before, after, *key):
    return after.get(key, 0) - before.get(key, 0)


@pytest.mark.parametrize(("accept", "parse"), [("text/plain", parse_text), (OPENMETRICS, parse_openmetrics)])
def test_what_is_exported_is_what_is_documented(server, accept, parse):
    kind, text = fetch(server, accept)
    assert kind.startswith(accept.partition(";")[0])
    families = {family.name: family for family in parse(text)}
    ours = {name: family for name, family in families.items() if name.startswith("outfitter_")}
    assert {name: (each.type, each.documentation) for name, each in ours.items()} == {
        each.name: (each.kind.value, each.help) for each in FAMILIES
    }
    for each in FAMILIES:
        for sample in ours[each.name].samples:
            assert set(sample.labels) - {"le"} == set(each.labels)
    assert families["process_resident_memory_bytes"].samples[0].value > 1e6
    assert families["outfitter_store_bytes"].samples[0].value >= 4096


def test_it_is_read_and_not_written_and_needs_no_signature(server):
    assert fetch(server, method="HEAD")[1] == ""
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(server, method="POST")
    assert refused.value.code == 404
    refused.value.close()


def test_devices_jobs_and_calls_are_counted(fleet, make_link, server, eventually):
    before = scrape(server)
    thing = fleet.thing()
    device = fleet.device(thing, make_link(5, True))
    device.subscribe("notify-next", f"free/{thing}")
    job = fleet.job(thing)
    device.take_named("notify-next")
    assert device.ask("start-next")["execution"]["jobId"] == job
    device.ask(f"{job}/update", {"status": "SUCCEEDED"})
    device.take_named("notify-next")
    assert device.refused(f"{job}/update", {"status": "FAILED"})["code"] == "InvalidStateTransition"
    assert device.refused("get", b"{")["code"] == "InvalidJson"
    assert device.refused(f"{job}/update", {})["code"] == "InvalidRequest"
    assert device.refused(f"{job}/get", {"executionNumber": "x"})["code"] == "InvalidRequest"
    assert device.refused(f"{job}/strange")["code"] == "InvalidTopic"
    device.publish(f"free/{thing}", b"x" * 100, qos=0)
    device.take()
    now = scrape(server)
    assert rise(before, now, "outfitter_mqtt_connections_total", "mqtts") == 1
    assert rise(before, now, "outfitter_mqtt_connections_open", "mqtts") == 1
    assert rise(before, now, "outfitter_mqtt_sessions", "connected") == 1
    assert rise(before, now, "outfitter_mqtt_subscriptions") >= 2
    assert rise(before, now, "outfitter_mqtt_messages_received_total", "0") == 1
    assert rise(before, now, "outfitter_mqtt_messages_received_total", "1") == 7
    assert rise(before, now, "outfitter_mqtt_messages_sent_total", "0") == 1
    assert rise(before, now, "outfitter_mqtt_messages_sent_total", "1") >= 4
    assert rise(before, now, "outfitter_mqtt_received_bytes_total") > 100
    assert rise(before, now, "outfitter_mqtt_sent_bytes_total") > 100
    assert rise(before, now, "outfitter_job_requests_total", "start-next", "accepted") == 1
    assert rise(before, now, "outfitter_job_requests_total", "update", "accepted") == 1
    assert rise(before, now, "outfitter_job_requests_total", "update", "InvalidStateTransitionException") == 1
    assert rise(before, now, "outfitter_job_requests_total", "get-pending", "InvalidJson") == 1
    assert rise(before, now, "outfitter_job_requests_total", "update", "InvalidRequestException") == 1
    assert rise(before, now, "outfitter_job_requests_total", "get", "InvalidRequestException") == 1
    assert rise(before, now, "outfitter_job_requests_total", "unknown", "InvalidTopic") == 1
    assert rise(before, now, "outfitter_job_executions_ended_total", "SUCCEEDED") == 1
    assert rise(before, now, "outfitter_job_notifications_total") >= 2
    assert rise(before, now, "outfitter_commit_seconds_count") >= 3
    assert rise(before, now, "outfitter_committed_changes_total") >= 3
    assert rise(before, now, "outfitter_http_requests_total", "iot", "2xx") >= 2
    assert rise(before, now, "outfitter_http_requests_total", "outfitter", "2xx") >= 1
    assert thing not in json.dumps([list(key) for key in now])
    device.disconnect()
    eventually(
        lambda: (
            rise(
                now, scrape(server), "outfitter_mqtt_connections_closed_total", "CLIENT_INITIATED_DISCONNECT"
            )
            == 1
        )
    )


def test_refused_connections_and_messages_that_wait_are_counted(own_server, eventually):
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "x" * 200, protocol=paho.MQTTv5)
    client.connect("127.0.0.1", own_server.port("mqtt"))
    client.loop_start()
    eventually(
        lambda: (
            scrape(own_server).get(
                ("outfitter_mqtt_connections_refused_total", "CLIENT_IDENTIFIER_NOT_VALID"), 0
            )
            >= 1
        )
    )
    client.disconnect()
    client.loop_stop()
    away = paho.Client(paho.CallbackAPIVersion.VERSION2, "away", protocol=paho.MQTTv311, clean_session=False)
    away.on_connect = lambda *_: away.subscribe("wait/#", 1)
    away.on_subscribe = lambda *_: away.disconnect()
    away.connect("127.0.0.1", own_server.port("mqtt"))
    away.loop_forever()
    eventually(lambda: scrape(own_server)["outfitter_mqtt_sessions", "away"] == 1)
    publisher = own_server.client("iot-data")
    for number in range(1_005):
        publisher.publish(topic="wait/here", qos=1, retain=not number, payload=b"y")
    found = scrape(own_server)
    assert found["outfitter_mqtt_queued_messages",] == 1_000
    assert found["outfitter_mqtt_queued_bytes",] > 1_000
    assert found["outfitter_mqtt_messages_dropped_total", "queue_full"] == 5
    assert found["outfitter_mqtt_retained_messages",] == 1
    assert found["outfitter_http_requests_total", "iotdata", "2xx"] == 1_005
