"""What a WebSocket client may get wrong, on purpose or not: each is answered as the specifications say, and harms nobody."""

import datetime as dt
import hashlib
import hmac
import json
import select
import time

import botocore.auth
import pytest
from outfitter_server.mqtt.encode import encode
from outfitter_server.mqtt.packets import (
    MQTT_5,
    ConnAck,
    Connect,
    Disconnect,
    FilterRequest,
    PingReq,
    PingResp,
    Publish,
    SubAck,
    Subscribe,
)
from outfitter_server.mqtt.stream import Decoder
from raw_websocket import RawWebSocket, signed_target
from websockets.frames import Frame, Opcode

KEEP = 60
FLOOD = 200


@pytest.fixture
def target(server):
    return signed_target(server.http, server.access_key, server.secret_key)


@pytest.fixture
def raw(server, target):
    """A socket before its handshake."""
    with RawWebSocket(server.http, target) as made:
        yield made


@pytest.fixture
def opened(raw):
    """A WebSocket before its CONNECT."""
    status, headers, _ = raw.upgrade()
    assert (status, headers["sec-websocket-protocol"]) == (101, "mqtt")
    return raw


def connect(name):
    return encode(Connect(client_id=name, version=MQTT_5, clean_start=True, keep_alive_seconds=KEEP), MQTT_5)


def subscribe(topic):
    return encode(Subscribe(1, (FilterRequest(topic, 0),)), MQTT_5)


def publish(topic, payload):
    return encode(Publish(topic=topic, payload=payload, qos=0), MQTT_5)


def packets(raw, count):
    """So many packets, in whatever frames they come."""
    decoder, found = Decoder(1 << 20, MQTT_5), []
    while len(found) < count:
        opcode, data = raw.take()
        assert opcode in {Opcode.BINARY, Opcode.CONT}, (opcode, data)
        found += decoder.feed(data)
        assert decoder.failure is None
    return found


def test_packets_and_frames_need_not_agree(opened):
    everything = connect("unaligned") + subscribe("free/unaligned") + publish("free/unaligned", b"x" * 300)
    opened.frame(everything[:7])
    for byte in everything[7:40]:
        opened.frame(bytes([byte]))
    opened.frame(b"")
    opened.frame(everything[40:90], fin=False)
    opened.frame(everything[90:91], Opcode.CONT, fin=False)
    opened.frame(b"in between", Opcode.PING)
    opened.frame(everything[91:], Opcode.CONT)
    opened.frame(encode(PingReq(), MQTT_5) * 2)
    found, pongs = [], []
    decoder = Decoder(1 << 20, MQTT_5)
    while len(found) < 5 or not pongs:
        opcode, data = opened.take()
        if opcode is Opcode.PONG:
            pongs.append(data)
        else:
            found += decoder.feed(data)
    assert [type(packet) for packet in found] == [ConnAck, SubAck, Publish, PingResp, PingResp]
    assert found[2].payload == b"x" * 300
    assert pongs == [b"in between"]


def test_a_frame_may_come_one_byte_at_a_time(opened):
    for byte in frame_of(connect("slow-frame") + encode(PingReq(), MQTT_5)):
        opened.send(bytes([byte]))
    assert isinstance(packets(opened, 1)[0], ConnAck)


def frame_of(data):
    return Frame(Opcode.BINARY, data).serialize(mask=True)


def test_what_comes_behind_the_handshake_at_once_is_not_lost(raw):
    raw.send(raw.handshake() + frame_of(connect("hasty")))
    assert raw.answer()[0] == 101
    assert isinstance(packets(raw, 1)[0], ConnAck)


def test_a_large_message_and_a_burst_arrive_whole(opened):
    opened.frame(connect("burst") + subscribe("free/burst"))
    large = b"y" * 131_072
    for _ in range(3):
        opened.frame(publish("free/burst", large))
    connack, suback, *messages = packets(opened, 5)
    assert isinstance(connack, ConnAck)
    assert isinstance(suback, SubAck)
    assert [message.payload for message in messages] == [large] * 3


