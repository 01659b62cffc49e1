import json
import ssl

import pytest
from outfitter_server.gateway import tls
from outfitter_server.gateway.link import WRITING
from outfitter_server.mqtt.packets import (
    Connect,
    FilterRequest,
    PingReq,
    PingResp,
    Publish,
    Subscribe,
)
from outfitter_server.services.effects import TrustChanged


def context_of(pki, certificate, key):
    context = ssl.create_default_context(cafile=str(pki.ca_file))
    context.load_cert_chain(certificate, key)
    return context


async def connected(world, context, name, *, sni="localhost"):
    try:
        client = await world.open(world.tls_port, ssl=context, server_hostname=sni)
        client.send(Connect(version=4, client_id=name))
        return await client.packet(), client
    except (ssl.SSLError, ConnectionError):
        return None, None


def test_trust_follows_the_registry_without_a_new_listener(scenario, pki, tmp_path_factory):
    own_certificate, own_key, own_der = pki.device("own")
    certificate, key, der = pki.another(tmp_path_factory.mktemp("foreign")).device("alone")
    own, stranger = context_of(pki, own_certificate, own_key), context_of(pki, certificate, key)

    async def told(world, trusted):
        for name, known in (("own", own_der), ("alone", der)):
            world.devices.add(known, name)
        assert (await connected(world, own, "own"))[0].code == 0
        assert (await connected(world, stranger, "alone"))[0] is None

        trusted.append(certificate.read_text())  # registered alone: the leaf is its own anchor
        world.committer.emit(TrustChanged())
        assert (await connected(world, stranger, "alone"))[0].code == 0
        assert (await connected(world, own, "own"))[0].code == 0

        trusted.pop()
        world.committer.emit(TrustChanged())
        assert (await connected(world, stranger, "alone"))[0] is None
        assert (await connected(world, own, "own"))[0].code == 0

    scenario(told)


def test_among_many_the_new_are_added_and_those_that_are_gone_are_no_identity(
    scenario, pki, tmp_path_factory, monkeypatch
):
    monkeypatch.setattr(tls, "REBUILT_MAX", 1)
    foreign = pki.another(tmp_path_factory.mktemp("foreign"))
    first, second = foreign.device("first"), foreign.device("second")
    built = []
    monkeypatch.setattr(tls.DeviceTls, "renew", built.append)

    async def told(world, trusted):
        for name, (certificate, key, der) in (("first", first), ("second", second)):
            context = context_of(pki, certificate, key)
            identity = world.devices.add(der, name)
            assert (await connected(world, context, name))[0] is None
            trusted.append(certificate.read_text())
            world.committer.emit(TrustChanged())
            assert (await connected(world, context, name))[0].code == 0
        trusted.pop()
        del world.devices.known[identity]
        world.committer.emit(TrustChanged())
        assert (await connected(world, context, "second"))[0].code == 5
        assert (await connected(world, context_of(pki, *first[:2]), "first"))[0].code == 0
        assert not built

    scenario(told)


def test_the_name_that_the_device_called_reaches_the_documents(scenario, pki):
    certificate, key, der = pki.device("dev")
    context = context_of(pki, certificate, key)
    context.check_hostname = False

    async def told(world, _trusted):
        world.devices.add(der, "dev")
        for sni, host in (("updates.example", "updates.example"), ("", None)):
            _, client = await connected(world, context, "dev", sni=sni)
            client.send(Publish("$aws/things/dev/jobs/$next/get", b"", 0))
            await client.packet()
            assert world.delivery.hosts[-1] == (host, "127.0.0.1")

    scenario(told)


def test_many_requests_over_tls_are_answered_in_order(scenario, pki):
    certificate, key, der = pki.device("dev")

    async def told(world, _trusted):
        world.devices.add(der, "dev")
        _, client = await connected(world, context_of(pki, certificate, key), "dev")
        for number in range(1, 91):
            client.send(Publish("$aws/things/dev/jobs/get", b'{"clientToken":"%d"}' % number, 1, number))
        for number in range(1, 91):
            assert (await client.packet()).packet_id == number
            assert b'"clientToken":"%d"' % number in (await client.packet()).payload

    scenario(told)


def test_who_reads_slowly_is_heard(scenario, pki):
    certificate, key, der = pki.device("dev")

    async def told(world, _trusted):
        world.devices.add(der, "dev")
        _, client = await connected(world, context_of(pki, certificate, key), "dev")
        client.send(Subscribe(1, (FilterRequest("free/a", 0),)))
        await client.packet()
        mouth = await world.client("mouth")
        world.gateway._timer.cancel()
        connection = world.gateway._connections["dev"]
        client.writer.transport.pause_reading()
        while not connection._pauses & WRITING:
            mouth.send(Publish("free/a", b"x" * 100_000))
            assert await mouth.silent()
        for _ in range(3):
            world.gateway.pass_to(world.gateway.second + 10)
            client.send(PingReq())
            while connection.heard_at < world.gateway.second:
                await mouth.silent()
        client.writer.transport.resume_reading()
        while type(await client.packet()) is not PingResp:
            pass
        client.close()

    scenario(told)


def test_tls_1_1_is_refused(scenario, pki):
    certificate, key, der = pki.device("dev")
    context = context_of(pki, certificate, key)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    async def told(world, _trusted):
        world.devices.add(der, "dev")
        assert (await connected(world, context, "dev"))[0] is None

    scenario(told)


@pytest.mark.parametrize(("network", "code"), [("127.0.0.0/8", 0), ("10.0.0.0/8", None)])
def test_policies_may_ask_where_a_connection_comes_from(scenario, pki, network, code):
    certificate, key, der = pki.device("dev")
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:*",
                "Resource": "*",
                "Condition": {"IpAddress": {"aws:SourceIp": network}},
            }
        ],
    }

    async def told(world, _trusted):
        world.devices.add(der, "dev", policy=json.dumps(policy))
        found, _ = await connected(world, context_of(pki, certificate, key), "dev")
        assert getattr(found, "code", None) == code

    scenario(told)
