import asyncio
import json
import logging

from outfitter_server.gateway import limits
from outfitter_server.gateway.link import UNREAD, WRITING
from outfitter_server.mqtt.packets import (
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
from outfitter_server.mqtt.reasons import Reason

JOBS = "$aws/things/dev/jobs"
NOTIFY, NOTIFY_NEXT = f"{JOBS}/notify", f"{JOBS}/notify-next"


async def subscribed(client, *filters, qos=1):
    client.send(Subscribe(1, tuple(FilterRequest(name, qos) for name in filters)))
    assert await client.packet() == SubAck(1, (qos,) * len(filters))
    return client


async def gone(world, client):
    """Close, and wait until the gateway noticed."""
    client.close()
    while client.client_id in world.gateway._connections:  # noqa: ASYNC110 - a turn of the loop or two
        await asyncio.sleep(0.001)


async def named(world, client_id, version=4, **connect):
    client = await world.client(client_id, version, **connect)
    client.client_id = client_id
    return client


# Order


async def test_acknowledgements_wait_for_the_commit_in_order_and_each_answer_follows_its_own(world):
    world.plane.held = []
    client = await world.client("dev")
    client.send(
        Publish(f"{JOBS}/job-1/update", b'{"status":"IN_PROGRESS"}', 1, 1),
        Publish("free", b"", 1, 2),
        Publish(f"{JOBS}/job-1/update", b"no json", 1, 3),
        Publish(f"{JOBS}/get", b"", 0),
        Publish(f"{JOBS}/job-9/update", b'{"status":"FAILED"}', 1, 4),
    )
    assert await client.silent()
    world.plane.release()
    seen = [await client.packet() for _ in range(7)]
    assert [getattr(p, "topic", p) for p in seen] == [
        PubAck(1),
        f"{JOBS}/job-1/update/accepted",
        PubAck(2),
        PubAck(3),
        f"{JOBS}/job-1/update/rejected",
        f"{JOBS}/get/accepted",
        PubAck(4),
    ]
    assert json.loads(seen[4].payload)["code"] == "InvalidJson"
    assert seen[5].qos == 0
    assert json.loads((await client.packet()).payload)["code"] == "ResourceNotFound"


async def test_answers_reach_nobody_else(world):
    asker = await world.client("dev")
    twin = await subscribed(await world.client("ear"), "#")
    asker.send(Subscribe(1, (FilterRequest(f"{JOBS}/get/+", 1), FilterRequest(f"{JOBS}/#", 1))))
    await asker.packet()
    asker.send(Publish(f"{JOBS}/get", b"", 0))
    assert (await asker.packet()).topic == f"{JOBS}/get/accepted"
    assert await asker.silent()
    assert await twin.silent()


async def test_answers_die_with_the_connection_that_asked(world):
    world.plane.held = []
    client = await named(world, "dev", clean_start=False)
    client.send(Publish(f"{JOBS}/get", b"", 1, 1))
    assert await client.silent()
    await gone(world, client)
    world.plane.release()
    again = await named(world, "dev", clean_start=False)
    assert again.connack.session_present
    assert await again.silent()


async def test_answers_keep_within_the_receive_maximum(world):
    client = await world.client("dev", 5, properties=Properties(receive_maximum=1))
    client.send(Publish(f"{JOBS}/get", b"", 1, 1), Publish(f"{JOBS}/start-next", b"", 1, 2))
    assert [await client.packet() for _ in range(1)] == [PubAck(1)]
    first = await client.packet()
    assert first.topic.endswith("get/accepted")
    assert await client.packet() == PubAck(2)
    assert await client.silent()
    client.send(PubAck(first.packet_id))
    assert (await client.packet()).topic.endswith("start-next/accepted")


async def test_full_committer_stops_reading_until_there_is_room(world):
    client = await world.client("dev")
    world.committer.full = True
    client.send(Publish(f"{JOBS}/get", b"", 0))
    await client.packet()
    client.send(Publish(f"{JOBS}/get", b"", 0))
    client.writer.write(b"\xc0\x00")
    await asyncio.sleep(0.02)
    assert len(world.plane.requests) == 1
    world.committer.full = False
    world.committer.waiting.pop()()
    assert await client.packet() == PingResp()
    assert (await client.packet()).topic.endswith("accepted")


# Sessions


async def test_messages_wait_for_a_persistent_session(world):
    client = await subscribed(await named(world, "ear", clean_start=False), "room/#")
    await gone(world, client)
    mouth = await world.client("mouth")
    mouth.send(Publish("room/a", b"0", 0), Publish("room/a", b"1", 1, 1))
    await mouth.packet()
    again = await named(world, "ear", clean_start=False)
    assert again.connack.session_present
    message = await again.packet()
    assert (message.payload, message.qos) == (b"1", 1)
    await gone(world, again)
    clean = await named(world, "ear")
    assert not clean.connack.session_present
    assert await clean.silent()


async def test_session_expiry(world):
    client = await named(world, "ear", 5, clean_start=False, properties=Properties(session_expiry_seconds=60))
    await gone(world, client)
    world.gateway.pass_to(world.gateway.second + 61)
    assert not (await named(world, "ear", 5, clean_start=False)).connack.session_present
    world.gateway.pass_to((world.gateway.second // 5 + 1) * 5)
    assert list(world.gateway.broker.sessions) == ["ear"]


async def test_clean_start_0_without_an_interval_resumes_and_leaves_nothing(world):
    client = await named(world, "ear", 5, properties=Properties(session_expiry_seconds=60))
    await gone(world, client)
    again = await named(world, "ear", 5, clean_start=False)
    assert again.connack.session_present
    await gone(world, again)
    assert not world.gateway.broker.sessions


async def test_takeover(world):
    first = await named(world, "dev", 5, will=Will(topic="wills", payload=b"gone"))
    ear = await subscribed(await world.client("ear"), "wills")
    second = await named(world, "dev", 5)
    assert await first.packet() == Disconnect(Reason.SESSION_TAKEN_OVER)
    assert await first.ended()
    assert (await ear.packet()).payload == b"gone"
    assert await second.silent()
    assert world.gateway.connected == 2


async def test_wills_are_published_unless_the_client_says_goodbye(world):
    ear = await subscribed(await world.client("ear"), "wills")
    will = Will(topic="wills", payload=b"gone", qos=1)
    polite = await named(world, "polite", will=will)
    polite.send(Disconnect())
    assert await polite.ended()
    rude = await named(world, "rude", will=will)
    rude.close()
    assert (await ear.packet()).payload == b"gone"
    odd = await named(world, "odd", 5, will=will)
    odd.send(Disconnect(Reason.DISCONNECT_WITH_WILL))
    assert (await ear.packet()).payload == b"gone"
    assert await ear.silent()


async def test_delayed_will(world):
    ear = await subscribed(await world.client("ear"), "wills")
    will = Will(topic="wills", payload=b"gone", properties=Properties(will_delay_seconds=10))
    keep = {"clean_start": False, "properties": Properties(session_expiry_seconds=100)}
    await gone(world, await named(world, "dev", 5, will=will, **keep))
    back = await named(world, "dev", 5, will=will, **keep)
    world.gateway.pass_to(world.gateway.second + 20)
    assert await ear.silent()
    await gone(world, back)
    world.gateway.pass_to(world.gateway.second + 10)
    assert (await ear.packet()).payload == b"gone"


async def test_keep_alive_and_connect_timeout(world, caplog):
    caplog.set_level(logging.INFO)
    start = world.gateway.second
    client = await world.client("dev", 5, keep_alive_seconds=60)
    mute = await world.open(world.port)
    await asyncio.sleep(0.01)
    for second in range(start, start + 85):
        world.gateway.pass_to(second)
    assert await mute.ended()
    assert world.gateway.meters.refused == {"SILENT": 1}
    assert [record.getMessage() for record in caplog.records if "no CONNECT came" in record.getMessage()]
    assert await client.silent()  # and is heard
    for second in range(start + 85, start + 200):
        world.gateway.pass_to(second)
    assert await client.packet() == Disconnect(Reason.KEEP_ALIVE_TIMEOUT)


async def test_a_connect_that_comes_byte_by_byte_is_not_waited_for(world):
    client = await world.open(world.port)
    start = world.gateway.second
    for second, byte in enumerate(b"\x10\x7f\x00\x04MQTT\x04\x02\x00\x3c\x00\x70"):
        if client.writer.is_closing():
            break
        client.writer.write(bytes((byte,)))
        await asyncio.sleep(0)
        world.gateway.pass_to(start + 2 * second)
    assert await client.ended()


async def test_unacknowledged_messages_come_again_with_their_id_and_without_the_duplicate_flag(world):
    client = await subscribed(await world.client("ear"), "a")
    client.send(Publish("a", b"x", 1, 5))
    message = await client.packet()
    await client.packet()
    start = world.gateway.second
    for second in range(start, start + 36):
        world.gateway.pass_to(second)
    again = await client.packet()
    assert (again.packet_id, again.dup) == (message.packet_id, False)
    assert await client.silent()


async def test_overlapping_filters_deliver_once_at_the_best_qos_with_all_identifiers(world):
    client = await world.client("ear", 5)
    for number, (name, qos) in enumerate((("a/b", 0), ("a/#", 1), ("+/b", 0)), 1):
        client.send(
            Subscribe(
                number, (FilterRequest(name, qos, no_local=True),), Properties(subscription_ids=(number,))
            )
        )
        await client.packet()
    client.send(Publish("a/b", b"x", 1, 1))
    message = await client.packet()
    assert (message.qos, sorted(message.properties.subscription_ids)) == (1, [1, 2, 3])
    assert await client.packet() == PubAck(1)
    client.send(Unsubscribe(9, ("a/b", "nothing")))
    assert await client.packet() == UnsubAck(9, (0, Reason.NO_SUBSCRIPTION_EXISTED))


async def test_message_expiry_counts_down(world):
    keep = {"clean_start": False, "properties": Properties(session_expiry_seconds=100)}
    await gone(world, await subscribed(await named(world, "ear", 5, **keep), "a"))
    mouth = await world.client("mouth", 5)
    for number, expiry in ((1, 10), (2, 50)):
        mouth.send(
            Publish("a", b"%d" % number, 1, number, properties=Properties(message_expiry_seconds=expiry))
        )
        await mouth.packet()
    world.gateway.pass_to(world.gateway.second + 20)
    message = await (await named(world, "ear", 5, **keep)).packet()
    assert message.payload == b"2"
    assert message.properties.message_expiry_seconds in (29, 30)


async def test_slow_reader_is_cut_off_and_harms_nobody(world):
    slow = await subscribed(await world.client("slow"), "flood", qos=0)
    quick = await subscribed(await world.client("quick"), "flood", qos=0)
    slow.writer.transport.pause_reading()
    mouth = await world.client("mouth")
    for number in range(1, 200):
        mouth.send(Publish("flood", b"x" * 100_000, 1, number))
        assert (await mouth.packet()) == PubAck(number)
        assert len((await quick.packet()).payload) == 100_000
    held = world.gateway._connections["slow"]
    assert held._held_bytes <= limits.HELD_BYTES_MAX
    assert held.transport.get_write_buffer_size() < 2 * limits.HELD_BYTES_MAX


async def stalled(world, client, mouth):
    """Send a client more than it reads, and let time pass at the test's word alone; its connection."""
    world.gateway._timer.cancel()
    connection = world.gateway._connections["slow"]
    client.writer.transport.pause_reading()
    while not connection._pauses & WRITING:
        mouth.send(Publish("flood", b"x" * 100_000))
        assert await mouth.silent()
    return connection


async def test_a_slow_reader_that_is_alive_is_heard(world):
    mouth = await world.client("mouth")
    slow = await world.client("slow", 5, keep_alive_seconds=30)
    await subscribed(slow, "flood", qos=0)
    await subscribed(slow, "a")
    for number in (1, 2):
        mouth.send(Publish("a", b"before", 1, number))
        await mouth.packet()
    taken = [await slow.packet(), await slow.packet()]
    connection = await stalled(world, slow, mouth)
    slow.send(*(PubAck(packet.packet_id) for packet in taken))
    while connection.session.under_way:
        await mouth.silent()
    for _ in range(12):
        world.gateway.pass_to(world.gateway.second + 10)
        slow.send(PingReq())
        while connection.heard_at < world.gateway.second:
            await mouth.silent()
    assert not connection.closing
    mouth.send(Publish("a", b"after", 1, 3))
    await mouth.packet()
    slow.writer.transport.resume_reading()
    found = []
    while len(found) < 13:
        packet = await slow.packet()
        if packet.__class__ is not Publish or packet.topic == "a":
            found.append(packet)
    assert found[:12] == [PingResp()] * 12
    assert found[12].payload == b"after"


async def test_what_a_slow_reader_acknowledges_makes_room_and_not_more_to_be_read(world):
    mouth = await world.client("mouth")
    slow = await world.client("slow", 5, properties=Properties(receive_maximum=2))
    await subscribed(slow, "flood", qos=0)
    await subscribed(slow, "a")
    for number in range(1, 7):
        mouth.send(Publish("a", b"%d" % number, 1, number))
        await mouth.packet()
    taken = [await slow.packet(), await slow.packet()]
    connection = await stalled(world, slow, mouth)
    held = connection._held_bytes
    slow.send(*(PubAck(packet.packet_id) for packet in taken))
    while connection.session.under_way:
        await mouth.silent()
    assert (connection.session.queued, connection._held_bytes) == (4, held)
    slow.writer.transport.resume_reading()
    found = []
    while len(found) < 4:
        packet = await slow.packet()
        if packet.topic == "a":
            found.append(packet.payload)
            slow.send(PubAck(packet.packet_id))
    assert found == [b"3", b"4", b"5", b"6"]


async def test_who_does_not_read_is_read_so_far_and_no_further(world):
    mouth = await world.client("mouth")
    slow = await world.client("slow", 5, keep_alive_seconds=30)
    await subscribed(slow, "flood", qos=0)
    connection = await stalled(world, slow, mouth)
    held = connection._held_bytes
    slow.send(*[PingReq()] * 5_000)
    while not connection._pauses & UNREAD:
        await mouth.silent()
    for _ in range(5):
        await mouth.silent()
    answered = (connection._held_bytes - held) // 2
    assert limits.UNREAD_PACKETS_MAX < answered <= limits.UNREAD_PACKETS_MAX + limits.PACKETS_AT_ONCE
    for _ in range(10):
        world.gateway.pass_to(world.gateway.second + 10)
    assert connection.closing
    slow.writer.transport.resume_reading()


async def test_who_does_not_read_for_half_an_hour_is_closed_whatever_it_says(world):
    mouth = await world.client("mouth")
    slow = await world.client("slow", 5, keep_alive_seconds=1_200)
    await subscribed(slow, "flood", qos=0)
    connection = await stalled(world, slow, mouth)
    for _ in range(limits.UNREAD_SECONDS_MAX // 100 + 1):
        assert not connection.closing
        world.gateway.pass_to(world.gateway.second + 100)
        slow.send(PubAck(1))
        while connection.heard_at < world.gateway.second and not connection.closing:
            await mouth.silent()
    assert connection.closing
    assert world.gateway.meters.slow_readers == 1
    slow.writer.transport.resume_reading()


async def test_closing_says_goodbye(world):
    client = await world.client("dev", 5)
    await world.gateway.close()
    assert await client.packet() == Disconnect(Reason.SERVER_SHUTTING_DOWN)
    assert await client.ended()


# Notifications


async def test_notices_come_after_answers_and_watching_follows_subscriptions(world):
    client = await subscribed(await named(world, "dev"), NOTIFY, NOTIFY_NEXT)
    assert world.plane.watched == {"dev": 1}
    world.change("dev")
    first, second = await client.packet(), await client.packet()
    assert (first.topic, second.topic) == (NOTIFY, NOTIFY_NEXT)
    assert json.loads(first.payload)["jobs"]["QUEUED"][0]["jobId"] == "job-1"
    client.send(Unsubscribe(2, (NOTIFY,)))
    await client.packet()
    assert world.plane.watched == {"dev": 1}
    client.send(Unsubscribe(3, (NOTIFY_NEXT,)))
    await client.packet()
    assert world.plane.watched == {}
    await subscribed(client, NOTIFY)
    await gone(world, client)
    assert world.plane.watched == {}


async def test_a_full_window_makes_one_notice_of_many_changes(world):
    client = await world.client("dev", 5, properties=Properties(receive_maximum=1))
    await subscribed(client, NOTIFY)
    for _ in range(5):
        world.change("dev")
    first = await client.packet()
    assert await client.silent()
    client.send(PubAck(first.packet_id))
    second = await client.packet()
    client.send(PubAck(second.packet_id))
    assert await client.silent()


async def test_a_resumed_session_is_told_only_what_it_missed(world):
    keep = {"clean_start": False}
    client = await subscribed(await named(world, "dev", **keep), NOTIFY, NOTIFY_NEXT)
    await gone(world, client)
    client = await named(world, "dev", **keep)
    assert client.connack.session_present
    assert await client.silent()
    await gone(world, client)
    for _ in range(3):
        world.change("dev")
    client = await named(world, "dev", **keep)
    messages = [await client.packet(), await client.packet()]
    assert [message.topic for message in messages] == [NOTIFY, NOTIFY_NEXT]
    client.send(PubAck(messages[0].packet_id))
    assert await client.silent()
    await gone(world, client)
    client = await named(world, "dev", **keep)
    assert (await client.packet()).topic == NOTIFY_NEXT
    assert await client.silent()
    await gone(world, client)
    clean = await named(world, "dev")
    await subscribed(clean, NOTIFY, NOTIFY_NEXT)
    assert await clean.silent()


async def test_wildcards_get_notifications_as_ordinary_messages(world):
    client = await subscribed(await named(world, "dev", clean_start=False), f"{JOBS}/#")
    assert world.plane.watched == {"dev": 1}
    await gone(world, client)
    assert world.plane.watched == {"dev": 1}
    world.change("dev")
    world.change("dev")
    client = await named(world, "dev", clean_start=False)
    assert [(await client.packet()).topic for _ in range(4)] == [NOTIFY, NOTIFY_NEXT] * 2
    await gone(world, client)
    await named(world, "dev")
    assert world.plane.watched == {}


async def test_exact_and_wildcard_filters_of_one_session_deliver_once(world):
    client = await subscribed(await world.client("dev"), NOTIFY, f"{JOBS}/+")
    world.change("dev")
    assert sorted([(await client.packet()).topic, (await client.packet()).topic]) == [NOTIFY, NOTIFY_NEXT]
    assert await client.silent()


async def test_notices_of_qos_0(world):
    client = await subscribed(await world.client("dev"), NOTIFY, qos=0)
    world.change("dev")
    assert (await client.packet()).qos == 0
    assert await client.silent()
