from outfitter_server.mqtt.packets import (
    FilterRequest,
    Properties,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
)


async def test_a_client_may_number_its_topics(world):
    ear = await world.client("ear", 4)
    ear.send(Subscribe(1, (FilterRequest("#", 1),)))
    await ear.packet()
    mouth = await world.client("mouth", 5)
    for topic, alias, number in (("a", 1, 1), ("b", 8, 2), ("", 1, 3), ("c", 1, 4), ("", 1, 5), ("", 8, 6)):
        mouth.send(Publish(topic, b"x", 1, number, properties=Properties(topic_alias=alias)))
        assert await mouth.packet() == PubAck(number)
    topics = []
    for _ in range(6):
        message = await ear.packet()
        topics.append(message.topic)
    assert topics == ["a", "b", "a", "c", "c", "b"]


async def test_the_gateway_numbers_topics_for_a_client_that_takes_numbers(world):
    ear = await world.client("ear", 5, properties=Properties(topic_alias_maximum=2, maximum_packet_bytes=60))
    ear.send(Subscribe(1, (FilterRequest("#", 1),)))
    assert await ear.packet() == SubAck(1, (1,))
    mouth = await world.client("mouth", 5)
    mouth.send(Publish("one", b"x" * 60, 0))  # too large for this client: it never learns the number
    for topic in ("one", "two", "three", "one", "two", "three"):
        mouth.send(Publish(topic, topic.encode(), 0, properties=Properties(content_type="t")))
    found = []
    for _ in range(6):
        message = await ear.packet()
        assert message.properties.content_type == "t"
        found.append((message.topic, message.properties.topic_alias, message.payload))
    assert found == [
        ("one", 1, b"one"),
        ("two", 2, b"two"),
        ("three", None, b"three"),
        ("", 1, b"one"),
        ("", 2, b"two"),
        ("three", None, b"three"),
    ]


async def test_packets_up_to_the_clients_maximum_are_sent(world):
    ear = await world.client("ear", 5, properties=Properties(maximum_packet_bytes=30))
    ear.send(Subscribe(1, (FilterRequest("a", 1),)))
    await ear.packet()
    mouth = await world.client("mouth", 5)
    for size in (22, 23, 24):
        mouth.send(Publish("a", b"x" * size, 1, size))
        await mouth.packet()
    message = await ear.packet()
    assert len(message.payload) == 22
    assert await ear.silent()


async def test_properties_of_a_request_travel_on(world):
    ear = await world.client("ear", 5)
    ear.send(Subscribe(1, (FilterRequest("ask", 1),)))
    await ear.packet()
    asked = Properties(
        payload_format=1,
        content_type="text/plain",
        response_topic="answers/1",
        correlation_data=b"\x00\xff",
        user=(("k", "1"), ("k", "2"), ("", "")),
    )
    mouth = await world.client("mouth", 5)
    mouth.send(Publish("ask", b"?", 1, 1, properties=asked))
    assert (await ear.packet()).properties == asked
