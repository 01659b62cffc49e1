"""What many clients together may take, and one certificate of it."""

import asyncio
import logging
import ssl
import tracemalloc
from itertools import pairwise

import pytest
from outfitter_server.access.certificates import Status
from outfitter_server.gateway import broker as broker_module
from outfitter_server.gateway import owners as owners_module
from outfitter_server.gateway import strangers as strangers_module
from outfitter_server.gateway import subscribing as subscribing_module
from outfitter_server.gateway import wills as wills_module
from outfitter_server.gateway.broker import _BOUNDS, Broker
from outfitter_server.gateway.keeping import Keeping
from outfitter_server.gateway.limits import LOG_LINES_MAX, LOG_SECONDS, PARTIAL_PER_STEP, STRANGERS_FEW
from outfitter_server.gateway.link import PARTIAL
from outfitter_server.gateway.noise import Noise
from outfitter_server.gateway.routes import interest
from outfitter_server.gateway.strangers import Strangers
from outfitter_server.gateway.turns import Turns
from outfitter_server.gateway.wills import Wills
from outfitter_server.mqtt.encode import encode
from outfitter_server.mqtt.packets import (
    Connect,
    Disconnect,
    FilterRequest,
    PingReq,
    PingResp,
    Publish,
    SubAck,
    Subscribe,
    Unsubscribe,
    Will,
)
from outfitter_server.mqtt.retained import Retained, RetainedTopics
from outfitter_server.mqtt.sessions import MESSAGE_BYTES, Bounds, Budget, Message, Session, Subscription
from outfitter_server.mqtt.topics import filter_bytes
from outfitter_server.services.meters import Meters
from waiting import until


def test_a_certificate_hoards_its_own_sessions_only(monkeypatch):
    monkeypatch.setattr(broker_module, "SESSIONS_OF_A_CERTIFICATE", 3)
    broker = Broker()
    for owner, count in (("honest", 2), ("hoarder", 5)):
        for number in range(count):
            session = broker.open(f"{owner}-{number}")
            session.owner, session.expiry_seconds = owner, 100
            surplus = broker.leave(session, 0)
            if surplus is not None:
                broker.discard(surplus)
    assert set(broker.sessions) == {"honest-0", "honest-1", "hoarder-2", "hoarder-3", "hoarder-4"}
    broker.resume("hoarder-2", 1)
    back = broker.open("hoarder-9")
    back.owner = "hoarder"
    assert broker.leave(back, 1) is None, "who came back is not away"


def test_a_certificate_has_so_many_connections(world, monkeypatch):
    monkeypatch.setattr(owners_module, "CONNECTIONS_OF_A_CERTIFICATE", 0)
    assert not world.gateway.owners.has_room("any")


def test_who_keeps_little_keeps_it_when_others_keep_too_much():
    size = 100 + MESSAGE_BYTES
    budget = Budget(10 * size)
    bounds = Bounds(window_messages=1, queue_messages=100, queue_bytes=100 * size, queue_bytes_kept=3 * size)
    greedy, modest = Session("greedy", bounds, budget), Session("modest", bounds, budget)
    for _ in range(20):
        greedy.enqueue(Message(b"\0\1a", b"x" * 97))
    for _ in range(3):
        modest.enqueue(Message(b"\0\1a", b"x" * 97))
    assert modest.queued == 3
    greedy.enqueue(Message(b"\0\1a", b"x" * 97))
    assert greedy.queued < 10


async def test_filters_are_weighed_by_what_they_take(world, monkeypatch):
    two = filter_bytes("a/b/c/d/e/+") + filter_bytes("exact")
    monkeypatch.setattr(subscribing_module, "ALL_FILTERS_BYTES_MAX", two)
    client = await world.client("c", version=5)
    for number, (topic_filter, code) in enumerate(
        [("a/b/c/d/e/+", 0), ("a/b/+", 0x97), ("exact", 0), ("a/b/c/d/e/+", 0), ("f", 0x97)], 1
    ):
        client.send(Subscribe(number, (FilterRequest(topic_filter),)))
        assert (await client.packet()).codes == (code,)
    assert world.gateway.broker.filter_bytes == two
    client.send(Unsubscribe(9, ("a/b/c/d/e/+",)))
    await client.packet()
    assert world.gateway.broker.filter_bytes == filter_bytes("exact")
    client.send(Disconnect())
    assert await client.packet() is None
    assert world.gateway.broker.filter_bytes == 0


