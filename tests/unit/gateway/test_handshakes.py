"""Handshakes beside the loop: others are served meanwhile, and whatever ends one waits for the thread."""

import asyncio
import gc
import socket
import ssl
import threading

import pytest
from outfitter_server.gateway import doorway as doorway_module
from outfitter_server.gateway.handshakes import Workshop
from outfitter_server.mqtt.encode import encode
from outfitter_server.mqtt.packets import Connect, PingReq, PingResp
from waiting import until

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def certified(pki):
    """The context of a client with a certificate, and the certificate."""
    certificate, key, der = pki.device("dev")
    context = ssl.create_default_context(cafile=str(pki.ca_file))
    context.load_cert_chain(certificate, key)
    return context, der


class Held:
    """Keeps what is ordered from the thread."""

    def __init__(self, monkeypatch):
        self.orders, self._order = [], Workshop.order
        monkeypatch.setattr(Workshop, "order", lambda *order: self.orders.append(order))

    def let_go(self):
        while self.orders:
            self._order(*self.orders.pop())


@pytest.fixture
def held(monkeypatch):
    return Held(monkeypatch)


def shaking(world):
    (found,) = [each for each in world.gateway.doorways if each._context]
    return found


async def connect(world, context):
    client = await world.open(world.tls_port, ssl=context, server_hostname="localhost")
    client.send(Connect(version=4, client_id="dev"))
    return await client.packet()


async def held_back(world, certified, held):
    """A client that waits for the thread."""
    context, der = certified
    world.devices.add(der, "dev")
    coming = asyncio.ensure_future(connect(world, context))
    await until(lambda: held.orders)
    return coming


def test_others_are_served_while_a_client_is_verified(scenario, certified, held):
    async def told(world, _):
        coming = await held_back(world, certified, held)
        other = await world.client("other")
        other.send(PingReq())
        assert isinstance(await other.packet(), PingResp)
        assert shaking(world).waiting == 1
        held.let_go()
        assert (await coming).code == 0
        assert shaking(world).waiting == 0

    scenario(told)


@pytest.fixture
def where(monkeypatch):
    """The thread of each step of the server."""
    names, step = [], ssl.SSLObject.do_handshake

    def watched(self):
        if self.server_side:
            names.append(threading.current_thread().name)
        step(self)

    monkeypatch.setattr(ssl.SSLObject, "do_handshake", watched)
    return names


def test_what_a_client_costs_is_computed_in_the_thread(scenario, certified, where):
    context, der = certified

    async def told(world, _):
        world.devices.add(der, "dev")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            where.clear()
            context.minimum_version = context.maximum_version = version
            assert (await connect(world, context)).code == 0
            # Before the client has spoken, and until the server has.
            assert where == ["MainThread"] * 2 + ["handshakes"]

    scenario(told)


def test_a_handshake_that_comes_a_byte_at_a_time_stays_in_the_thread_once_the_server_has_spoken(
    scenario, certified, where
):
    context, der = certified

    async def told(world, _):
        world.devices.add(der, "dev")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        reader, writer = await asyncio.open_connection("127.0.0.1", world.tls_port)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        async def said(do):
            while True:
                try:
                    return do()
                except ssl.SSLWantReadError:
                    await spoken()
                    incoming.write(await reader.read(4096))

        async def spoken():
            for byte in outgoing.read():
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)

        await said(tls.do_handshake)
        tls.write(encode(Connect(version=4, client_id="dev"), 4))
        await spoken()
        assert await said(lambda: tls.read(100)) == b"\x20\x02\0\0"
        assert "MainThread" not in where[where.index("handshakes") :]
        writer.close()
        await writer.wait_closed()

    scenario(told)


def test_who_is_out_of_time_while_the_thread_is_at_it_ends_after_it(scenario, certified, held, monkeypatch):
    monkeypatch.setattr(doorway_module, "HANDSHAKE_SECONDS", 0.05)

    async def told(world, _):
        coming = await held_back(world, certified, held)
        await asyncio.sleep(0.1)
        assert shaking(world).waiting == 1, "the buffers are still the thread's"
        held.let_go()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError, AssertionError)):
            assert await coming is not None
        await until(lambda: not shaking(world).waiting)
        assert world.gateway.meters.refused["HANDSHAKE"] == 1
        assert world.gateway.connected == 0

    scenario(told)


def test_a_client_that_went_while_the_thread_was_at_it_is_no_connection(scenario, certified, held):
    async def told(world, _):
        coming = await held_back(world, certified, held)
        coming.cancel()
        for client in world.clients:
            client.writer.transport.abort()
        held.let_go()
        await until(lambda: not shaking(world).waiting)
        await until(lambda: not world.gateway._open)

    scenario(told)


def test_none_begins_while_the_thread_has_enough_to_do(scenario, certified, monkeypatch):
    context, der = certified
    begun = []
    monkeypatch.setattr(Workshop, "busy", property(lambda _: not begun))

    async def told(world, _):
        world.devices.add(der, "dev")
        coming = asyncio.ensure_future(connect(world, context))
        await until(lambda: shaking(world)._speaking)
        assert not (await asyncio.wait([coming], timeout=0.05))[0]
        assert not shaking(world)._shaking
        begun.append(True)
        assert (await coming).code == 0

    scenario(told)


def test_a_stop_waits_for_the_thread(scenario, certified, held):
    async def told(world, _):
        coming = await held_back(world, certified, held)
        held.let_go()
        await world.gateway.close()
        await asyncio.wait([coming])
        coming.exception()
        assert not [each for each in threading.enumerate() if each.name == "handshakes"]

    scenario(told)


def test_handshakes_leave_nothing_to_the_garbage_collector(scenario, certified, pki, tmp_path_factory):
    context, der = certified
    certificate, key, _ = pki.another(tmp_path_factory.mktemp("foreign")).device("foreign")
    foreign = ssl.create_default_context(cafile=str(pki.ca_file))
    foreign.load_cert_chain(certificate, key)

    async def told(world, _):
        world.devices.add(der, "dev")
        refused = world.gateway.meters.refused

        async def attempts(number):
            for _ in range(number):
                raw = socket.create_connection(("127.0.0.1", world.tls_port))
                raw.sendall(b"GET / HTTP/1.0\r\n\r\n")
                for each in (context, foreign):
                    shaken = await asyncio.to_thread(shake, each)
                    shaken.close()
                raw.close()

        def shake(each):
            made = each.wrap_socket(
                socket.create_connection(("127.0.0.1", world.tls_port)), server_hostname="localhost"
            )
            made.sendall(encode(Connect(version=4, client_id="dev"), 4))
            return made

        await attempts(2)
        await until(lambda: refused["HANDSHAKE"] == 4)
        await until(lambda: not world.gateway._open)
        gc.collect()
        gc.disable()
        try:
            await attempts(5)
            await until(lambda: refused["HANDSHAKE"] == 14)
            await until(lambda: not world.gateway._open)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = [each for each in gc.garbage if type(each).__module__.startswith(("outfitter", "uvloop"))]
            assert left == []
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

    scenario(told)
