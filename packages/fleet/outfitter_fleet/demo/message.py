"""A device's message: a topic rule invokes a function, and the function answers the device."""

import io
import json
import queue
import textwrap
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from outfitter_fleet.demo.display import Row
from outfitter_fleet.demo.site import ANSWER_SECONDS_MAX, DemoFailed, Site
from outfitter_fleet.stage.server import REGION

SENSOR: Final = "sensor-1"
DARKNESS: Final = 85
_FUNCTION: Final = "demo-advice"
_RULE: Final = "demo_darkness"
_ASKS: Final = f"lamps/{SENSOR}/darkness"
_HEARS: Final = f"lamps/{SENSOR}/advice"
_CODE: Final = """
    import json
    import boto3

    def handle(event, context):
        advice = {"brightness": 100 - event["per_cent"], "by": context.function_name}
        boto3.client("iot-data").publish(
            topic=f"lamps/{event['sensor']}/advice", qos=1, payload=json.dumps(advice)
        )
"""


def play(site: Site) -> list[Row]:
    """A device that is no lamp tells how dark it is, and hears how bright to shine."""
    site.display.say(f"a message of {SENSOR} invokes a function")
    site.add(SENSOR)
    _allow_topics(site)
    _make_rule(site, _make_function(site))
    expected = {"brightness": 100 - DARKNESS, "by": _FUNCTION}
    seen = _ask(site)
    return [
        Row(
            scenario="message invokes a function",
            device=SENSOR,
            expected=f"is answered {json.dumps(expected)}",
            seen="is not answered" if seen is None else f"is answered {json.dumps(seen)}",
            good=seen == expected,
        )
    ]


def _allow_topics(site: Site) -> None:
    """Let the device use its own topics besides those of its jobs."""
    arn = f"arn:aws:iot:{REGION}:{site.server.client('sts').get_caller_identity()['Account']}"
    actions = {"iot:Publish": "topic", "iot:Receive": "topic", "iot:Subscribe": "topicfilter"}
    statements = [
        {"Effect": "Allow", "Action": action, "Resource": f"{arn}:{kind}/lamps/{SENSOR}/*"}
        for action, kind in actions.items()
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    site.iot.create_policy(policyName=SENSOR, policyDocument=document)
    for principal in site.iot.list_thing_principals(thingName=SENSOR)["principals"]:
        site.iot.attach_policy(policyName=SENSOR, target=principal)


def _make_function(site: Site) -> str:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("advice.py", textwrap.dedent(_CODE))
    functions = site.server.client("lambda")
    account = site.server.client("sts").get_caller_identity()["Account"]
    made = functions.create_function(
        FunctionName=_FUNCTION,
        Runtime="python3.13",
        Handler="advice.handle",
        Role=f"arn:aws:iam::{account}:role/demo",
        Timeout=10,
        Code={"ZipFile": content.getvalue()},
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=_FUNCTION)
    functions.add_permission(
        FunctionName=_FUNCTION,
        StatementId="rules",
        Action="lambda:InvokeFunction",
        Principal="iot.amazonaws.com",
    )
    return str(made["FunctionArn"])


def _make_rule(site: Site, function_arn: str) -> None:
    sql = f"SELECT per_cent, clientid() AS sensor FROM '{_ASKS}' WHERE per_cent > 50"
    payload = {"sql": sql, "actions": [{"lambda": {"functionArn": function_arn}}]}
    site.iot.create_topic_rule(ruleName=_RULE, topicRulePayload=payload)


def _ask(site: Site) -> Any:
    """What the device hears; None when it hears nothing in time."""
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    with _connected(site.folder / SENSOR, site.server.address("mqtts"), heard) as client:
        client.publish(_ASKS, json.dumps({"per_cent": 20}), qos=1)
        client.publish(_ASKS, json.dumps({"per_cent": DARKNESS}), qos=1)
        try:
            return json.loads(heard.get(timeout=ANSWER_SECONDS_MAX))
        except queue.Empty:
            return None


@contextmanager
def _connected(
    folder: Path, address: tuple[str, int], heard: "queue.SimpleQueue[bytes]"
) -> Iterator[paho.Client]:
    """A plain MQTT client with the device's files, subscribed to its advice."""
    subscribed: queue.SimpleQueue[bool] = queue.SimpleQueue()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=SENSOR)
    client.tls_set(str(folder / "ca.pem"), str(folder / "certificate.pem"), str(folder / "private.key"))

    def connected(client: paho.Client, *_: Any) -> None:
        client.subscribe(_HEARS, 1)

    client.on_connect = connected
    client.on_subscribe = lambda *_: subscribed.put(True)
    client.on_message = lambda _client, _data, message: heard.put(bytes(message.payload))
    client.connect(*address)
    client.loop_start()
    try:
        subscribed.get(timeout=ANSWER_SECONDS_MAX)
        yield client
    except queue.Empty:
        raise DemoFailed(f"{SENSOR} is not connected within {ANSWER_SECONDS_MAX:g} s") from None
    finally:
        client.disconnect()
        client.loop_stop()