@pytest.mark.parametrize(
    "shape",
    [
        "{n}",
        "{n}/+",
        "{n}/{n}/{n}/#",
        "{n}/{n}/{n}/{n}/{n}/{n}/{n}/+",
        "$share/{n}/{n}",
        "$share/g/{n}/{n}/+",
    ],
)
@pytest.mark.parametrize("width", [4, 28])
@pytest.mark.parametrize("each", [1, 50])
def test_a_filter_counts_at_least_what_it_takes(shape, width, each):
    sessions = [Session(str(number), _BOUNDS, Budget(0)) for number in range(1_000 // each)]
    filters = [shape.format(n=str(number).zfill(width)) for number in range(1_000)]
    broker = Broker()
    tracemalloc.start()
    try:
        for number, topic_filter in enumerate(filters):
            copy = "".join(topic_filter)
            broker.subscribe(sessions[number // each], copy, interest(copy)[0], Subscription(1))
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken <= broker.filter_bytes <= 6 * taken


async def test_what_is_retained_gives_way_whole_when_all_hold_too_much(world):
    client = await world.client("c")
    client.send(Publish("free", b"x" * 8_000, 1, 1, retain=True))
    assert (await client.packet()).packet_id == 1
    world.gateway.broker.queues.bytes_max = -1
    client.send(Subscribe(2, (FilterRequest("free", 1),)), PingReq())
    assert isinstance(await client.packet(), SubAck)
    assert await client.packet() == PingResp()
    assert world.gateway.broker.queues.dropped == 1
    assert await client.silent()


@pytest.mark.parametrize("version", [4, 5])
async def test_a_connection_publishes_so_often_a_second_and_no_more(world, version):
    now = [7_000]
    world.gateway.clock, world.gateway.publishes_per_second = lambda: now[0], 2.0
    client = await world.client("dev", version)
    world.rules.active = True
    client.send(*(Publish("free", b"%d" % n, n % 2, n * (n % 2)) for n in range(1, 6)), PingReq())
    codes = {5: {1: 0x10, 3: 0x97, 5: 0x97}, 4: {1: 0}}[version]
    for number, code in codes.items():
        packet = await client.packet()
        assert (packet.packet_id, packet.code) == (number, code)
    assert await client.packet() == PingResp()
    now[0] += 500
    client.send(Publish("free", b"6", 1, 6))
    assert (await client.packet()).packet_id == 6
    assert [message.payload for message in world.rules.taken] == [b"1", b"2", b"6"]
    assert world.gateway.meters.dropped["throttled"] == 3


async def test_who_comes_again_and_again_with_a_revoked_certificate_is_refused_and_counted(
    tls_world, pki, caplog
):
    caplog.set_level(logging.INFO)
    certificate, key, der = pki.device("dev")
    tls_world.devices.add(der, "dev", status=Status.REVOKED)
    context = ssl.create_default_context(cafile=str(pki.ca_file))
    context.load_cert_chain(certificate, key)
    for _ in range(3 * LOG_LINES_MAX):
        client = await tls_world.open(tls_world.tls_port, ssl=context, server_hostname="localhost")
        client.send(Connect(version=4, client_id="dev"))
        assert (await client.packet()).code == 5
        assert await client.packet() is None
    tls_world.gateway.pass_to(tls_world.gateway.second + LOG_SECONDS)
    lines = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert len(lines) == LOG_LINES_MAX + 1
    assert "the certificate is REVOKED" in lines[0]
    assert f"{2 * LOG_LINES_MAX} more lines" in lines[-1]
    assert tls_world.gateway.meters.refused["NOT_AUTHORIZED"] == 3 * LOG_LINES_MAX
    assert (tls_world.gateway.connected, len(tls_world.gateway.broker.sessions)) == (0, 0)


def test_wills_are_bounded_together_and_forgotten_when_they_are_out(monkeypatch):
    monkeypatch.setattr(wills_module, "WILLS_BYTES_MAX", 100)
    published = []
    wills = Wills(lambda client_id, will: published.append(client_id), Keeping(None, None))
    will = Will(topic="t", payload=b"x" * 59, qos=0, retain=False)
    assert wills.has_room(will)
    wills.keep("one", will, 5)
    assert not wills.has_room(will)
    wills.leave("one", will, 0, 5)
    assert (published, len(wills), wills.held) == ([], 1, 60)
    wills.pass_to(5)
    assert (published, len(wills), wills.held) == (["one"], 0, 0)
    wills.keep("two", will, 5)
    wills.leave("two", will, 0, 5)
    wills.came_back("two")
    assert (published, wills.held) == (["one"], 0)


class Waiting:
    name = "somewhere"
    paused = False

    def __init__(self):
        self.aborted = False

    def abort(self):
        self.aborted = True

    def pause(self, why):
        assert why == PARTIAL
        self.paused = True

    def resume(self, why):
        assert why == PARTIAL
        self.paused = False


def test_the_oldest_stranger_gives_way(monkeypatch):
    monkeypatch.setattr(strangers_module, "STRANGERS_MAX", 2)
    meters, waiting = Meters(), [Waiting() for _ in range(4)]
    strangers = Strangers(meters.refused)
    for each in waiting[:3]:
        strangers.add(each)
    strangers.remove(waiting[1])
    strangers.add(waiting[3])
    assert [each.aborted for each in waiting] == [True, False, False, False]
    assert meters.refused["CROWDED"] == 1


async def test_strangers_that_were_put_off_are_read_again_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(strangers_module, "PARTIAL_SECONDS", 0.05)
    strangers, put_off = Strangers(Meters().refused), [Waiting() for _ in range(2 * PARTIAL_PER_STEP + 1)]
    for each in put_off:
        strangers.put_off(each)
    seen = [len(put_off)]
    async with asyncio.timeout(5):
        while seen[-1]:
            paused = [each.paused for each in put_off]
            assert paused == sorted(paused), "the first is read again first"
            if sum(paused) != seen[-1]:
                seen.append(sum(paused))
            await asyncio.sleep(0)
    assert len(seen) > 3
    assert all(before - after <= PARTIAL_PER_STEP for before, after in pairwise(seen))


async def test_in_a_storm_a_connect_in_two_parts_is_read_when_its_sender_is_read_again(world):
    whole = encode(Connect(version=5, client_id="slow"), 5)
    for _ in range(STRANGERS_FEW + 1):
        await world.open(world.port, 5)
    slow = await world.open(world.port, 5)
    slow.writer.write(whole[:5])
    await until(lambda: world.gateway.strangers._partial)
    slow.writer.write(whole[5:])
    assert (await slow.packet()).code == 0
    assert not world.gateway.strangers._partial


def test_a_log_line_is_repeated_so_often_and_then_counted(caplog):
    caplog.set_level(logging.INFO)
    log = logging.getLogger("outfitter_server.gateway.noise_test")
    noise = Noise()
    noise.attach()
    try:
        for number in range(1_000):
            log.info("closed: %s", number)
        log.info("something else")
        noise.pass_to(LOG_SECONDS)
        log.info("closed: %s", "again")
    finally:
        noise.detach()
    lines = [record.getMessage() for record in caplog.records]
    assert lines[:2] == ["closed: 0", "closed: 1"]
    assert lines[LOG_LINES_MAX:] == [
        "something else",
        f"{1_000 - LOG_LINES_MAX} more lines in {LOG_SECONDS} s like: closed: %s",
        "closed: again",
    ]


class Busy:
    """A connection with so many packets, each turn of which is counted."""

    def __init__(self, name, left, order):
        self.name, self.left, self.order, self.held_back = name, left, order, False

    def take_turn(self):
        self.order.append(self.name)
        self.left -= 1
        return self.left > 0

    def hold_back(self):
        self.held_back = True


class Crowd:
    crowded = False


@pytest.mark.parametrize("crowded", [False, True])
async def test_turns_go_round(crowded):
    crowd, order = Crowd(), []
    crowd.crowded = crowded
    meters = Meters()
    turns = Turns(crowd, meters)
    for name in "ab":
        turns.join(Busy(name, 3, order))
    if crowded:
        await until(lambda: meters.turns_waited > 1)
        assert order == []
        crowd.crowded = False
    await until(lambda: not len(turns))
    assert order == ["a", "b"] * 3


class Broken(Busy):
    name, ended = "broken", False

    def take_turn(self):
        raise RuntimeError("a fault of ours")

    def abort(self):
        self.ended = True


async def test_a_fault_in_one_turn_ends_that_connection_and_no_others_turns(caplog):
    order, turns = [], Turns(Crowd(), Meters())
    broken, late = Broken("broken", 1, order), Busy("late", 2, order)
    for reader in (Busy("early", 3, order), broken):
        turns.join(reader)
    await until(lambda: not len(turns))
    turns.join(late)
    await until(lambda: not len(turns))
    assert order == ["early"] * 3 + ["late"] * 2
    assert broken.ended
    assert [record.exc_info[0] for record in caplog.records] == [RuntimeError]


def test_a_walk_over_what_is_retained_takes_small_steps_and_outlives_changes():
    topics = RetainedTopics()
    for number in range(50):
        topics.put(Retained(f"a/{number}/b", b"x", 0, 0))
    walk = topics.walk("a/+/none")
    steps = 0
    for found in walk:
        assert found is None
        topics.remove(f"a/{steps}/b")
        steps += 1
    assert steps >= 50
    assert list(topics.match("a/#")) == []
