"""A pool of real workers over code that a test writes."""

import asyncio
import hashlib
import io
import json
import time
import zipfile
from pathlib import Path

import pytest
from outfitter_server.functions.settings import FunctionSettings
from outfitter_server.sandbox.confinement import find_confinement
from outfitter_server.sandbox.pool import Keys, Surroundings, WorkerPool
from outfitter_server.services.ports import RunnableFunction


def archive(members):
    """A zip of these members: text, or ZipInfo and bytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return made.getvalue()


class House:
    """A pool, and functions from source text."""

    def __init__(self, folder: Path, **options) -> None:
        self.folder = folder
        self.blobs = {}
        settings = {"confinement": find_confinement(unconfined=False), "workers_max": 3} | options
        self.pool = WorkerPool(
            folder / "functions",
            read_code=self.read,
            lend=lambda arn, _seconds: Keys(
                access_key_id="ASIATEST", secret_access_key="secret", session_token=arn
            ),
            clock=lambda: time.time_ns() // 1_000_000,
            **settings,
        )
        self.pool.surroundings = Surroundings(
            region="eu-west-1", endpoint_url="https://127.0.0.1:4567", ca_pem="CA"
        )
        self.pool.start()

    async def read(self, blob):
        yield self.blobs[blob]

    def function(self, source, name="tried", revision="1", **settings):
        """A function whose module ``app`` has this source."""
        data = archive({"app.py": source})
        sha256 = hashlib.sha256(data).hexdigest()
        self.blobs[sha256] = data
        given = {
            "runtime": "python3.11",
            "handler": "app.handler",
            "role": "arn:aws:iam::000000000000:role/r",
            "timeout_seconds": 20,
        } | settings
        return RunnableFunction(
            name=name,
            arn=f"arn:aws:lambda:eu-west-1:000000000000:function:{name}",
            revision=revision,
            settings=FunctionSettings(**given),
            code_sha256=sha256,
            code_blob=sha256,
            session="arn:aws:sts::000000000000:assumed-role/r/tried",
        )

    async def call(self, function, event=None, request_id="11111111-2222"):
        """The outcome of one event."""
        return await self.pool.invoke(function, request_id, json.dumps(event).encode())

    async def result(self, source, event=None, **settings):
        """What a function returns, which it must."""
        outcome = await self.call(self.function(source, **settings), event)
        assert outcome.error is None, (outcome.payload, outcome.log_tail)
        return json.loads(outcome.payload)

    async def failure(self, source, event=None, **settings):
        """The error of a function, which must fail, and its log."""
        outcome = await self.call(self.function(source, **settings), event)
        assert outcome.error == "Unhandled"
        return json.loads(outcome.payload), outcome.log_tail.decode()

    def log(self, name="tried"):
        return (self.folder / "functions" / "logs" / f"{name}.log").read_text()


@pytest.fixture
async def house(tmp_path):
    made = House(tmp_path)
    yield made
    await made.pool.close()
    assert not made.pool._workers_folder.exists()


@pytest.fixture
async def make_house(tmp_path):
    """For pools with options of their own."""
    made = []

    def make(**options):
        made.append(House(tmp_path / str(len(made)), **options))
        return made[-1]

    yield make
    for house in made:
        await house.pool.close()


@pytest.fixture
def until():
    """Wait for what nobody announces: a process that ends, an event that a worker has taken."""

    async def wait(check):
        for _ in range(1_000):
            if check():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"never became true: {check}")

    return wait


@pytest.fixture(name="archive")
def archive_fixture():
    return archive
