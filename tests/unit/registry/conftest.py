"""The registry on a real store: services, operations, effects; the clock is the test's."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import pytest_asyncio
from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.authorization import AuthorizationOperations
from outfitter_server.aws.operations.certificates import CertificateOperations
from outfitter_server.aws.operations.endpoint import EndpointOperations
from outfitter_server.aws.operations.packages import PackageOperations
from outfitter_server.aws.operations.policies import PolicyOperations, PolicyTargetOperations
from outfitter_server.aws.operations.tags import TagOperations
from outfitter_server.aws.operations.thing_types import ThingTypeOperations
from outfitter_server.aws.operations.things import PrincipalOperations
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import NotFound
from outfitter_server.keys.authority import FileAuthority
from outfitter_server.main.fleet import FleetParts
from outfitter_server.main.provisioning import ProvisioningParts
from outfitter_server.services.authorization import Authorization
from outfitter_server.services.callers import Caller
from outfitter_server.services.certificates import Certificates
from outfitter_server.services.committer import Committer
from outfitter_server.services.devices import Devices
from outfitter_server.services.effects import PrincipalChanged
from outfitter_server.services.invocations import InvokeResult
from outfitter_server.services.messages import Publication
from outfitter_server.services.packages import Packages
from outfitter_server.services.policies import Policies
from outfitter_server.services.principals import Principals
from outfitter_server.services.tags import Tags
from outfitter_server.services.thing_types import ThingTypes
from outfitter_server.stores.sqlite.store import SqliteStore

START = 1_700_000_000_000
ROOT = Caller(account="000000000000", access_key_id="AKIAROOT", arn="arn:aws:iam::000000000000:root")


class Ear:
    """A Membership that remembers what it was told, and what it could read at that moment."""

    def __init__(self):
        self.told = []

    def joined(self, batch, thing, group):
        self.told.append(("joined", thing, group))

    def left(self, batch, thing, group):
        self.told.append(("left", thing, group))

    def thing_deleted(self, batch, thing):
        groups = [row["group_name"] for row in batch.tx.all("groups_of_thing", thing=thing)]
        self.told.append(("thing_deleted", thing, groups))

    def group_deleted(self, batch, group):
        things = [row["thing"] for row in batch.tx.all("members_page", group=group, after="", limit=9)]
        self.told.append(("group_deleted", group, things))


@dataclass
class Registry:
    """``await registry("CreateThing", thingName=…)`` calls the operation and holds its result to AWS's model."""

    handlers: dict[str, Handler]
    committer: Committer
    devices: Devices
    authority: FileAuthority
    ear: Ear
    clock: list[int]
    fleet: FleetParts
    provisioning: ProvisioningParts
    objects: set[tuple[str, str]] = field(default_factory=set)
    changed: list[str | None] = field(default_factory=list)

    async def __call__(self, operation: str, **parameters: Any) -> dict[str, Any]:
        call = Call(
            service="iot",
            operation=operation,
            parameters=parameters,
            caller=ROOT,
            host="here.example",
            secure=True,
        )
        result = await self.handlers[operation](call)
        conforms(result, MODEL.operation_model(operation).output_shape, operation)
        return result

    def effects(self) -> list[str | None]:
        """The certificates whose connections were to be judged anew since the last question; None is all."""
        told, self.changed[:] = list(self.changed), []
        return told

    async def pages(
        self,
        operation: str,
        member: str,
        *,
        token: str = "nextToken",
        answer: str | None = None,
        **given: Any,
    ):
        """Every page of a listing, one list each."""
        position: dict[str, Any] = {}
        for _ in range(100):
            result = await self(operation, **given, **position)
            yield result[member]
            more = result.get(answer or token)
            if more is None:
                return
            position = {token: more}
        raise AssertionError("the listing does not end")


MODEL = botocore.session.get_session().get_service_model("iot")


def conforms(value: Any, shape: Any, where: str) -> None:
    """Every member that is answered is one of AWS's."""
    if value is None:
        return
    if shape is None:
        assert value == {}, where
    elif shape.type_name == "structure":
        assert set(value) <= set(shape.members), f"{where}: {set(value) - set(shape.members)}"
        for name, member in value.items():
            conforms(member, shape.members[name], f"{where}.{name}")
    elif shape.type_name == "list":
        for member in value:
            conforms(member, shape.member, where)


@pytest.fixture
def store(tmp_path: Path):
    store = SqliteStore(tmp_path)
    yield store
    store.close()


@pytest_asyncio.fixture
async def registry(tmp_path: Path, store: SqliteStore) -> AsyncIterator[Registry]:
    async with opened(tmp_path, store) as registry:
        yield registry


@pytest.fixture
def make_registry(tmp_path: Path):
    """``async with make_registry(name) as registry``: one of its own, as often as a test likes."""

    @asynccontextmanager
    async def make(name: str) -> AsyncIterator[Registry]:
        (folder := tmp_path / name).mkdir()
        with closing(SqliteStore(folder)) as store:
            async with opened(folder, store) as registry:
                yield registry

    return make


async def no_function(function: str, payload: bytes, source_arn: str) -> InvokeResult:
    raise NotFound(f"there is no function {function}")


@asynccontextmanager
async def opened(tmp_path: Path, store: SqliteStore) -> AsyncIterator[Registry]:
    time, numbers = [START], itertools.count(1)

    def clock() -> int:
        return time[0]

    def new_id() -> str:
        return f"id-{next(numbers)}"

    committer, home, ear = Committer(store, clock), Installation(), Ear()
    authority = FileAuthority(tmp_path / "ca", clock)
    devices = Devices(committer, authority)
    policies, objects = Policies(committer, new_id), set()
    fleet = FleetParts(committer=committer, installation=home, clock=clock, new_id=new_id)
    operations = (
        EndpointOperations("devices.example"),
        ThingTypeOperations(ThingTypes(committer, home, new_id), home),
        PrincipalOperations(Principals(committer), home),
        CertificateOperations(Certificates(committer, authority, clock, new_id), home),
        PolicyOperations(policies, home),
        PolicyTargetOperations(policies, home),
        AuthorizationOperations(Authorization(committer, devices), home),
        PackageOperations(Packages(committer, lambda bucket, key: (bucket, key) in objects), home),
        TagOperations(Tags(committer, home)),
    )
    handlers = {name: handler for each in operations for name, handler in each.handlers().items()}
    handlers |= fleet.handlers(ear)
    provisioning = ProvisioningParts(
        committer=committer,
        authority=authority,
        devices=devices,
        fleet=fleet,
        policies=policies,
        invoke=no_function,
        installation=home,
        clock=clock,
        new_id=new_id,
        publish=lambda _: Publication(0),
    )
    registry = Registry(
        handlers=handlers | provisioning.handlers(),
        fleet=fleet,
        provisioning=provisioning,
        committer=committer,
        devices=devices,
        authority=authority,
        ear=ear,
        clock=time,
        objects=objects,
    )
    committer.listen(
        lambda effects: registry.changed.extend(
            e.certificate_id for e in effects if isinstance(e, PrincipalChanged)
        )
    )
    fleet.start()
    yield registry
    await fleet.close()
    await committer.drain()
