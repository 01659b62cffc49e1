"""Sessions through restarts of the server: a real store, transports in memory, time at the test's word."""

import asyncio
import contextlib
import json
import os
import sqlite3
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import Unavailable
from outfitter_server.gateway.board import GatewayBoard
from outfitter_server.gateway.connection import Connection
from outfitter_server.gateway.limits import NOTED_BYTES_CROWD
from outfitter_server.gateway.server import Gateway
from outfitter_server.mqtt import properties as properties_module
from outfitter_server.mqtt.encode import encode
from outfitter_server.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    FilterRequest,
    PingReq,
    PingResp,
    Properties,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Will,
)
from outfitter_server.mqtt.properties import text, write_properties
from outfitter_server.mqtt.stream import Decoder
from outfitter_server.services.committer import Committer
from outfitter_server.services.effects import PendingChanged
from outfitter_server.services.live_clients import LiveClients
from outfitter_server.services.retained import RetainedMessages
from outfitter_server.services.session_book import SessionBook
from outfitter_server.stores.sqlite.store import SqliteStore

NOTIFY = "$aws/things/dev/jobs/notify"
KEEP_SECONDS = 1_000
DAY = 24 * 3_600
QUICK = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a disk that need not be waited for
EXAMPLES = int(os.environ.get("OUTFITTER_SOAK", "200"))


class MemoryTransport(asyncio.Transport):
    """Keeps what is written; a broken one tells its protocol nothing, as in a killed server."""

    def __init__(self, protocol):
        super().__init__()
        self.protocol, self.written = protocol, b""
        protocol.connection_made(self)

    def write(self, data):
        self.written += data

    def close(self):
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    def get_extra_info(self, name, default=None):
        return ("127.0.0.1", 1) if name in {"sockname", "peername"} else default

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def pause_reading(self):
        pass

    resume_reading = pause_reading


class Peer:
    """A client of MQTT 5; packets are taken as they come."""

    def __init__(self, gateway, client_id, *, keep=0, clean=False, window=100, will=None):
        self.transport = MemoryTransport(Connection(gateway, plain=True))
        self.decoder = Decoder(1 << 20, 5)
        self.packets = []
        properties = Properties(session_expiry_seconds=keep, receive_maximum=window)
        self.send(
            Connect(version=5, client_id=client_id, clean_start=clean, properties=properties, will=will)
        )
        gateway._flush()
        self.answers = self.take(ConnAck)
        self.present = bool(self.answers) and self.answers[0].session_present

    def send(self, packet):
        self.transport.protocol.data_received(encode(packet, 5))

    def take(self, kind):
        """The packets of a kind that have come, in their order."""
        written, self.transport.written = self.transport.written, b""
        self.packets += self.decoder.feed(written)
        found = [packet for packet in self.packets if isinstance(packet, kind)]
        self.packets = [packet for packet in self.packets if not isinstance(packet, kind)]
        return found

    def drop(self):
        self.transport.protocol.connection_lost(None)


