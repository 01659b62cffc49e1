"""MQTT.js in the browser, as web pages use it: a signed URL, MQTT 3.1.1 and 5, plain and TLS."""

from pathlib import Path

import pytest
from raw_websocket import signed_target

LIBRARY = Path(__file__).parent / "node_modules/mqtt/dist/mqtt.min.js"
CONVERSATION = """([url, version, topic, size]) => new Promise((resolve, reject) => {
    const told = [];
    const options = { protocolVersion: version, clientId: `mqttjs-${version}-${size}`, reconnectPeriod: 0, clean: true };
    const client = mqtt.connect(url, options);
    client.on("error", reject);
    client.on("connect", (connack) => {
        told.push(["connected", connack.returnCode ?? connack.reasonCode]);
        client.subscribe(topic, { qos: 1 }, (error, granted) => {
            if (error) return reject(error);
            told.push(["granted", granted[0].qos]);
            client.publish(topic, "x".repeat(size), { qos: 1 }, () => {
                told.push(["acknowledged"]);
                client.publish(topic, "the end", { qos: 1 });
            });
        });
    });
    client.on("message", (from, payload) => {
        if (payload.length === size) return told.push(["message", from, payload.length]);
        client.end(false, {}, () => resolve([...told, ["ended", payload.toString()]]));
    });
})"""
REFUSED = """(url) => new Promise((resolve) => {
    const client = mqtt.connect(url, { reconnectPeriod: 0 });
    client.on("connect", () => resolve("connected"));
    client.on("close", () => resolve("closed"));
    client.on("error", () => undefined);
})"""


@pytest.fixture
def page(browser):
    if not LIBRARY.exists():
        pytest.fail("There is no MQTT.js. Install it: make mqttjs")
    context = browser.new_context(ignore_https_errors=True)
    made = context.new_page()
    yield made
    context.close()


def at(page, origin):
    """On a page of the server, with the library."""
    page.goto(f"{origin}/_outfitter/health")
    page.add_script_tag(path=LIBRARY)
    return page


def signed(server, origin, secret=None):
    target = signed_target(origin, server.access_key, secret or server.secret_key)
    return origin.replace("http", "ws", 1) + target


@pytest.mark.parametrize("version", [4, 5], ids=["3.1.1", "5"])
@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_a_page_speaks_mqtt(server, page, tls, version):
    origin = server.https if tls else server.http
    topic, size = f"free/mqttjs/{version}/{tls}", 100_000
    told = at(page, origin).evaluate(CONVERSATION, [signed(server, origin), version, topic, size])
    assert sorted(told, key=str) == sorted(
        [
            ["connected", 0],
            ["granted", 1],
            ["acknowledged"],
            ["message", topic, size],
            ["ended", "the end"],
        ],
        key=str,
    )


def test_a_page_with_a_wrong_signature_stays_outside(server, page):
    at(page, server.http)
    assert page.evaluate(REFUSED, signed(server, server.http, "a guess")) == "closed"
