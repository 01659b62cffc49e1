"""A door on a free port before real parts: registry, certificate authority, store; handlers and objects of a few lines."""

import asyncio
import logging
import ssl
import time
import uuid
from dataclasses import dataclass, field

import boto3
import pytest_asyncio
from aiohttp import web
from botocore.config import Config
from outfitter_server.access.signature import Credentials
from outfitter_server.aws.dispatch import Dispatcher
from outfitter_server.aws.operations.identity import IdentityOperations
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import NotFound, VersionConflict
from outfitter_server.https.door import HttpsDoor
from outfitter_server.keys.authority import FileAuthority
from outfitter_server.services.callers import Callers
from outfitter_server.services.certificates import Certificates
from outfitter_server.services.committer import Committer
from outfitter_server.services.devices import Devices
from outfitter_server.services.policies import Policies
from outfitter_server.services.principals import Principals
from outfitter_server.stores.sqlite.store import SqliteStore

SESSION = boto3.session.Session()  # it keeps the service models that it has read
ROOT = Credentials(access_key_id="AKIAROOT", secret_access_key="root-secret")


class TinyRegistry:
    """Handlers that show what reached them."""

    def __init__(self):
        self.calls = []
        self.gate = asyncio.Event()
        self.reached = asyncio.Event()

    def handlers(self):
        return {
            "iot": {
                "CreateThing": self.create_thing,
                "DescribeThing": self.describe_thing,
                "ListJobExecutionsForThing": self.list_executions,
                "DescribeEndpoint": self.slow,
            },
            "iot-jobs-data": {
                "GetPendingJobExecutions": self.pending,
                "StartNextPendingJobExecution": self.start_next,
                "UpdateJobExecution": self.update,
            },
            "sts": IdentityOperations().handlers(),
        }

    async def create_thing(self, call):
        self.calls.append(call)
        name = call.parameters["thingName"]
        return {"thingName": name, "thingArn": f"arn:{name}", "thingId": None}

    async def describe_thing(self, call):
        if call.parameters["thingName"] == "broken":
            raise ZeroDivisionError
        raise NotFound(f"there is no thing {call.parameters['thingName']}")

    async def list_executions(self, call):
        return {"executionSummaries": [], "nextToken": "control-plane"}

    async def slow(self, call):
        self.reached.set()
        await self.gate.wait()
        return {"endpointAddress": "late"}

    async def pending(self, call):
        self.calls.append(call)
        return {"inProgressJobs": [], "queuedJobs": [{"jobId": "device-plane", "queuedAt": 5}]}

    async def start_next(self, call):
        self.calls.append(call)
        return {"execution": {"jobId": "next", "status": "IN_PROGRESS", "jobDocument": None}}

    async def update(self, call):
        raise VersionConflict("Expected version 9 but found version 1")


class TinyObjects:
    """Objects in a dictionary; keeps what the door said about each request."""

    def __init__(self):
        self.objects = {}
        self.seen = []

    async def handle(self, request, claim, caller, context):
        self.seen.append((request.method, claim, caller, context))
        path = request.raw_path.partition("?")[0]
        if request.method == "PUT":
            if "Expect" in request.headers:
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0
            self.objects[path] = await request.content.read()
            return web.Response(headers={"ETag": '"0"'})
        if path == "/breaks/off":
            response = web.StreamResponse(headers={"Content-Length": "10"})
            await response.prepare(request)
            await response.write(b"12345")
            raise ZeroDivisionError
        if path not in self.objects:
            raise NotFound("no such key")
        return web.Response(body=self.objects[path])


@dataclass
class House:
    door: HttpsDoor
    registry: TinyRegistry
    objects: TinyObjects
    certificates: Certificates
    policies: Policies
    principals: Principals
    authority: FileAuthority
    store: SqliteStore
    http: int = 0
    https: int = 0
    clock: list[int] = field(default_factory=lambda: [0])

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http}"

    @property
    def secure_url(self):
        return f"https://127.0.0.1:{self.https}"

    def ca(self, folder):
        path = folder / "trusted.pem"
        path.write_text(self.authority.ca_pem())
        return str(path)

    def client(self, service, *, url=None, verify=None, credentials=ROOT, **config):
        return SESSION.client(
            service,
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.session_token,
            region_name="eu-north-1",
            endpoint_url=url or self.url,
            verify=verify,
            config=Config(
                retries={"total_max_attempts": 1},
                read_timeout=5,
                connect_timeout=5,
                s3={"addressing_style": "path"},
                **config,
            ),
        )

    async def device(self, thing):
        with self.store.write():
            self.store._writer.execute(
                "INSERT INTO things (name, id, attributes, version, created_at) VALUES (?, ?, '{}', 1, 0)",
                (thing, thing),
            )
        issued = await self.certificates.create(active=True)
        await self.principals.attach(thing, issued.certificate_id)
        return issued


@pytest_asyncio.fixture
async def house(tmp_path):
    def clock():
        return int(time.time() * 1000) + shift[0]

    shift = [0]

    def new_id():
        return str(uuid.uuid4())

    installation = Installation()
    store = SqliteStore(tmp_path)
    committer = Committer(store, clock)
    authority = FileAuthority(tmp_path / "ca", clock)
    registry, objects = TinyRegistry(), TinyObjects()
    door = HttpsDoor(
        dispatcher=Dispatcher(registry.handlers()),
        callers=Callers(ROOT, installation),
        devices=Devices(committer, authority),
        s3=objects.handle,
        bucket_of_host=lambda _host: None,
        clock=clock,
        installation=installation,
    )
    house = House(
        door=door,
        registry=registry,
        objects=objects,
        certificates=Certificates(committer, authority, clock, new_id),
        policies=Policies(committer, new_id),
        principals=Principals(committer),
        authority=authority,
        store=store,
        clock=shift,
    )
    logging.getLogger("outfitter_server.https").setLevel(logging.DEBUG)
    house.http = await door.start("127.0.0.1", 0)
    certificate, key = authority.server_certificate(["127.0.0.1", "localhost"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(cadata=authority.ca_pem())
    house.https = await door.start("127.0.0.1", 0, context)
    yield house
    logging.getLogger("outfitter_server.https").setLevel(logging.NOTSET)
    registry.gate.set()
    await door.close()
    store.close()
