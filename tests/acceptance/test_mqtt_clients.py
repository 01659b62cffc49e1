"""Clients that people use, unmodified, with both versions, plain and over TLS, before a real server."""

import itertools

import pytest
from awscrt import mqtt5
from mqtt_peers import SECONDS, Gmqtt, Heard, Mosquitto, Paho, Relay, Sdk5, Sdk311, Way, Wish

KINDS = [
    (Paho, 4), (Paho, 5), (Gmqtt, 4), (Gmqtt, 5), (Mosquitto, 4), (Mosquitto, 5), (Sdk311, 4), (Sdk5, 5),
]  # fmt: skip
NAMES = [f"{kind.__name__.lower()}-{version}" for kind, version in KINDS]
ARN = "arn:aws:iot:us-east-1:000000000000"
_numbers = itertools.count(1)


def make_way(server, fleet, version, tls):
    """Plain, or with a registered certificate whose policy allows everything."""
    if not tls:
        return Way(version, server.port("mqtt"))
    policy = fleet.policy({"Effect": "Allow", "Action": "iot:*", "Resource": "*"})
    identity = fleet.identity(fleet.thing(), policy)
    return Way(version, server.port("mqtts"), server.ca, identity.certificate, identity.key)


@pytest.fixture
def ends():
    """What is to be closed after the test, come what may."""
    closers = []
    yield closers
    for close in reversed(closers):
        close()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(("kind", "version"), KINDS, ids=NAMES)
def test_what_a_client_does_with_a_broker(server, fleet, ends, kind, version, tls):
    way, base = make_way(server, fleet, version, tls), f"free/c{next(_numbers)}"
    names = (f"{base.replace('/', '-')}-{number}" for number in itertools.count())

    def peer(wire=way, **wish):
        made = kind(wire, Wish(next(names), **wish))
        ends.append(made.close)
        return made

    relay = Relay(way.port)
    ends.append(relay.cut)
    ear = peer(way.through(relay.port), will=(f"{base}/gone", b"without a word"))
    ear.subscribe(f"{base}/#")
    mouth = peer()
    mouth.publish(f"{base}/zero", b"0", qos=0)
    assert ear.take() == Heard(f"{base}/zero", b"0", 0, retain=False)
    mouth.publish(f"{base}/one", b"1")
    assert ear.take() == Heard(f"{base}/one", b"1", 1, retain=False)

    mouth.publish(f"{base}/kept", b"newest", retain=True)
    assert ear.take() == Heard(f"{base}/kept", b"newest", 1, retain=False)
    late = peer()
    late.subscribe(f"{base}/#")
    assert late.take() == Heard(f"{base}/kept", b"newest", 1, retain=True)

    crew = [peer(), peer()]
    for member in crew:
        member.subscribe(f"$share/crew/{base}-work")
    for number in range(4):
        mouth.publish(f"{base}-work", b"%d" % number)
    assert sorted(member.take().payload for member in crew for _ in range(2)) == [b"0", b"1", b"2", b"3"]

    ends.remove(ear.close)
    if kind is Mosquitto:
        ear.forget()  # kill -9
    else:
        relay.cut()
        ends.remove(relay.cut)
    assert late.take() == Heard(f"{base}/gone", b"without a word", 1, retain=False)
    mouth.publish(f"{base}/kept", b"", retain=True)  # for whoever subscribes to everything after this
    assert late.take() == Heard(f"{base}/kept", b"", 1, retain=False)
    if kind is not Mosquitto:
        ear.forget()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_sessions_of_all_clients_outlive_kill_9(own_server, make_fleet, tmp_path, ends, tls):
    fleet = make_fleet(own_server, tmp_path)
    ways = {version: make_way(own_server, fleet, version, tls) for version in (4, 5)}
    for name, (kind, version) in zip(NAMES, KINDS, strict=True):
        peer = kind(ways[version], Wish(name, kept=True))
        peer.subscribe(f"free/{name}/+")
        peer.close()
    mouth = Paho(ways[5], Wish("mouth"))
    for name in NAMES:
        mouth.publish(f"free/{name}/before", b"waits")
    own_server.kill()
    mouth.forget()
    own_server.start()
    mouth = Paho(ways[5], Wish("mouth"))
    ends.append(mouth.close)
    for name, (kind, version) in zip(NAMES, KINDS, strict=True):
        peer = kind(ways[version], Wish(name, kept=True))
        ends.append(peer.close)
        if kind is Mosquitto:
            peer.subscribe(f"free/{name}/+")
        assert peer.take() == Heard(f"free/{name}/before", b"waits", 1, retain=False)
        mouth.publish(f"free/{name}/after", b"comes")
        assert peer.take() == Heard(f"free/{name}/after", b"comes", 1, retain=False)


