"""The https door with the file store behind it, in a thread of its own, over http and https; clients are boto3 and curl."""

import asyncio
import ssl
import threading
import time
import uuid
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import boto3
import pytest
import uvloop
from botocore.config import Config
from outfitter_server.access.signature import Credentials
from outfitter_server.aws.dispatch import Dispatcher
from outfitter_server.base.installation import Installation
from outfitter_server.blobs.files import FileBlobs
from outfitter_server.https.door import HttpsDoor
from outfitter_server.keys.authority import FileAuthority
from outfitter_server.s3.door import S3Door
from outfitter_server.services.buckets import Buckets
from outfitter_server.services.callers import Callers
from outfitter_server.services.committer import Committer
from outfitter_server.services.devices import Devices
from outfitter_server.services.objects import Objects
from outfitter_server.services.uploads import Uploads
from outfitter_server.stores.sqlite.store import SqliteStore

ROOT = Credentials(access_key_id="AKIAROOT", secret_access_key="root-secret")
CONSOLE = "outfitter-console"


@dataclass(eq=False)
class StoreServer:
    """A running file store.

    Attributes:
        folder: where its blobs are.
    """

    folder: Path
    http: int = 0
    https: int = 0
    ca: str = ""
    clients: list = field(default_factory=list)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http}"

    @property
    def secure_url(self):
        return f"https://127.0.0.1:{self.https}"

    @cache  # noqa: B019 - making a client costs a second, and the server lives as long as the tests
    def client(self, *, secure=False, credentials=ROOT, **config):
        made = boto3.session.Session(
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            region_name="eu-north-1",
        ).client(
            "s3",
            endpoint_url=self.secure_url if secure else self.url,
            verify=self.ca if secure else None,
            config=Config(
                signature_version="s3v4",
                retries={"total_max_attempts": 1},
                read_timeout=20,
                connect_timeout=5,
                s3={"addressing_style": "path"},
                **config,
            ),
        )
        self.clients.append(made)
        return made

    def files(self):
        return {path.name for path in self.folder.rglob("*") if path.is_file()}


async def _serve(server, folder, ready, stop):
    def clock():
        return int(time.time() * 1000)

    installation = Installation()
    store = SqliteStore(folder)
    committer = Committer(store, clock)
    authority = FileAuthority(folder / "ca", clock)
    blobs = FileBlobs(server.folder)
    devices = Devices(committer, authority)
    s3 = S3Door(
        buckets=Buckets(committer),
        objects=Objects(committer, blobs),
        uploads=Uploads(committer, blobs, lambda: uuid.uuid4().hex),
        installation=installation,
        new_request_id=lambda: uuid.uuid4().hex,
        hosts=("127.0.0.1", "store.test"),
        console_bucket=CONSOLE,
    )
    door = HttpsDoor(
        dispatcher=Dispatcher({}),
        callers=Callers(ROOT, installation),
        devices=devices,
        s3=s3.handle,
        bucket_of_host=s3.bucket_of_host,
        clock=clock,
        installation=installation,
    )
    server.http = await door.start("127.0.0.1", 0)
    certificate, key = authority.server_certificate(["127.0.0.1", "localhost"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.https = await door.start("127.0.0.1", 0, context)
    trusted = folder / "trusted.pem"
    trusted.write_text(authority.ca_pem())
    server.ca = str(trusted)
    ready.set()
    await stop.wait()
    connections = door._server
    await door.close()
    # A TLS connection lives on until its client has answered the end; a loop that is closed before waits two minutes for it.
    while connections.open_connections:  # noqa: ASYNC110 - nothing tells of the last one
        await asyncio.sleep(0.01)
    store.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    server = StoreServer(folder=folder / "blobs")
    ready = threading.Event()
    loops = []
    stop = asyncio.Event()

    async def serve():
        loops.append(asyncio.get_running_loop())
        await _serve(server, folder, ready, stop)

    def run():
        # As outfitterd runs: the runner ends generators and threads before it closes the loop, in the loop's thread.
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    yield server
    for client in server.clients:
        client.close()
    loops[0].call_soon_threadsafe(stop.set)
    thread.join()


@pytest.fixture(params=["http", "https"])
def s3(request, server):
    return server.client(secure=request.param == "https")


@pytest.fixture
def bucket(server):
    name = f"b-{uuid.uuid4().hex[:12]}"
    server.client().create_bucket(Bucket=name)
    return name
