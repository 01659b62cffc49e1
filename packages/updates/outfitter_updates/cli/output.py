"""Results on standard output, as tables for people or JSON for programs; everything else on standard error."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from outfitter_contract.execution import Status

from outfitter_updates.catalogue.devices import Device
from outfitter_updates.catalogue.software import SoftwareVersion
from outfitter_updates.operations.progress import Execution, Job

if TYPE_CHECKING:
    from rich.console import Console

STYLES: dict[str, str] = {
    Status.SUCCEEDED: "green",
    Status.IN_PROGRESS: "cyan",
    Status.QUEUED: "dim",
    Status.FAILED: "red",
    Status.REJECTED: "red",
    Status.TIMED_OUT: "red",
    Status.CANCELED: "yellow",
    Status.REMOVED: "yellow",
}
PIPE_WIDTH = 200
"""Columns of a table that goes into a file or another program."""


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, default=_jsonable))


def console(*, error: bool = False) -> "Console":
    """Rich's console on standard output or standard error; wide when nobody looks."""
    from rich.console import Console

    made = Console(stderr=error, highlight=False, soft_wrap=False)
    if not made.is_terminal:
        made.width = PIPE_WIDTH
    return made


def tell(text: str) -> None:
    """A sentence for the person, on standard error."""
    click.echo(text, err=True)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
    """A table on standard output, or the sentence ``empty`` on standard error when it has no rows."""
    from rich.table import Table
    from rich.text import Text

    shown = [[Text(cell, style=STYLES.get(cell, "")) for cell in row] for row in rows]
    if not shown:
        tell(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(Text(heading), overflow="fold")
    for row in shown:
        table.add_row(*row)
    console().print(table)


def print_fields(fields: Mapping[str, str]) -> None:
    """Names and values in two columns; empty values are left out."""
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        if value:
            click.echo(f"{name:<{width}}  {value}")


def execution_rows(executions: Iterable[Execution], *, by: str) -> list[list[str]]:
    """Rows of ``by`` (thing or job), status, step, reason or proof, and the time of the last update."""
    return [
        [
            each.thing if by == "thing" else each.job_id,
            each.status,
            each.step,
            each.reason or each.proof,
            moment(each.updated_at),
        ]
        for each in executions
    ]


def print_logs(executions: Iterable[Execution]) -> None:
    """The end of each log that came with a failure."""
    for each in executions:
        if each.log:
            click.echo(f"\nThe end of the log of {each.thing}:")
            click.echo("\n".join(f"  {line}" for line in each.log))


def moment(time: datetime | None) -> str:
    """A time as the person's clock shows it."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S") if time else ""


def size(bytes_count: int) -> str:
    """A size with three digits and a unit."""
    amount = float(bytes_count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:  # noqa: PLR2004 - the step from unit to unit
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"


def device_object(device: Device) -> dict[str, Any]:
    """A device in JSON output."""
    return {
        "name": device.name,
        "arn": device.arn,
        "type": device.device_type,
        "attributes": dict(device.attributes),
    }


def software_object(software: SoftwareVersion) -> dict[str, Any]:
    """A software version in JSON output."""
    return {
        "name": software.image.name,
        "version": software.image.version,
        "status": software.publication,
        "device_types": list(software.image.device_types),
        "sha256": software.image.sha256,
        "size": software.image.size_bytes,
        "signed": software.image.signed,
        "bucket": software.location.bucket,
        "key": software.location.key,
    }


def job_object(job: Job) -> dict[str, Any]:
    """A job in JSON output."""
    return {
        "job_id": job.job_id,
        "status": job.status,
        "continuous": job.continuous,
        "targets": list(job.targets),
        "description": job.description,
        "comment": job.comment,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "completed_at": job.completed_at,
        "counts": dict(job.counts),
    }


def execution_object(execution: Execution) -> dict[str, Any]:
    """An execution in JSON output."""
    return {
        "job_id": execution.job_id,
        "thing": execution.thing,
        "number": execution.number,
        "status": execution.status,
        "step": execution.step,
        "reason": execution.reason,
        "details": dict(execution.details),
        "updated_at": execution.updated_at,
    }


def _jsonable(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no form in JSON")


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar of bytes on standard error, ``total`` if that is known; nothing when nobody looks."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    errors = console(error=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=errors, disable=not errors.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda sent: bar.update(task, advance=sent)
