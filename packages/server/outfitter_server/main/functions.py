"""Wiring of functions: services, workers, URLs, and what they must know of the listeners."""

import secrets
import string
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from outfitter_server.access.signature import presign_url
from outfitter_server.aws.dispatch import Handler
from outfitter_server.aws.operations.function_calls import (
    FunctionPermissionOperations,
    FunctionUrlOperations,
    InvocationOperations,
)
from outfitter_server.aws.operations.functions import FunctionOperations
from outfitter_server.base.installation import Installation
from outfitter_server.blobs.files import FileBlobs
from outfitter_server.https.function_urls import CODE_PREFIX, FunctionUrlDoor
from outfitter_server.https.signatures import Signatures
from outfitter_server.main.settings import Address, FunctionLimits
from outfitter_server.sandbox.confinement import find_confinement
from outfitter_server.sandbox.pool import Keys, Surroundings, WorkerPool
from outfitter_server.services.callers import Callers
from outfitter_server.services.committer import Committer
from outfitter_server.services.event_queue import EventQueue
from outfitter_server.services.function_permissions import FunctionPermissions
from outfitter_server.services.function_urls import PREFIX, FunctionUrls
from outfitter_server.services.functions import Functions, StoredFunction
from outfitter_server.services.invocations import Invocations
from outfitter_server.services.meters import Meters
from outfitter_server.services.objects import Objects

CODE_URL_SECONDS: Final = 600
_URL_ID_LETTERS: Final = string.ascii_lowercase + string.digits
_URL_ID_CHARACTERS: Final = 32
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - told apart, not bound


class FunctionParts:
    """All of functions; ``start`` it after the listeners, ``close`` it before the committer drains."""

    def __init__(
        self,
        *,
        data: Path,
        limits: FunctionLimits,
        committer: Committer,
        blobs: FileBlobs,
        objects: Objects,
        callers: Callers,
        installation: Installation,
        advertise: str | None,
        clock: Callable[[], int],
        new_id: Callable[[], str],
        meters: Meters,
    ) -> None:
        """Raises OSError when there is no room for workers."""
        self._callers = callers
        self._installation = installation
        self._advertise = advertise
        self._clock = clock
        self._ports: dict[str, int] = {}
        self._pool = WorkerPool(
            data / "functions",
            read_code=blobs.read,
            lend=self._lend,
            confinement=find_confinement(unconfined=limits.unconfined),
            clock=clock,
            workers_max=limits.workers_max,
            meters=meters,
        )
        self._functions = Functions(
            committer, blobs, objects, self._pool, installation, new_id, memory_mb_max=limits.memory_mb_max
        )
        self._permissions = FunctionPermissions(committer, installation)
        self._urls = FunctionUrls(committer, installation, _new_url_id)
        self.invocations = Invocations(
            committer, self._functions, self._permissions, self._pool, installation, new_id
        )
        self.queue = EventQueue(committer, self._functions, self._pool)
        self.door = FunctionUrlDoor(
            urls=self._urls,
            permissions=self._permissions,
            invocations=self.invocations,
            functions=self._functions,
            signatures=Signatures(callers, clock),
            installation=installation,
            clock=clock,
        )

    def handlers(self) -> dict[str, Handler]:
        """The operations of ``lambda``."""
        installation = self._installation
        groups = (
            FunctionOperations(self._functions, installation, self._code_url),
            InvocationOperations(self.invocations, installation),
            FunctionPermissionOperations(self._permissions, installation),
            FunctionUrlOperations(self._urls, installation, self._show_url),
        )
        return {name: handler for group in groups for name, handler in group.handlers().items()}

    def start(self, listeners: Mapping[str, tuple[Address, int]], ca_pem: str) -> None:
        """Begin, with the http and https listeners and their bound ports."""
        self._ports = {scheme: port for scheme, (_, port) in listeners.items()}
        scheme = "http" if "http" in listeners else "https"
        address, port = listeners[scheme]
        where = Address(_ANYWHERE.get(address.host, address.host), port).text(port)
        self._pool.surroundings = Surroundings(
            region=self._installation.region,
            endpoint_url=f"{scheme}://{where}",
            ca_pem=ca_pem if "https" in listeners else None,
        )
        self._pool.start()
        self.queue.start()

    async def close(self) -> None:
        """Leave what is queued in the queue, end the workers."""
        await self.queue.close()
        await self._pool.close()

    def _lend(self, arn: str, life_seconds: int) -> Keys:
        lent = self._callers.lend(arn, life_seconds, secrets.token_hex(8))
        return Keys(
            access_key_id=lent.access_key_id,
            secret_access_key=lent.secret_access_key,
            session_token=lent.session_token or "",
        )

    def _code_url(self, found: StoredFunction, host: str, secure: bool) -> str:
        scheme, authority = self._reached(host, secure)
        return presign_url(
            method="GET",
            scheme=scheme,
            host=authority,
            raw_path=f"{CODE_PREFIX}{found.name}/{found.code.sha256}.zip",
            query={},
            region=self._installation.region,
            service="lambda",
            credentials=self._callers.root(),
            expires_seconds=CODE_URL_SECONDS,
            now=self._clock(),
        )

    def _show_url(self, url_id: str, host: str, secure: bool) -> str:
        scheme, authority = self._reached(host, secure)
        return f"{scheme}://{authority}{PREFIX}{url_id}/"

    def _reached(self, host: str, secure: bool) -> tuple[str, str]:
        """The scheme and ``host:port`` by which the client that asks reaches this server."""
        scheme = "https" if secure else "http"
        name = host or self._advertise or "127.0.0.1"
        port = self._ports[scheme]
        return scheme, f"{name}:{port}" if ":" not in name or name.startswith("[") else f"[{name}]:{port}"


def _new_url_id() -> str:
    return "".join(secrets.choice(_URL_ID_LETTERS) for _ in range(_URL_ID_CHARACTERS))
