"""Follows a job to its end: a bar and the devices' states for people, a line for each change for logs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from outfitter_contract.execution import Status

from outfitter_updates.catalogue.problems import EndpointUnreachable, Unfinished
from outfitter_updates.cli.output import (
    STYLES,
    console,
    execution_object,
    execution_rows,
    job_object,
    print_json,
    print_table,
    tell,
)
from outfitter_updates.cli.shape import Application
from outfitter_updates.operations.progress import Execution, Job, latest, summary, wrong_statuses

if TYPE_CHECKING:
    from rich.console import RenderableType

POLL_SECONDS = 1.0
POLL_SECONDS_MAX = 5.0
SLOWER = 1.05
"""By how much the pause between two looks grows, so that a long job is not asked for every second."""
SILENT_SECONDS_MAX = 60
"""How long a server that was there may give no answer, for instance because it restarts."""
SHOWN_MAX = 20
"""Devices that the live display has lines for."""
LISTED_MAX = 250
"""Executions that are read at a time: one page."""


class Display(Protocol):
    """Shows how far a job is."""

    def show(self, job: Job, executions: Callable[[], list[Execution]]) -> None:
        """Shows how far it is now; asks for the executions only if it has lines for them."""


def watch_job(application: Application, job_id: str, timeout_seconds: float | None, *, as_json: bool) -> None:
    """Watches until the job is settled, then prints how it ended.

    Raises Unfinished when a device ended without success, when the time is over, or when the person turns away; the
    job itself goes on in the last two cases.
    """
    _report(application, follow_job(application, job_id, timeout_seconds), as_json=as_json)


def need_success(application: Application, job_id: str, timeout_seconds: float | None) -> Job:
    """Watches until every device has succeeded, and prints nothing of it on standard output.

    Raises Unfinished as ``watch_job`` does, with the reasons of those devices that did not.
    """
    job = follow_job(application, job_id, timeout_seconds)
    if job.went_wrong:
        reasons = "; ".join(
            f"{each.thing} {each.status}{f': {each.reason}' if each.reason else ''}"
            for each in _failed(application, job)[:SHOWN_MAX]
        )
        raise Unfinished(f"Job {job_id}: {reasons}")
    if not job.total:
        raise Unfinished(f"Job {job_id} reached no device.")
    return job


def follow_job(application: Application, job_id: str, timeout_seconds: float | None) -> Job:
    """Watches until the job is settled; raises Unfinished when the time is over or the person turns away."""
    deadline = None if timeout_seconds is None else application.clock() + int(timeout_seconds * 1000)
    try:
        with _display() as display:
            return _follow(application, job_id, deadline, display)
    except KeyboardInterrupt:
        raise Unfinished(
            f"No longer watching; the job goes on. `outfitter job watch {job_id}` looks again,"
            f" `outfitter job cancel {job_id}` stops it."
        ) from None


def _follow(application: Application, job_id: str, deadline: int | None, display: Display) -> Job:
    pause = POLL_SECONDS
    heard_at: int | None = None
    told = False
    while True:
        try:
            job = application.cloud.jobs.need(job_id)
            display.show(job, partial(_shown, application, job))
        except EndpointUnreachable as error:
            if heard_at is None:
                raise
            if application.clock() - heard_at >= SILENT_SECONDS_MAX * 1000:
                raise Unfinished(f"{error} The job goes on: `outfitter job watch {job_id}`.") from error
            if not told:
                tell(f"{error} Asking again for up to {SILENT_SECONDS_MAX} seconds.")
            told = True
        else:
            heard_at, told = application.clock(), False
            if job.is_settled:
                return job
        if deadline is not None and application.clock() >= deadline:
            raise Unfinished(
                f"The time is over with {summary(job)}. The job goes on: `outfitter job watch {job_id}`."
            )
        application.sleep(pause)
        pause = min(pause * SLOWER, POLL_SECONDS_MAX)


def _shown(application: Application, job: Job) -> list[Execution]:
    """The devices to show: what each is doing is asked only of as many as there are lines for."""
    asked = 0

    def wants_details(execution: Execution) -> bool:
        nonlocal asked
        if execution.status in {Status.QUEUED, Status.SUCCEEDED} or asked >= SHOWN_MAX:
            return False
        asked += 1
        return True

    return latest(application.cloud.jobs.executions(job.job_id, LISTED_MAX, wants_details))


def _report(application: Application, job: Job, *, as_json: bool) -> None:
    failed = _failed(application, job)
    if as_json:
        print_json(
            {
                **job_object(job),
                "executions": [execution_object(each) for each in _all(application, job, failed)],
            }
        )
    else:
        tell(f"{job.job_id} is {job.status}: {summary(job)}")
        if failed:
            headings = ["DEVICE", "STATUS", "STEP", "REASON", "UPDATED"]
            print_table(headings, execution_rows(failed, by="thing"), "")
    if job.went_wrong:
        raise Unfinished(
            f"{job.went_wrong} of {job.total} ended without success. `outfitter job show {job.job_id}` says more."
        )


def _failed(application: Application, job: Job) -> list[Execution]:
    """What went wrong, with the reasons; asked for by status, as it may be little among many."""
    executions = application.cloud.jobs.executions
    return [
        each
        for status in wrong_statuses(job)
        for each in latest(executions(job.job_id, LISTED_MAX, lambda one: one.went_wrong, status))
        if each.went_wrong
    ]


def _all(application: Application, job: Job, failed: list[Execution]) -> list[Execution]:
    """What went wrong, and what else there is up to the limit."""
    known = {(each.thing, each.number) for each in failed}
    others = application.cloud.jobs.executions(job.job_id, LISTED_MAX, lambda _: False)
    return failed + [each for each in others if (each.thing, each.number) not in known]


@contextmanager
def _display() -> Iterator[Display]:
    errors = console(error=True)
    if not errors.is_terminal:
        yield Lines()
        return
    from rich.live import Live

    with Live(console=errors, refresh_per_second=4, transient=True) as live:
        yield LiveView(live)


class Lines:
    """One line on standard error whenever the counts change."""

    def __init__(self) -> None:
        self._last = ""

    def show(self, job: Job, executions: Callable[[], list[Execution]]) -> None:  # noqa: ARG002 - a log has counts only
        """Tells what is new."""
        text = f"{job.job_id}: {summary(job)}"
        if text != self._last:
            tell(text)
            self._last = text


class LiveView:
    """A bar, the counts, and a line for each device that needs attention."""

    def __init__(self, live: Any) -> None:
        self._live = live

    def show(self, job: Job, executions: Callable[[], list[Execution]]) -> None:
        """Draws afresh."""
        self._live.update(drawing(job, executions()), refresh=True)


def drawing(job: Job, executions: list[Execution]) -> "RenderableType":
    """What the live display shows: the bar, the counts, and as many devices as it has lines for."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bar = Table.grid()
    bar.add_row(ProgressBar(total=max(job.total, 1), completed=job.ended, width=60))
    lines = Table(box=None, pad_edge=False, show_header=False)
    for each in executions[:SHOWN_MAX]:
        telling = Text(each.reason or each.step)  # a device's words are no markup
        progress = _percent(each)
        lines.add_row(each.thing, Text(each.status, style=STYLES[each.status]), telling, progress)
    hidden = job.total - min(len(executions), SHOWN_MAX)
    more = [Text(f"and {hidden} more", style="dim")] if hidden > 0 else []
    return Group(Text(job.job_id, style="bold"), bar, Text(summary(job)), lines, *more)


def _percent(execution: Execution) -> str:
    percent = execution.details.get("percent", "")
    return f"{percent} %" if percent and execution.is_pending else ""