def test_a_text_is_no_mqtt(opened):
    opened.frame(connect("text"))
    packets(opened, 1)
    opened.frame(encode(PingReq(), MQTT_5), Opcode.TEXT)
    assert opened.closes() == 1003


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (b"\x82\x02\xc0\x00", 1002),  # without a mask
        (b"\xc2\x82abcd\xc0\x00", 1002),  # a reserved bit
        (b"\x83\x80abcd", 1002),  # an opcode that nobody knows
        (b"\x80\x80abcd", 1002),  # continues nothing
        (b"\x09\x80abcd", 1002),  # a ping in fragments
        (b"\x89\xfe\x00\x7eabcd" + b"p" * 126, 1002),  # a ping of more than 125 bytes
        (b"\x82\xff" + (256 * 1024 + 1).to_bytes(8) + b"abcd", 1009),  # told by its header alone
        (b"\x82\xff" + b"\xff" * 8 + b"abcd", 1009),
    ],
)
def test_a_broken_frame_ends_the_connection_and_is_told_why(opened, wrong, code):
    opened.frame(connect("broken"))
    packets(opened, 1)
    opened.send(wrong)
    assert opened.closes() == code


def test_a_broken_packet_is_told_why_in_mqtt_and_closed(opened):
    opened.frame(connect("malformed"))
    packets(opened, 1)
    opened.frame(b"\xf1\x00\xff\xff")
    assert isinstance(packets(opened, 1)[0], Disconnect)
    assert opened.take()[0] is Opcode.CLOSE
    opened.frame(b"\x03\xe8", Opcode.CLOSE)
    opened.ends()


def test_a_goodbye_is_answered_with_a_goodbye(opened):
    opened.frame(connect("polite"))
    packets(opened, 1)
    opened.frame(b"\x03\xe9", Opcode.CLOSE)
    assert opened.closes() == 1001


def test_a_disconnect_closes_the_websocket(opened):
    opened.frame(connect("leaving"))
    packets(opened, 1)
    opened.frame(encode(Disconnect(), MQTT_5))
    assert opened.take() == (Opcode.CLOSE, b"\x03\xe8")
    opened.frame(b"\x03\xe8", Opcode.CLOSE)
    opened.ends()


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Sec_WebSocket_Key": None}, 400),
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"Sec_WebSocket_Version": "8"}, 400),
        ({"Sec_WebSocket_Version": None}, 400),
        ({"Sec_WebSocket_Protocol": None}, 400),
        ({"Sec_WebSocket_Protocol": "chat"}, 400),
        ({"Upgrade": None}, 426),
        ({"Connection": None}, 426),
        ({"Connection": "close"}, 426),
    ],
)
def test_a_bad_handshake_is_refused(raw, changed, status):
    found, headers, body = raw.upgrade(**changed)
    assert found == status, body
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["message"]


def test_an_old_http_is_refused(raw):
    raw.send(raw.handshake(protocol="HTTP/1.0"))
    assert raw.answer()[0] == 505


def test_another_method_is_refused(raw, server):
    raw.send(raw.handshake(method="POST", Content_Length="0"))
    assert raw.answer()[0] == 403  # its signature is over GET


def refusal(server, target, **changed):
    with RawWebSocket(server.http, target) as raw:
        status, headers, body = raw.upgrade(**changed)
        # The connection may be used again: nothing was switched.
        raw.target = "/_outfitter/health"
        raw.send(raw.handshake(Upgrade=None, Connection=None))
        assert raw.answer()[0] == 200
    return status, headers["x-amzn-errortype"], json.loads(body)["message"]


def test_who_may_not_come_in_is_told_why(server):
    key, secret, where = server.access_key, server.secret_key, server.http
    assert refusal(server, "/mqtt")[:2] == (403, "AccessDeniedException")
    for target, kind, word in (
        (signed_target(where, key, "another"), "InvalidSignatureException", "does not match"),
        (signed_target(where, "AKIANOBODY", secret), "UnrecognizedClientException", "token"),
        (signed_target(where, key, secret, service="iot"), "InvalidSignatureException", "iotdevicegateway"),
        (
            signed_target(where, key, secret).replace("X-Amz-Signature=", "X-Amz-Signature=0"),
            "InvalidSignatureException",
            "64",
        ),
        (
            signed_target(where, key, secret).replace("us-east-1", "eu-west-9"),
            "InvalidSignatureException",
            "match",
        ),
    ):
        status, found, message = refusal(server, target)
        assert (status, found) == (403, kind), message
        assert word in message


