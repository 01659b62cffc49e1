"""What all scenes of the demonstration share: the server, the devices, and how a person and a page act on them."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.credentials import Credentials
from outfitter_contract.execution import TERMINAL

from outfitter_fleet.demo.device import Device
from outfitter_fleet.demo.display import Display
from outfitter_fleet.demo.images import DEVICE_TYPE
from outfitter_fleet.stage.page import post_signed
from outfitter_fleet.stage.processes import Processes, program
from outfitter_fleet.stage.server import REGION, Server, start_server

ANSWER_SECONDS_MAX: Final = 15.0
_JOBS_SECONDS_MAX: Final = 60.0
_COMMAND_SECONDS_MAX: Final = 60.0
_LOOK_SECONDS: Final = 0.25
_AT_ONCE: Final = 3


class DemoFailed(Exception):  # noqa: N818 - what happened, not whose fault it is
    """A step did not work at all, so that there is nothing to compare."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An execution as the API tells it."""

    status: str
    details: dict[str, str]

    @property
    def reason(self) -> str:
        """Why it ended so; of a success, nothing."""
        return self.details.get("reason", "")

    @property
    def log(self) -> str:
        """The end of the log of software that was rolled back."""
        return "".join(self.details.get(f"log_{number}", "") for number in (1, 2, 3))

    @property
    def state(self) -> str:
        """For people: status, step, percent."""
        percent = self.details.get("percent")
        words = [self.status, self.details.get("step", ""), f"{percent} %" if percent else ""]
        return " ".join(word for word in words if word)


class Site:
    """One server on an empty folder, and the devices that were added."""

    def __init__(self, folder: Path, processes: Processes, display: Display) -> None:
        """Starts the server; raises ProcessEnded when it does not come up."""
        self.folder = folder
        self.processes = processes
        self.display = display
        self.devices: dict[str, Device] = {}
        self.server: Server = start_server(processes, folder / "data", "http", "https", "mqtts")
        self.iot = self.server.client("iot")
        self.page_url = ""
        self._function_url = ""

    def outfitter(self, *arguments: str) -> str:
        """Run the command; its standard output."""
        done = subprocess.run(
            [program("outfitter"), *arguments],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, **self.server.environment()},
            timeout=_COMMAND_SECONDS_MAX,
        )
        with (self.processes.logs / "outfitter.log").open("a") as log:
            log.write(f"$ outfitter {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        if done.returncode != 0:
            raise DemoFailed(
                f"`outfitter {' '.join(arguments)}` ended with {done.returncode}: {done.stderr.strip()}"
            )
        return done.stdout

    def told(self, *arguments: str) -> Any:
        """Run the command with ``--json``; what it tells."""
        return json.loads(self.outfitter(*arguments, "--json"))

    def deploy(self) -> None:
        """Put page and function where they belong."""
        made = self.told("deploy")
        self.page_url, self._function_url = made["page_url"], made["function_url"]

    def ask_function(self, **request: Any) -> None:
        """A call as the page makes it when a person starts a job."""
        key = Credentials(self.server.access_key_id, self.server.secret_access_key)
        status, answer = post_signed(self._function_url, request, key, region=REGION, ca=self.server.ca)
        with (self.processes.logs / "page.log").open("a") as log:
            log.write(f"POST {self._function_url} {json.dumps(request)}\n{status} {json.dumps(answer)}\n")
        if status != 200:
            raise DemoFailed(f"the function answers {status} to {request}: {answer}")

    def add(self, name: str, *options: str) -> Device:
        """A device with a certificate of its own, of the lamps' type unless the options put it on a line."""
        host, port = self.server.address("mqtts")
        kind = () if "--line" in options else ("--type", DEVICE_TYPE)
        where = ("--mqtt", f"{host}:{port}", "--out", str(self.folder / name))
        self.outfitter("device", "add", name, *kind, *options, *where)
        self.devices[name] = Device(name, self.folder / name, self.processes)
        return self.devices[name]

    def look(self, job_id: str, name: str) -> Seen:
        """The execution of a job on a device, now."""
        execution = self.iot.describe_job_execution(jobId=job_id, thingName=name)["execution"]
        return Seen(execution["status"], execution.get("statusDetails", {}).get("detailsMap", {}))

    def wait(self, executions: Iterable[tuple[str, str]], label: str | Callable[[str], str]) -> None:
        """Until each (job, device) has ended, or for as long as jobs may take: the verdict tells which.

        ``label`` says in words what a job is about.
        """
        waiting = set(executions)
        deadline = time.monotonic() + _JOBS_SECONDS_MAX
        while waiting and time.monotonic() < deadline:
            for job_id, name in sorted(waiting, key=lambda one: one[1]):
                seen = self.look(job_id, name)
                what = label if isinstance(label, str) else label(job_id)
                self.display.show(name, f"{what}: {seen.state}")
                if seen.status in TERMINAL:
                    waiting.discard((job_id, name))
            time.sleep(_LOOK_SECONDS)

    @staticmethod
    def at_once(steps: Sequence[Callable[[], Any]]) -> None:
        """A few at a time; the first failure is raised."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for result in [pool.submit(step) for step in steps]:
                result.result()


def settled(ask: Callable[[], str], expected: str) -> str:
    """What the world answers, given time to become what is expected."""
    deadline = time.monotonic() + ANSWER_SECONDS_MAX
    while (answer := ask()) != expected and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    return answer