class House:
    """A server that can be killed: only what its store has survives."""

    def __init__(self, doubles, folder):
        self.doubles, self.folder = doubles, Path(folder)
        self.plane, self.now, self.gateway = doubles.plane(), 1_000_000, None
        self.start()

    def start(self):
        self.store = SqliteStore(self.folder)
        self.committer = Committer(self.store, lambda: self.now)
        self.plane.watched = {}
        self.gateway = Gateway(
            devices=None,
            plane=self.plane,
            committer=self.committer,
            delivery=self.doubles.delivery(),
            rules=self.doubles.rules(),
            clock=lambda: self.now,
            installation=Installation(),
            retained=RetainedMessages(lambda: self.now, self.committer),
            book=SessionBook(self.committer),
        )
        self.gateway.begin()
        self.gateway._timer.cancel()

    async def settle(self):
        for _ in range(3):
            await self.committer.drain()
            await asyncio.sleep(0)

    def kill(self):
        """kill -9: nothing that is not on disk is left."""
        self.store.close()

    def restart(self):
        self.kill()
        self.start()

    def pass_seconds(self, seconds):
        self.now += seconds * 1_000
        for second in range(self.gateway.second + 1, self.gateway.second + min(seconds, 40) + 1):
            self.gateway.pass_to(second)
        self.gateway.pass_to(self.gateway.second + max(0, seconds - 40))
        self.gateway.pass_to((self.gateway.second // 5 + 1) * 5)
        self.gateway._flush()

    async def subscribed(self, peer, *filters, **properties):
        peer.send(Subscribe(1, tuple(FilterRequest(name, 1) for name in filters), Properties(**properties)))
        assert peer.take(SubAck) == [], "granted before it is on disk"
        await self.settle()
        assert peer.take(SubAck) == [SubAck(1, (1,) * len(filters))]
        return peer

    async def said(self, *payloads, topic="a", **properties):
        mouth = Peer(self.gateway, "mouth", clean=True)
        for number, payload in enumerate(payloads, 1):
            mouth.send(Publish(topic, payload, 1, number, properties=Properties(**properties)))
        await self.settle()
        assert len(mouth.take(PubAck)) == len(payloads)
        mouth.drop()


@cache
def empty_store():
    """The file of a store that holds nothing, made once."""
    with tempfile.TemporaryDirectory() as folder:
        SqliteStore(Path(folder)).close()
        return (Path(folder) / "state.sqlite3").read_bytes()


def rehearse(doubles, story):
    """Run a story with a house of its own."""

    async def whole():
        with tempfile.TemporaryDirectory(dir=QUICK) as folder:
            (Path(folder) / "state.sqlite3").write_bytes(empty_store())
            house = House(doubles, folder)
            await story(house)
            await house.settle()
            house.kill()

    asyncio.run(whole())


def payloads(peer):
    return [packet.payload for packet in peer.take(Publish)]


def test_subscriptions_and_the_queue_survive(doubles):
    async def story(house):
        ear = await house.subscribed(Peer(house.gateway, "ear", keep=100), "a", subscription_ids=(7,))
        ear.drop()
        await house.said(b"1", b"2", content_type="t", user=(("k", "v"),))
        house.restart()
        await house.said(b"3")
        ear = Peer(house.gateway, "ear", keep=100)
        assert ear.present
        await house.settle()
        first, *others = ear.take(Publish)
        assert first.properties == Properties(content_type="t", user=(("k", "v"),), subscription_ids=(7,))
        assert [first.payload, *(each.payload for each in others)] == [b"1", b"2", b"3"]

    rehearse(doubles, story)


@pytest.mark.parametrize("retain", [False, True])
def test_properties_are_written_once_for_all_who_get_them(doubles, monkeypatch, retain):
    async def story(house):
        ears = [Peer(house.gateway, f"ear-{number}", keep=100) for number in range(20)]
        for number, ear in enumerate(ears):
            await house.subscribed(ear, "a", **({"subscription_ids": (number,)} if number else {}))
        for ear in ears[10:]:
            ear.drop()
        written = []
        monkeypatch.setattr(properties_module, "text", lambda value: written.append(value) or text(value))
        pairs = tuple((f"name-{number}", "value") for number in range(50))
        mouth = Peer(house.gateway, "mouth", clean=True)
        mouth.send(
            Publish("a", b"1", 1, 1, retain, properties=Properties(user=pairs, message_expiry_seconds=9))
        )
        await house.settle()
        back = [Peer(house.gateway, f"ear-{number}", keep=100) for number in range(10, 20)]
        await house.settle()
        late = [Peer(house.gateway, f"late-{number}", clean=True) for number in range(20)]
        for each in late:
            await house.subscribed(each, "a")
        by_whom = {"the client": 1, "the router": 1, "what is retained": 1}
        assert written.count("name-7") <= len(by_whom)
        assert all(
            found.properties.user == pairs for each in (*ears[:10], *back) for found in each.take(Publish)
        )
        assert [len(each.take(Publish)) for each in late] == [retain] * 20
        monkeypatch.undo()

    rehearse(doubles, story)


def test_a_message_of_an_older_store_has_one_expiry(doubles):
    async def story(house):
        ear = await house.subscribed(Peer(house.gateway, "ear", keep=100), "a")
        ear.drop()
        await house.said(b"1", content_type="t", message_expiry_seconds=50)
        block = write_properties(Properties(content_type="t", message_expiry_seconds=50))
        sql = "UPDATE mqtt_messages SET properties = ?"
        house.kill()
        with contextlib.closing(sqlite3.connect(house.folder / "state.sqlite3")) as database, database:
            assert database.execute(sql, [block]).rowcount == 1
        house.start()
        ear = Peer(house.gateway, "ear", keep=100)
        await house.settle()
        (found,) = ear.take(Publish)
        assert found.properties == Properties(content_type="t", message_expiry_seconds=50)

    rehearse(doubles, story)


def test_a_publisher_waits_only_for_sessions_that_are_kept(doubles):
    async def story(house):
        ear = Peer(house.gateway, "ear", clean=True)
        ear.send(Subscribe(1, (FilterRequest("a", 1),)))
        house.gateway._flush()
        assert ear.take(SubAck)
        batches = house.committer.batches
        mouth = Peer(house.gateway, "mouth", clean=True)
        mouth.send(Publish("a", b"x", 1, 1))
        house.gateway._flush()
        assert mouth.take(PubAck) == [PubAck(1)]
        await house.settle()
        await house.subscribed(Peer(house.gateway, "kept", keep=10), "a")
        mouth.send(Publish("a", b"x", 1, 2))
        house.gateway._flush()
        assert mouth.take(PubAck) == []
        await house.settle()
        assert mouth.take(PubAck) == [PubAck(2)]
        assert house.committer.batches > batches

    rehearse(doubles, story)


def test_newcomers_wait_while_the_next_transaction_has_enough_to_write(doubles):
    async def story(house):
        will = Will(topic="w", payload=b"w" * NOTED_BYTES_CROWD)
        one = Peer(house.gateway, "one", will=will)
        assert not one.answers, "let in before its will is on disk"
        assert house.gateway.crowded
        await house.settle()
        assert not house.gateway.crowded
        ear = await house.subscribed(Peer(house.gateway, "ear", keep=100), "a")
        ear.drop()
        mouth = Peer(house.gateway, "mouth", clean=True)
        mouth.send(Publish("a", b"m" * NOTED_BYTES_CROWD, 1, 1))
        assert house.gateway.crowded
        await house.settle()
        assert not house.gateway.crowded

    rehearse(doubles, story)


def test_what_was_sent_keeps_its_packet_identifier_and_waits_its_interval(doubles):
    async def story(house):
        ear = await house.subscribed(Peer(house.gateway, "ear", keep=100, window=2), "a")
        await house.said(b"1", b"2", b"3")
        before = {packet.payload: packet.packet_id for packet in ear.take(Publish)}
        assert list(before) == [b"1", b"2"]
        ear.send(PubAck(before[b"1"]))
        house.gateway._flush()
        (third,) = ear.take(Publish)
        await house.settle()
        house.restart()
        ear = Peer(house.gateway, "ear", keep=100, window=2)
        await house.settle()
        assert payloads(ear) == []
        house.pass_seconds(36)
        again = {packet.payload: (packet.packet_id, packet.dup) for packet in ear.take(Publish)}
        assert again == {b"2": (before[b"2"], False), b"3": (third.packet_id, False)}

    rehearse(doubles, story)


def test_who_comes_back_with_a_smaller_window_is_sent_again_no_more_than_it_takes(doubles):
    async def story(house):
        ear = await house.subscribed(Peer(house.gateway, "ear", keep=100, window=8), "a")
        said = [b"%d" % number for number in range(10)]
        await house.said(*said)
        before = {packet.payload: packet.packet_id for packet in ear.take(Publish)}
        assert list(before) == said[:8]
        ear.drop()
        ear = Peer(house.gateway, "ear", keep=100, window=2)
        house.pass_seconds(36)
        waiting, came = ear.take(Publish), []
        assert [packet.payload for packet in waiting] == said[:2]
        house.pass_seconds(36)
        assert [packet.payload for packet in ear.take(Publish)] == said[:2]
        while waiting:
            packet = waiting.pop(0)
            came.append(packet.payload)
            assert packet.packet_id == before.get(packet.payload, packet.packet_id)
            ear.send(PubAck(packet.packet_id))
            house.gateway._flush()
            waiting += ear.take(Publish)
            assert len(waiting) <= 2
        assert came == said

    rehearse(doubles, story)


def test_time_goes_on_while_the_server_is_away(doubles):
    async def story(house):
        for name, keep in (("short", 50), ("long", DAY)):
            (await house.subscribed(Peer(house.gateway, name, keep=keep), "a")).drop()
        online = await house.subscribed(Peer(house.gateway, "online", keep=50), "a")
        await house.said(b"expires", message_expiry_seconds=60)
        await house.said(b"stays", message_expiry_seconds=5_000)
        assert payloads(online) == [b"expires", b"stays"]
        house.kill()
        house.now += 100_000
        house.start()
        assert set(house.gateway.broker.sessions) == {"long", "online"}
        ear = Peer(house.gateway, "long", keep=DAY)
        (message,) = ear.take(Publish)
        assert (message.payload, message.properties.message_expiry_seconds) == (b"stays", 4_900)
        house.pass_seconds(60)
        assert set(house.gateway.broker.sessions) == {"long"}
        await house.settle()
        house.restart()
        assert set(house.gateway.broker.sessions) == {"long"}

    rehearse(doubles, story)


def test_a_session_is_called_the_same_after_a_restart_and_another_is_not(doubles):
    async def story(house):
        async def called(name, **options):
            ear = Peer(house.gateway, "ear", clean=True)
            ear.send(Subscribe(1, (FilterRequest("$aws/events/presence/connected/#", 1),)))
            Peer(house.gateway, name, keep=100, **options)
            await house.settle()
            house.gateway._flush()
            told = [json.loads(payload) for payload in payloads(ear)]
            ear.drop()
            return next(each["sessionIdentifier"] for each in told if each["clientId"] == name)

        Peer(house.gateway, "quiet", keep=100)
        first = await called("dev")
        house.restart()
        quiet = house.gateway.broker.sessions["quiet"].identifier
        assert first == await called("dev")
        house.restart()
        assert len(quiet) == len(first)
        assert quiet == await called("quiet")
        assert first != await called("dev", clean=True)

    rehearse(doubles, story)


def test_nothing_of_an_ended_session_comes_back(doubles):
    async def story(house):
        for name in ("cleaned", "left", "ended"):
            (await house.subscribed(Peer(house.gateway, name, keep=100), "a")).drop()
        await house.said(b"1")
        fresh = Peer(house.gateway, "cleaned", keep=100, clean=True)
        assert fresh.answers == [], "granted before the old session is off the disk"
        await house.settle()
        house.gateway._flush()
        assert [answer.session_present for answer in fresh.take(ConnAck)] == [False]
        Peer(house.gateway, "left", keep=0)
        Peer(house.gateway, "ended", keep=100).send(Disconnect(0, Properties(session_expiry_seconds=0)))
        await house.settle()
        house.restart()
        assert set(house.gateway.broker.sessions) == {"cleaned"}
        again = Peer(house.gateway, "cleaned", keep=100)
        assert again.present
        await house.said(b"2")
        assert payloads(again) == []

    rehearse(doubles, story)


def test_who_starts_anew_is_let_in_when_the_old_session_is_off_the_disk_and_not_after_a_crash(doubles):
    async def story(house):
        await house.subscribed(Peer(house.gateway, "dev", keep=100), "old")
        crashed = Peer(house.gateway, "dev", keep=100, clean=True)
        house.restart()
        assert crashed.take(ConnAck) == []
        assert set(house.gateway.broker.sessions["dev"].subscriptions) == {"old"}
        hasty = Peer(house.gateway, "dev", keep=100, clean=True)
        hasty.send(Subscribe(1, (FilterRequest("new", 1),)))
        second = Peer(house.gateway, "dev", keep=100, clean=True)
        second.send(PingReq())
        assert second.take(object) == []
        await house.settle()
        house.gateway._flush()
        assert hasty.take(object) == []
        assert [type(packet) for packet in second.take(object)] == [ConnAck, PingResp]
        await house.settle()
        house.restart()
        assert not house.gateway.broker.sessions["dev"].subscriptions

    rehearse(doubles, story)


@pytest.mark.parametrize("with_will", [True, False])
def test_a_session_that_waits_is_deleted_for_good_with_or_without_its_will(doubles, with_will):
    async def story(house):
        ear = Peer(house.gateway, "ear", clean=True)
        ear.send(Subscribe(1, (FilterRequest("wills", 1),)))
        delay = Properties(will_delay_seconds=50)
        will = Will(topic="wills", payload=b"gone", qos=1, properties=delay)
        (await house.subscribed(Peer(house.gateway, "dev", keep=100, will=will), "a")).drop()
        board = GatewayBoard(LiveClients(lambda: house.now))
        board.gateway = house.gateway
        assert await board.disconnect("dev", clean=True, with_will=with_will)
        assert board.find("dev") is None
        house.gateway._flush()
        assert payloads(ear) == ([b"gone"] if with_will else [])
        house.restart()
        assert not house.gateway.broker.sessions

    rehearse(doubles, story)


def test_a_connection_that_is_deleted_with_its_session_is_off_the_disk(doubles):
    async def story(house):
        await house.subscribed(Peer(house.gateway, "dev", keep=100), "a")
        board = GatewayBoard(LiveClients(lambda: house.now))
        board.gateway = house.gateway
        assert await board.disconnect("dev", clean=True, with_will=True)
        house.restart()
        assert not house.gateway.broker.sessions

    rehearse(doubles, story)


def test_the_oldest_give_way_in_the_book_too(doubles):
    async def story(house):
        (await house.subscribed(Peer(house.gateway, "ear", keep=100), "a")).drop()
        mouth = Peer(house.gateway, "mouth", clean=True)
        for number in range(1_010):
            mouth.send(Publish("a", b"%d" % number, 1, number + 1))
            if number % 90 == 0:
                await house.settle()
        await house.settle()
        house.restart()
        session = house.gateway.broker.sessions["ear"]
        assert session.queued == 1_000
        ear = Peer(house.gateway, "ear", keep=100)
        assert payloads(ear)[0] == b"10"

    rehearse(doubles, story)


def test_a_filter_that_was_taken_back_stays_away(doubles):
    async def story(house):
        ear = await house.subscribed(
            Peer(house.gateway, "dev", keep=100), "a", "$share/g/b", f"{NOTIFY[:-6]}#"
        )
        ear.send(Unsubscribe(2, ("a",)))
        await house.settle()
        assert ear.take(UnsubAck) == [UnsubAck(2, (0,))]
        house.restart()
        assert set(house.gateway.broker.sessions["dev"].subscriptions) == {"$share/g/b", f"{NOTIFY[:-6]}#"}
        assert house.plane.watched == {"dev": 1}
        await house.said(b"1")
        await house.said(b"2", topic="b")
        assert payloads(Peer(house.gateway, "dev", keep=100)) == [b"2"]

    rehearse(doubles, story)


def test_a_filter_that_is_taken_back_before_it_is_on_disk_is_told_nothing_that_is_retained(doubles):
    async def story(house):
        mouth = Peer(house.gateway, "mouth", clean=True)
        mouth.send(Publish("a", b"kept", 1, 1, retain=True))
        await house.settle()
        ear = Peer(house.gateway, "ear", keep=100)
        ear.send(Subscribe(1, (FilterRequest("a", 1),)))
        ear.send(Unsubscribe(2, ("a",)))
        await house.settle()
        house.gateway._flush()
        assert [type(packet) for packet in ear.take(object)] == [SubAck, UnsubAck]

    rehearse(doubles, story)


def test_what_is_retained_and_was_not_sent_is_on_disk_when_the_server_has_stopped(doubles):
    async def story(house):
        mouth = Peer(house.gateway, "mouth", clean=True)
        for number in range(90):
            mouth.send(Publish(f"a/{number}", b"%d" % number, 1, number + 1, retain=True))
        await house.settle()
        ear = await house.subscribed(Peer(house.gateway, "ear", keep=100, window=1), "a/#")
        house.gateway._flush()
        assert len(payloads(ear)) == 1
        await house.gateway.close()
        await house.settle()
        house.restart()
        session = house.gateway.broker.sessions["ear"]
        assert (session.under_way, session.queued) == (1, 89)

    rehearse(doubles, story)


def test_a_full_disk_delays_the_puback_and_loses_nothing(doubles):
    async def story(house):
        (await house.subscribed(Peer(house.gateway, "ear", keep=100), "a")).drop()
        await house.settle()
        write = house.store.write

        def full():
            raise Unavailable("no space is left")

        house.store.write = full
        mouth = Peer(house.gateway, "mouth", clean=True)
        mouth.send(Publish("a", b"1", 1, 1))
        for _ in range(5):
            await asyncio.sleep(0)
        mouth.send(Publish("a", b"2", 1, 2))
        for _ in range(5):
            await asyncio.sleep(0)
        assert mouth.take(PubAck) == []
        house.store.write = write
        await house.settle()
        while len(mouth.packets) < 2:
            await asyncio.wait_for(house.gateway.keeping.written(), 5)
            await asyncio.sleep(0.01)
            mouth.packets += mouth.take(PubAck)
        house.restart()
        assert payloads(Peer(house.gateway, "ear", keep=100)) == [b"1", b"2"]

    rehearse(doubles, story)


# Wills


def last_words(delay=None, payload=b"gone", retain=False, **properties):
    return Will(
        topic="a",
        payload=payload,
        qos=1,
        retain=retain,
        properties=Properties(will_delay_seconds=delay, **properties),
    )


async def admitted(house, client_id, will, **connect):
    """A client with a will, whose CONNACK comes when the will is on disk."""
    peer = Peer(house.gateway, client_id, will=will, **connect)
    assert peer.answers == [], "granted before its will is on disk"
    await house.settle()
    house.gateway._flush()
    assert [answer.code for answer in peer.take(ConnAck)] == [0]
    return peer


async def heard(house):
    """What a session that was there all the time has been told."""
    await house.settle()
    ear = Peer(house.gateway, "ear", keep=DAY)
    assert ear.present
    found = ear.take(Publish)
    for packet in found:
        ear.send(PubAck(packet.packet_id))
    await house.settle()
    ear.drop()
    await house.settle()
    return found


async def listened(house):
    (await house.subscribed(Peer(house.gateway, "ear", keep=DAY), "a")).drop()
    await house.settle()


def test_the_will_of_a_client_that_was_connected_is_published_after_a_kill_and_once(doubles):
    async def story(house):
        await listened(house)
        for keep in (0, DAY):
            await admitted(house, f"dev-{keep}", last_words(content_type="t", user=(("k", "v"),)), keep=keep)
        house.restart()
        first, second = await heard(house)
        assert (first.payload, second.payload) == (b"gone", b"gone")
        assert first.properties == Properties(content_type="t", user=(("k", "v"),))
        house.restart()
        assert await heard(house) == []
        assert house.gateway.wills.held == 0

    rehearse(doubles, story)


def test_a_retained_will_is_retained_after_a_kill(doubles):
    async def story(house):
        await admitted(house, "dev", last_words(retain=True))
        house.restart()
        await house.settle()
        assert house.gateway.retained.message("a").payload == b"gone"
        house.restart()
        assert house.gateway.retained.message("a").payload == b"gone"

    rehearse(doubles, story)


def test_a_publication_that_a_crash_cut_short_comes_once_more_at_most(doubles):
    async def story(house):
        await listened(house)
        await admitted(house, "dev", last_words())
        house.restart()
        house.restart()  # before anything of the publication is on disk
        assert [packet.payload for packet in await heard(house)] == [b"gone"]
        house.restart()
        assert await heard(house) == []

    rehearse(doubles, story)


@pytest.mark.parametrize("seen", [False, True], ids=["connected", "away"])
def test_a_delayed_will_keeps_its_delay_through_a_kill(doubles, seen):
    async def story(house):
        await listened(house)
        peer = await admitted(house, "dev", last_words(delay=100), keep=DAY)
        if seen:
            peer.drop()
            await house.settle()
            house.pass_seconds(60)
        house.kill()
        house.now += 20_000
        house.start()
        assert await heard(house) == []
        house.pass_seconds(10)
        assert await heard(house) == []
        house.pass_seconds(90)
        assert [packet.payload for packet in await heard(house)] == [b"gone"]

    rehearse(doubles, story)


def test_a_delayed_will_that_became_due_while_the_server_was_away_is_published_at_its_start(doubles):
    async def story(house):
        await listened(house)
        (await admitted(house, "dev", last_words(delay=100), keep=DAY)).drop()
        await house.settle()
        house.kill()
        house.now += 200_000
        house.start()
        assert [packet.payload for packet in await heard(house)] == [b"gone"]

    rehearse(doubles, story)


def test_a_client_that_is_back_in_time_takes_its_will_back_and_no_crash_brings_it_again(doubles):
    async def story(house):
        await listened(house)
        await admitted(house, "dev", last_words(delay=100), keep=DAY)
        house.restart()
        crashed = Peer(house.gateway, "dev", keep=DAY)
        assert crashed.answers == [], "let in while its will is on disk"
        await house.settle()
        house.gateway._flush()
        assert crashed.take(ConnAck)[0].session_present
        house.restart()
        house.pass_seconds(200)
        assert await heard(house) == []

    rehearse(doubles, story)


def test_the_newest_will_of_a_client_counts_whoever_is_taken_over_or_gives_up(doubles):
    async def story(house):
        await listened(house)
        await admitted(house, "dev", last_words(payload=b"1"), keep=DAY)
        await admitted(house, "dev", last_words(payload=b"2"), keep=DAY)
        assert [packet.payload for packet in await heard(house)] == [b"1"]
        hasty = Peer(house.gateway, "dev", keep=DAY, will=last_words(payload=b"3"))
        hasty.drop()
        await house.settle()
        assert [packet.payload for packet in await heard(house)] == [b"2"]
        assert house.gateway.wills.held == 0
        (await admitted(house, "dev", last_words(payload=b"4"), keep=DAY)).send(Disconnect(0))
        await house.settle()
        house.restart()
        assert await heard(house) == []

    rehearse(doubles, story)


def test_an_ordinary_stop_publishes_wills_and_keeps_those_with_a_delay(doubles):
    async def story(house):
        await listened(house)
        await admitted(house, "now", last_words(payload=b"now"), keep=DAY)
        await admitted(house, "later", last_words(delay=100, payload=b"later"), keep=DAY)
        await house.gateway.close()
        await house.committer.drain()
        house.restart()
        assert [packet.payload for packet in await heard(house)] == [b"now"]
        house.pass_seconds(100)
        assert [packet.payload for packet in await heard(house)] == [b"later"]

    rehearse(doubles, story)


def test_a_client_without_a_will_is_let_in_at_once(doubles):
    async def story(house):
        assert Peer(house.gateway, "dev", keep=DAY).answers
        assert Peer(house.gateway, "dev", keep=DAY).present, "taken over"

    rehearse(doubles, story)


class Lives:
    """A client whose wills are numbered, and what must have been published of them: each once, in its moment."""

    def __init__(self, house):
        self.house, self.number = house, 0
        self.client, self.kept, self.waiting = None, None, None
        self.expected = []

    def lost(self):
        (number, delay), self.kept, self.client = self.kept, None, None
        if delay:
            self.waiting = (number, self.house.now + delay * 1_000)
        else:
            self.expected.append(b"%d" % number)

    async def connect(self, delay=0):
        if self.kept is not None:
            self.lost()
        self.waiting = None
        self.number += 1
        will = last_words(delay=delay or None, payload=b"%d" % self.number)
        self.client = await admitted(self.house, "dev", will, keep=DAY)
        self.kept = (self.number, delay)

    async def connect_delayed(self):
        await self.connect(100)

    async def goodbye(self):
        if self.client is not None:
            self.client.send(Disconnect(0))
            self.client, self.kept = None, None

    async def drop(self):
        if self.client is not None:
            self.client.drop()
            self.lost()

    async def restart(self):
        self.house.restart()
        if self.kept is not None:
            self.lost()

    async def stop(self):
        await self.house.gateway.close()
        await self.house.committer.drain()
        await self.restart()

    async def wait(self):
        self.house.pass_seconds(60)
        if self.waiting is not None and self.waiting[1] <= self.house.now:
            self.expected.append(b"%d" % self.waiting[0])
            self.waiting = None


@given(
    st.lists(
        st.sampled_from(["connect", "connect_delayed", "goodbye", "drop", "restart", "stop", "wait", "wait"]),
        max_size=12,
    )
)
@example(["connect_delayed", "drop", "wait", "restart", "wait"])
@example(["connect", "connect_delayed", "stop", "connect", "restart", "restart"])
@example(["connect", "goodbye", "connect_delayed", "drop", "connect", "goodbye", "restart", "wait", "wait"])
@pytest.mark.timeout(120 + EXAMPLES)
@settings(max_examples=EXAMPLES // 4, deadline=None)
def test_each_will_is_published_once_unless_its_client_says_goodbye_or_is_back(doubles, steps):
    async def story(house):
        await listened(house)
        lives, told = Lives(house), []
        for step in steps:
            await getattr(lives, step)()
            told += [packet.payload for packet in await heard(house)]
            assert told == lives.expected, step

    rehearse(doubles, story)


class History:
    """A device with a session that is kept, a publisher, a pending list; and what must hold of them."""

    def __init__(self, house, window):
        self.house, self.window, self.granted = house, window, window
        self.device = None
        self.count = 0
        self.promised = set()  # messages whose publisher has its PUBACK
        self.acknowledged = set()  # what the device acknowledged, on disk
        self.seen = []  # messages by their first arrival
        self.ids = {}
        self.unacknowledged = []
        self.revisions = {"seen": 0, "acknowledged": 0}
        self.floor = 0  # nothing up to this message is for the session as it is now

    async def begin(self):
        self.connect_now()
        await self.subscribe()

    async def subscribe(self):
        """In a session that is new: what was for another one is for nobody."""
        self.promised &= self.acknowledged
        self.floor = self.count
        self.revisions["acknowledged"] = self.house.plane.revisions.get("dev", (0, 0))[0]
        await self.house.subscribed(self.device, "work", NOTIFY)

    async def widen(self):
        self.window = 3

    async def narrow(self):
        self.window = 1

    def connect_now(self):
        self.granted = self.window
        self.device = Peer(self.house.gateway, "dev", keep=KEEP_SECONDS, window=self.window)

    async def connect(self):
        if self.device is None:
            self.connect_now()
            if not self.device.present:
                await self.subscribe()

    async def take_over(self):
        if self.device is not None:
            self.connect_now()
            assert self.device.present
            self.unacknowledged.clear()

    async def start_anew(self):
        self.granted = self.window
        self.device = Peer(self.house.gateway, "dev", keep=KEEP_SECONDS, window=self.window, clean=True)
        self.unacknowledged.clear()
        await self.house.settle()
        self.house.gateway._flush()
        found = [*self.device.answers, *self.device.take(ConnAck)]
        assert [answer.session_present for answer in found] == [False]
        await self.subscribe()

    async def start_anew_and_kill(self):
        """Nobody was told that the session is new: it may be the old one as well."""
        Peer(self.house.gateway, "dev", keep=KEEP_SECONDS, clean=True)
        self.restart_now()

    async def stay_away(self):
        if self.device is None:
            self.house.pass_seconds(KEEP_SECONDS + 1)

    async def drop(self):
        if self.device is not None:
            self.device.drop()
            self.device = None
            self.unacknowledged.clear()

    async def publish(self):
        await self.say()
        await self.house.settle()
        self.promised |= {self.count} if self.mouth.take(PubAck) else set()
        assert self.count in self.promised

    async def say(self):
        self.count += 1
        self.mouth = Peer(self.house.gateway, "mouth", clean=True)
        self.mouth.send(Publish("work", b"%d" % self.count, 1, 1))

    async def publish_and_kill(self):
        await self.say()
        self.house.gateway._flush()
        self.promised |= {self.count} if self.mouth.take(PubAck) else set()
        self.restart_now()

    async def change(self):
        notification = self.house.plane.change("dev")
        if "dev" in self.house.plane.watched:
            self.house.gateway._hear([PendingChanged(notification)])

    async def acknowledge(self):
        if self.device is not None and self.unacknowledged:
            packet = self.unacknowledged.pop(0)
            self.device.send(PubAck(packet.packet_id))
            await self.house.settle()
            if packet.topic == NOTIFY:
                self.revisions["acknowledged"] = json.loads(packet.payload)["timestamp"]
            else:
                self.acknowledged.add(int(packet.payload))

    async def restart(self):
        self.restart_now()

    def restart_now(self):
        self.house.restart()
        self.device = None
        self.unacknowledged.clear()

    async def wait(self):
        self.house.pass_seconds(35)

    async def listen(self):
        await self.house.settle()
        self.house.gateway._flush()
        if self.device is None:
            return
        for packet in self.device.take(Publish):
            if all(packet.packet_id != other.packet_id for other in self.unacknowledged):
                self.unacknowledged.append(packet)
            if packet.topic == NOTIFY:
                revision = json.loads(packet.payload)["timestamp"]
                assert revision > self.revisions["acknowledged"], "told again what was acknowledged"
                continue
            number = int(packet.payload)
            assert number not in self.acknowledged, "sent again what was acknowledged"
            assert number > self.floor, "of a session that is over"
            if number in self.seen:
                assert self.ids[number] == packet.packet_id, "sent again with another identifier"
            else:
                assert number > max(self.seen, default=0), "out of order"
                self.seen.append(number)
                self.ids[number] = packet.packet_id
        assert len(self.unacknowledged) <= self.granted

    async def end(self):
        await self.connect()
        for _ in range(3 * self.count + 10):
            await self.listen()
            await self.acknowledge()
            await self.listen()
            if not self.unacknowledged:
                await self.wait()
        assert self.promised <= self.acknowledged
        assert self.revisions["acknowledged"] == self.house.plane.revisions.get("dev", (0, 0))[0]


STEPS = [
    "publish",
    "publish",
    "change",
    "connect",
    "drop",
    "acknowledge",
    "restart",
    "publish_and_kill",
    "wait",
    "take_over",
    "start_anew",
    "start_anew_and_kill",
    "stay_away",
    "widen",
    "narrow",
]


@given(st.lists(st.sampled_from(STEPS), max_size=25), st.integers(1, 3))
@example(["change", "acknowledge", "restart", "connect"], 1)
@example(["publish", "publish", "acknowledge", "restart", "connect", "wait", "drop", "publish"], 1)
@example(["publish", "publish", "drop", "narrow", "connect", "wait", "wait", "acknowledge"], 3)
@example(["publish", "start_anew", "publish", "restart", "connect"], 1)
@example(["publish", "start_anew_and_kill", "connect"], 2)
@example(["drop", "publish", "stay_away", "publish", "connect", "publish"], 1)
@pytest.mark.timeout(120 + EXAMPLES)
@settings(max_examples=EXAMPLES, deadline=None)
def test_nothing_is_lost_and_nothing_acknowledged_comes_again(doubles, steps, window):
    async def story(house):
        history = History(house, window)
        await history.begin()
        for step in steps:
            await getattr(history, step)()
            await history.listen()
        await history.end()
        await history.drop()

    rehearse(doubles, story)
