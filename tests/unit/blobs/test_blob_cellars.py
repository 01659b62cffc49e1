"""What every adapter of the Blobs port does, shown on each of them."""

import asyncio
import errno
import hashlib
import os
import time

import pytest
from outfitter_server.base.refusals import NotFound, Unavailable
from outfitter_server.blobs import files
from outfitter_server.blobs.files import FileBlobs

ADAPTERS = {"files": FileBlobs}


@pytest.fixture(params=ADAPTERS)
def blobs(request, tmp_path):
    return ADAPTERS[request.param](tmp_path / "blobs")


async def stream(*pieces):
    for piece in pieces:
        yield piece


async def content(blobs, name, *stretch):
    return b"".join([block async for block in blobs.read(name, *stretch)])


async def test_bytes_come_back_with_their_digests(blobs):
    body = os.urandom(3_000_001)
    stored = await blobs.write(stream(body[:7], body[7:2_000_000], b"", body[2_000_000:]))
    assert stored.size == len(body)
    assert stored.md5 == hashlib.md5(body).hexdigest()
    assert stored.sha256 == hashlib.sha256(body).hexdigest()
    assert await content(blobs, stored.name) == body
    assert await content(blobs, stored.name, 1_500_000, 10) == body[1_500_000:1_500_010]
    assert await content(blobs, stored.name, 3_000_000, 10) == body[3_000_000:]


async def test_an_empty_blob_is_a_blob(blobs):
    stored = await blobs.write(stream())
    assert stored.size == 0
    assert await content(blobs, stored.name) == b""


async def test_a_broken_stream_leaves_nothing(blobs, tmp_path):
    async def breaks():
        yield b"x" * 2_500_000
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await blobs.write(breaks())
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_a_cancelled_write_leaves_nothing(blobs, tmp_path):
    begun, never = asyncio.Event(), asyncio.Event()

    async def stalls():
        yield b"x" * 1_500_000
        begun.set()
        await never.wait()

    task = asyncio.create_task(blobs.write(stalls()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_deleted_blobs_are_gone_and_unknown_ones_ignored(blobs):
    stored = await blobs.write(stream(b"x"))
    await blobs.delete([stored.name, "0" * 32])
    with pytest.raises(NotFound):
        await content(blobs, stored.name)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 32, "0" * 31])
async def test_names_from_elsewhere_reach_no_file(blobs, name):
    with pytest.raises(NotFound):
        await content(blobs, name)


async def test_the_sweep_takes_old_blobs_that_nothing_names(blobs):
    kept, old, young = [(await blobs.write(stream(b"x"))).name for _ in range(3)]
    past = time.time() - 2 * files.SWEEP_AGE_SECONDS
    for name in (kept, old):
        os.utime(blobs.path(name), (past, past))
    assert await blobs.sweep(lambda names: {kept} & set(names)) == 1
    assert await content(blobs, kept) == await content(blobs, young) == b"x"
    with pytest.raises(NotFound):
        await content(blobs, old)


async def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    blobs = FileBlobs(tmp_path / "blobs")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(Unavailable, match="free some space"):
        await blobs.write(stream(b"x"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_a_restart_removes_what_was_under_way(tmp_path):
    FileBlobs(tmp_path)
    (tmp_path / "incoming" / "left").write_bytes(b"half")
    FileBlobs(tmp_path)
    assert not list((tmp_path / "incoming").iterdir())