def test_a_url_whose_time_is_over_says_when_that_was(server, monkeypatch):
    long_ago = dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda **_: long_ago)
    target = signed_target(server.http, server.access_key, server.secret_key)
    status, kind, message = refusal(server, target)
    assert (status, kind) == (403, "InvalidSignatureException")
    assert "expired" in message
    assert "20200102T030405Z" in message


def test_a_url_that_tells_no_life_is_good_for_a_while(server):
    """Some of AWS's SDKs leave X-Amz-Expires out."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{now[:8]}/us-east-1/iotdevicegateway/aws4_request"
    query = (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={server.access_key}%2F{scope.replace('/', '%2F')}"
        f"&X-Amz-Date={now}&X-Amz-SignedHeaders=host"
    )
    host = server.http.removeprefix("http://")
    canonical = f"GET\n/mqtt\n{query}\nhost:{host}\n\nhost\n{hashlib.sha256(b'').hexdigest()}"
    key = f"AWS4{server.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    with RawWebSocket(
        server.http, f"/mqtt?{query}&X-Amz-Signature={hmac.digest(key, text.encode(), 'sha256').hex()}"
    ) as raw:
        assert raw.upgrade()[0] == 101


def test_a_page_of_another_origin_cannot_use_the_certificate_of_its_browser(server, fleet):
    context = fleet.identity(fleet.thing()).make_context(server.ca)
    found = []
    for origin in (None, server.https, "https://elsewhere.example", "null"):
        with RawWebSocket(server.https, context=context) as raw:
            found.append(raw.upgrade(Origin=origin)[0])
    assert found == [101, 101, 403, 403]


def test_half_an_upgrade_keeps_nobody_waiting(server, target):
    halves = []
    for cut in (10, 60, -2):
        half = RawWebSocket(server.http, target)
        half.send(half.handshake()[:cut])
        halves.append(half)
    with RawWebSocket(server.http, target) as whole:
        assert whole.upgrade()[0] == 101
        whole.frame(connect("whole"))
        assert isinstance(packets(whole, 1)[0], ConnAck)
    for half in halves:
        half.socket.close()


def test_who_does_not_read_loses_messages_and_nobody_else_waits(server, target):
    """QoS 0 is dropped once the socket's buffers are full: the pause has come from the socket to the gateway."""
    with RawWebSocket(server.http, target) as deaf, RawWebSocket(server.http, target) as loud:
        for name, raw in (("deaf", deaf), ("loud", loud)):
            raw.upgrade()
            raw.frame(connect(name))
            packets(raw, 1)
        deaf.frame(subscribe("free/flood"))
        packets(deaf, 1)
        flood, waited = publish("free/flood", b"z" * 100_000), []
        for _ in range(FLOOD):
            began = time.monotonic()
            loud.frame(flood + encode(PingReq(), MQTT_5))
            packets(loud, 1)
            waited.append(time.monotonic() - began)
        assert sorted(waited)[FLOOD // 2] < 0.5
        deaf.frame(encode(PingReq(), MQTT_5))
        came = 0
        while not isinstance(found := packets(deaf, 1)[0], PingResp):
            assert found.payload == b"z" * 100_000
            came += 1
        assert 0 < came < FLOOD


def test_pings_are_no_way_to_fill_the_server(server, target):
    """Who sends pings and reads no pong is not read any more, long before anything is full."""
    with RawWebSocket(server.http, target) as raw:
        raw.upgrade()
        raw.frame(connect("pinger"))
        packets(raw, 1)
        raw.socket.setblocking(False)
        burst = Frame(Opcode.PING, b"p" * 125).serialize(mask=True) * 1_000
        sent = 0
        while select.select([], [raw.socket], [], 0.5)[1]:
            sent += raw.socket.send(burst)
            assert sent < 200_000_000
        raw.socket.setblocking(True)
