import asyncio
import contextlib
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
    monkeypatch.setattr(tls, "AT_ONCE_MAX", 1)
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


async def shaken(port, context):
    """The protocol that a handshake agrees on; None when it fails."""
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        writer.write(b"x")
        found = writer.get_extra_info("ssl_object").selected_alpn_protocol() or ""
        came = await reader.read(1)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    except (ssl.SSLError, ConnectionError):
        return None
    return found if came else None


@contextlib.asynccontextmanager
async def listening(devices, clients):
    async def hello(reader, writer):
        writer.write(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(hello, "127.0.0.1", 0, ssl=devices.listener(clients))
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_listeners_share_their_trust_and_each_asks_for_certificates_as_it_was_told(pki):
    certificate, key, _ = pki.device("server")
    devices = tls.DeviceTls(lambda: pki.ca_pem, certificate, key)
    stranger = ssl.create_default_context(cafile=str(pki.ca_file))
    device = context_of(pki, *pki.device("dev")[:2])
    async with listening(devices, ssl.CERT_REQUIRED) as mqtts, listening(devices, ssl.CERT_OPTIONAL) as https:
        assert await shaken(mqtts, stranger) is None
        assert await shaken(https, stranger) == ""
        for protocol in ("x-amzn-mqtt-ca", "mqtt", "http/1.1"):
            device.set_alpn_protocols([protocol])
            assert await shaken(mqtts, device) == protocol
            assert await shaken(https, device) == protocol


async def test_many_are_loaded_beside_the_loop_and_nobody_waits_for_them(pki, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(tls, "AT_ONCE_MAX", 2)
    monkeypatch.setattr(tls, "SLICE", 2)
    foreign = pki.another(tmp_path_factory.mktemp("foreign"))
    alone = [foreign.device(f"alone-{number}") for number in range(9)]
    trusted = [pki.ca_pem, *(each[0].read_text() for each in alone[:5])]
    certificate, key, _ = pki.device("server")
    devices = tls.DeviceTls(lambda: "".join(trusted), certificate, key)
    own = context_of(pki, *pki.device("dev")[:2])
    async with listening(devices, ssl.CERT_REQUIRED) as port:
        assert not devices._loading.done()
        assert await shaken(port, own) == "", "the CA is there from the start"
        await devices._loading
        for each in alone[:5]:
            assert await shaken(port, context_of(pki, *each[:2])) == ""
        trusted += [each[0].read_text() for each in alone[5:]]
        devices.hear([TrustChanged()])
        await shaken(port, own)
        await devices._loading
        assert await shaken(port, context_of(pki, *alone[8][:2])) == ""
        certificate.write_bytes(pki.device("another")[0].read_bytes())
        key.write_bytes((pki.folder / "another.key").read_bytes())
        before = devices._current
        devices.renew()
        assert devices._current is before, "it serves until the other one has everything"
        await devices._loading
        assert devices._current is not before
        for each in alone:
            assert await shaken(port, context_of(pki, *each[:2])) == ""
