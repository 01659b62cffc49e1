"""The workers of all functions: found warm or started cold, bounded in number, ended when they idle.

One worker serves one event at a time. When there is no free place, the longest idle worker of another function makes room;
when all are busy, callers wait in line for a bounded time. A function that calls another holds its own place meanwhile.
"""

import asyncio
import contextlib
import logging
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outfitter_server.base.refusals import Throttled, Unavailable
from outfitter_server.functions.names import LATEST
from outfitter_server.functions.outcomes import Outcome
from outfitter_server.functions.settings import RESERVED, TIMEOUT_SECONDS_MAX
from outfitter_server.sandbox.code import CodeFolders, ReadCode
from outfitter_server.sandbox.confinement import Confinement, interpreter_folders, package_folders
from outfitter_server.sandbox.folders import make_folder, remove_folder
from outfitter_server.sandbox.logs import FunctionLog, InvocationLog
from outfitter_server.sandbox.processes import MARK
from outfitter_server.sandbox.runtime_api import Event
from outfitter_server.sandbox.storage import remove
from outfitter_server.sandbox.users import Users
from outfitter_server.sandbox.worker import Worker, WorkerPlace
from outfitter_server.services.meters import Meters
from outfitter_server.services.ports import RunnableFunction

IDLE_SECONDS_MAX: Final = 300.0
AGE_SECONDS_MAX: Final = 3_600.0
WAIT_SECONDS_MAX: Final = 10.0
WAITING_MAX: Final = 1_000
_KEEPER_SECONDS: Final = 15.0
URL_SECONDS: Final = 3_600  # of what functions pre-sign with their key in their last moment
KEY_LIFE_SECONDS: Final = int(AGE_SECONDS_MAX + TIMEOUT_SECONDS_MAX + URL_SECONDS)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A function's temporary access key."""

    access_key_id: str
    secret_access_key: str
    session_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What functions find around them.

    Attributes:
        endpoint_url: of this server.
        ca_pem: the certificate authority to trust, when the endpoint is https.
    """

    region: str
    endpoint_url: str
    ca_pem: str | None = None


class WorkerPool:
    """The Sandbox port on this machine. ``surroundings`` is set by main once the listeners are bound."""

    def __init__(
        self,
        folder: Path,
        *,
        read_code: ReadCode,
        lend: Callable[[str, int], Keys],
        confinement: Confinement,
        clock: Callable[[], int],
        workers_max: int,
        meters: Meters | None = None,
    ) -> None:
        """``folder`` keeps logs; ``lend`` gives a key for an ARN and a number of seconds.

        Raises:
            OSError: no folder for workers can be made.
        """
        self._meters = meters or Meters()
        self._logs = folder / "logs"
        self._workers_folder = make_folder(folder)
        self._code = CodeFolders(self._workers_folder / "code", read_code)
        self._lend = lend
        self._confinement = confinement
        self._clock = clock
        self._readable = interpreter_folders()
        self._packages = package_folders()
        self._users = Users()
        self._slots = list(range(workers_max - 1, -1, -1))
        self._idle: dict[tuple[str, str], list[Worker]] = {}
        self._workers: set[Worker] = set()
        self._revisions: dict[Worker, tuple[str, str]] = {}
        self._line: deque[asyncio.Future[None]] = deque()
        self._endings: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False
        self.surroundings = Surroundings(region="us-east-1", endpoint_url="http://127.0.0.1")

    def start(self) -> None:
        """Begin to end idle workers now and then."""
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def close(self) -> None:
        """End every worker and remove their folder."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        for worker in list(self._workers):
            self._dismiss(worker)
        while self._endings:
            await asyncio.gather(*self._endings, return_exceptions=True)
        await asyncio.to_thread(remove_folder, self._workers_folder)
        self._users.close()

    async def prepare(self, code_sha256: str, code_blob: str) -> None:
        """Unpack an archive by the rules; see the port."""
        await self._code.folder(code_sha256, code_blob)
        self._trim_code()

    async def invoke(
        self, function: RunnableFunction, request_id: str, payload: bytes, client_context: str | None = None
    ) -> Outcome:
        """Run one event; see the port."""
        if not self._confinement.allowed:
            raise Unavailable(
                "functions do not run on this machine: the server is not root and the kernel has no Landlock, so that "
                "a function could read the server's keys; run outfitterd as root, or with --unconfined-functions"
            )
        log = InvocationLog(FunctionLog(self._logs, function.name))
        worker = await self._acquire(function)
        event = Event(
            request_id=request_id, payload=payload, function_arn=function.arn, client_context=client_context
        )
        try:
            outcome = await worker.invoke(event, log)
        except asyncio.CancelledError:
            worker.spent = True
            raise
        finally:
            self._release(worker)
        self._meters.invocations["succeeded" if outcome.error is None else "failed"] += 1
        return outcome

    def retire(self, name: str) -> None:
        """Workers of this function finish what they do, and end."""
        for worker in list(self._workers):
            if self._revisions[worker][0] == name:
                worker.spent = True
        for key in [key for key in self._idle if key[0] == name]:
            for worker in self._idle.pop(key):
                self._dismiss(worker)

    async def _acquire(self, function: RunnableFunction) -> Worker:
        key = (function.name, function.revision)
        deadline = asyncio.get_running_loop().time() + WAIT_SECONDS_MAX
        while not self._closed:
            warm = self._warm(key)
            if warm is not None:
                return warm
            if self._slots:
                return await self._start(function, self._slots.pop())
            self._make_room()
            await self._wait(deadline)
        raise Unavailable("the server is stopping")

    def _warm(self, key: tuple[str, str]) -> Worker | None:
        waiting = self._idle.get(key, [])
        while waiting:
            worker = waiting.pop()
            if not waiting:
                del self._idle[key]
            if worker.alive and not worker.spent and not _old(worker):
                return worker
            self._dismiss(worker)
        return None

    def _make_room(self) -> None:
        idle = [worker for workers in self._idle.values() for worker in workers]
        if idle:
            oldest = min(idle, key=lambda worker: worker.idle_since)
            self._forget(oldest)
            self._dismiss(oldest)

    async def _wait(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        if len(self._line) >= WAITING_MAX:
            raise Throttled("Rate Exceeded: too many invocations wait for a worker")
        turn: asyncio.Future[None] = loop.create_future()
        self._line.append(turn)
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.shield(turn)
        except BaseException as error:
            if turn.done():
                self._call_next()  # whose turn it was has left
            if isinstance(error, TimeoutError):
                raise Throttled("Rate Exceeded: all workers are busy; try again") from error
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._line.remove(turn)

    def _call_next(self) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def _start(self, function: RunnableFunction, slot: int) -> Worker:
        worker: Worker | None = None
        try:
            task = await self._code.folder(function.code_sha256, function.code_blob)
            uid = self._users.uid(slot) if self._confinement.users else None
            home = await asyncio.to_thread(self._make_home, slot, uid)
            worker = Worker(
                WorkerPlace(
                    slot=slot, uid=uid, home=home, task=task, readable=self._readable, packages=self._packages
                ),
                self._confinement,
                handler=function.settings.handler,
                memory_mb=function.settings.memory_mb,
                timeout_seconds=function.settings.timeout_seconds,
                environment=self._environment(function, task, home),
                variables=_variables(function),
                clock=self._clock,
            )
            self._workers.add(worker)
            self._revisions[worker] = (function.name, function.revision)
            await worker.start()
        except BaseException as error:
            if worker is None:
                self._slots.append(slot)
                self._call_next()
            else:
                self._dismiss(worker)
            if isinstance(error, OSError):
                raise Unavailable(f"no worker could be started: {error}") from error
            raise
        self._trim_code()
        return worker

    def _release(self, worker: Worker) -> None:
        if worker.spent or not worker.alive or self._closed or _old(worker):
            self._dismiss(worker)
            return
        self._idle.setdefault(self._revisions[worker], []).append(worker)
        self._call_next()

    def _dismiss(self, worker: Worker) -> None:
        if worker in self._workers:
            self._workers.discard(worker)
            self._begin_ending(self._end(worker))

    def _trim_code(self) -> None:
        self._begin_ending(self._code.trim({worker.task for worker in self._workers}))

    def _begin_ending(self, work: Coroutine[None, None, None]) -> None:
        ending = asyncio.get_running_loop().create_task(work)
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _end(self, worker: Worker) -> None:
        try:
            await worker.close()
            await asyncio.to_thread(remove, worker.home)
        except OSError:
            _log.exception("a worker did not end as it should")
        finally:
            self._revisions.pop(worker, None)
            self._slots.append(worker.slot)
            self._call_next()

    def _forget(self, worker: Worker) -> None:
        key = self._revisions[worker]
        workers = self._idle.get(key, [])
        if worker in workers:
            workers.remove(worker)
        if not workers:
            self._idle.pop(key, None)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_KEEPER_SECONDS)
            now = loop.time()
            for worker in [worker for workers in self._idle.values() for worker in workers]:
                idle_long = now - worker.idle_since > IDLE_SECONDS_MAX
                if _old(worker) or idle_long or not worker.alive:
                    self._forget(worker)
                    self._dismiss(worker)

    def _make_home(self, slot: int, uid: int | None) -> Path:
        home = Path(tempfile.mkdtemp(prefix=f"{slot}-", dir=self._workers_folder / "homes"))
        if uid is not None:
            shutil.chown(home, uid, uid)
        return home

    def _environment(self, function: RunnableFunction, task: Path, home: Path) -> dict[str, str]:
        """All that a worker's environment holds but the address of its Runtime API."""
        surroundings = self.surroundings
        keys = self._lend(function.session, KEY_LIFE_SECONDS)
        environment = {
            "AWS_ENDPOINT_URL": surroundings.endpoint_url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "MALLOC_ARENA_MAX": "2",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": ":".join([str(task), *self._packages]),
            "TMPDIR": str(home),
            "TZ": ":UTC",
            "_HANDLER": function.settings.handler,
            "AWS_ACCESS_KEY_ID": keys.access_key_id,
            "AWS_DEFAULT_REGION": surroundings.region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.settings.memory_mb),
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": LATEST,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"{LATEST}/{home.name}",
            "AWS_REGION": surroundings.region,
            "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
            "AWS_SESSION_TOKEN": keys.session_token,
            "LAMBDA_RUNTIME_DIR": self._packages[0],
            "LAMBDA_TASK_ROOT": str(task),
            MARK: str(home),
        }
        if surroundings.ca_pem is not None:
            bundle = home / "ca.pem"
            bundle.write_text(surroundings.ca_pem)
            bundle.chmod(0o644)
            environment["AWS_CA_BUNDLE"] = str(bundle)
        return environment


def _old(worker: Worker) -> bool:
    """Whether it takes no more events, so that none outlasts its key."""
    return asyncio.get_running_loop().time() - worker.started_at > AGE_SECONDS_MAX


def _variables(function: RunnableFunction) -> dict[str, str]:
    """What a function sets for itself; it replaces the defaults, and nothing that says who the worker is."""
    own = function.settings.environment
    return {name: value for name, value in own.items() if name != MARK and name not in RESERVED}