def test_awss_client_of_mqtt_5_asks_and_is_answered_with_numbered_topics(server, fleet, ends):
    way = make_way(server, fleet, 5, tls=True)
    asks, answers = Sdk5(way, Wish("asks")), Sdk5(way, Wish("answers"))
    ends += [asks.close, answers.close]
    asks.subscribe("free/answers/asks")
    answers.subscribe("free/questions")
    for number in range(3):
        question = mqtt5.PublishPacket(
            topic="free/questions",
            payload=b"how warm?",
            qos=mqtt5.QoS.AT_LEAST_ONCE,
            response_topic="free/answers/asks",
            correlation_data=b"\x00%d" % number,
            content_type="text/plain",
            payload_format_indicator=mqtt5.PayloadFormatIndicator.AWS_MQTT5_PFI_UTF8,
            message_expiry_interval_sec=60,
            user_properties=[mqtt5.UserProperty("b", "1"), mqtt5.UserProperty("a", "2")],
        )
        asks.client.publish(question).result(SECONDS)
        heard = answers.packets.get(timeout=SECONDS)
        assert (heard.topic, heard.payload) == ("free/questions", b"how warm?")
        assert heard.content_type == "text/plain"
        assert heard.message_expiry_interval_sec == 60
        assert [(each.name, each.value) for each in heard.user_properties] == [("b", "1"), ("a", "2")]
        answer = mqtt5.PublishPacket(
            topic=heard.response_topic,
            payload=b"warm",
            qos=mqtt5.QoS.AT_LEAST_ONCE,
            correlation_data=heard.correlation_data_bytes,
        )
        answers.client.publish(answer).result(SECONDS)
        heard = asks.packets.get(timeout=SECONDS)
        assert (heard.topic, heard.correlation_data_bytes) == ("free/answers/asks", b"\x00%d" % number)


def test_a_refusal_reaches_awss_client_in_words(server, fleet, ends):
    policy = fleet.policy(
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{ARN}:topicfilter/free/*"},
    )
    identity = fleet.identity(fleet.thing(), policy)
    way = Way(5, server.port("mqtts"), server.ca, identity.certificate, identity.key)
    client = Sdk5(way, Wish("curious"))
    ends.append(client.close)
    packet = mqtt5.PublishPacket(topic="free/x", payload=b"", qos=mqtt5.QoS.AT_LEAST_ONCE)
    puback = client.client.publish(packet).result(SECONDS).puback
    assert puback.reason_code == mqtt5.PubackReasonCode.NOT_AUTHORIZED
    assert puback.reason_string == "no policy allows to publish to free/x"
    wanted = mqtt5.Subscription(topic_filter="other/#", qos=mqtt5.QoS.AT_LEAST_ONCE)
    suback = client.client.subscribe(mqtt5.SubscribePacket(subscriptions=[wanted])).result(SECONDS)
    assert suback.reason_codes == [mqtt5.SubackReasonCode.NOT_AUTHORIZED]
    assert suback.reason_string == "no policy allows iot:Subscribe to other/#"
