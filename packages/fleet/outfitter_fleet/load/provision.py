"""Thousands of things in seconds: AWS's own requests, signed by botocore's signer, many at a time."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import aiohttp
import yarl
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from outfitter_fleet.stage.server import REGION, Server

POLICY: Final = "bench-device"
_AT_ONCE: Final = 32
_THING: Final = "${iot:Connection.Thing.ThingName}"

Item = TypeVar("Item")
Result = TypeVar("Result")


class ProvisioningFailed(Exception):  # noqa: N818 - what happened, not whose fault it is
    """The server did not do what the benchmark needs before it can begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A thing that can connect: its certificate and key are files."""

    name: str
    certificate: Path
    key: Path


class Api:
    """The ``iot`` API over one pool of connections; as few layers as a signed request allows."""

    def __init__(self, server: Server) -> None:
        """Use it as an asynchronous context."""
        self._url = server.url
        self._signer = SigV4Auth(Credentials(server.access_key_id, server.secret_access_key), "iot", REGION)

    async def __aenter__(self) -> Self:
        """Open the pool."""
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_AT_ONCE))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the pool."""
        await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Send one request; the decoded answer.

        Raises:
            ProvisioningFailed: the server refused it.
        """
        data = json.dumps(body).encode() if body is not None else b""
        request = AWSRequest(method=method, url=self._url + path, data=data, headers=dict(headers or {}))
        self._signer.add_auth(request)
        url = yarl.URL(self._url + path, encoded=True)
        async with self._session.request(method, url, data=data, headers=dict(request.headers)) as response:
            answer = await response.read()
            if response.status != 200:
                raise ProvisioningFailed(
                    f"{method} {path}: {response.status} {answer[:300].decode(errors='replace')}"
                )
            decoded: dict[str, Any] = json.loads(answer or b"{}")
            return decoded


async def in_parallel(work: Callable[[Item], Awaitable[Result]], items: Iterable[Item]) -> list[Result]:
    """Do the work for all items, a bounded number at once; the results in no particular order."""
    queue, results = iter(items), []

    async def worker() -> None:
        for item in queue:
            results.append(await work(item))  # noqa: PERF401 - the workers share one iterator

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(worker())
    return results


async def create_members(api: Api, group: str, names: Iterable[str]) -> None:
    """Create things and put them in an existing group."""

    async def create(name: str) -> None:
        await api.call("POST", f"/things/{quote(name, safe='')}", {})
        await api.call(
            "PUT", "/thing-groups/addThingToThingGroup", {"thingGroupName": group, "thingName": name}
        )

    await in_parallel(create, names)


async def create_devices(api: Api, names: Iterable[str], folder: Path) -> list[Device]:
    """Give existing things a certificate each, with the benchmark's policy."""

    async def create(name: str) -> Device:
        made = await api.call("POST", "/keys-and-certificate?setAsActive=true")
        await api.call("PUT", f"/target-policies/{POLICY}", {"target": made["certificateArn"]})
        await api.call(
            "PUT", f"/things/{name}/principals", headers={"x-amzn-principal": made["certificateArn"]}
        )
        device = Device(name=name, certificate=folder / f"{name}.pem", key=folder / f"{name}.key")
        device.certificate.write_text(made["certificatePem"])
        device.key.touch(0o600)
        device.key.write_text(made["keyPair"]["PrivateKey"])
        return device

    return await in_parallel(create, names)


def create_policy(iot: Any, account: str, things: str = _THING) -> None:
    """What a device of the benchmark may do: its own jobs topics and one topic of its own to echo on.

    ``things`` is a pattern of the things whose jobs topics it may use: a gateway speaks for others.
    """
    arn = f"arn:aws:iot:{REGION}:{account}"
    own = (f"$aws/things/{things}/jobs/*", f"bench/{_THING}")
    statements = [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{arn}:client/{_THING}"},
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive"],
            "Resource": [f"{arn}:topic/{topic}" for topic in own],
        },
        {
            "Effect": "Allow",
            "Action": "iot:Subscribe",
            "Resource": [f"{arn}:topicfilter/{topic}" for topic in own],
        },
        {"Effect": "Allow", "Action": "iotjobsdata:*", "Resource": f"{arn}:thing/{things}"},
    ]
    iot.create_policy(
        policyName=POLICY, policyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements})
    )
