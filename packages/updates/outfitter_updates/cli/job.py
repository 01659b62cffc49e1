"""``outfitter job``: what runs, how far it is, and how to stop it."""

from typing import Any

import click

from outfitter_updates.cli.output import (
    execution_object,
    execution_rows,
    job_object,
    moment,
    print_fields,
    print_json,
    print_logs,
    print_table,
    tell,
)
from outfitter_updates.cli.shape import Application, ExampleCommand, Seconds, json_option, pass_application
from outfitter_updates.cli.watch import watch_job
from outfitter_updates.operations.progress import latest, summary
from outfitter_updates.operations.update import cancel_job

STATUSES = ("IN_PROGRESS", "COMPLETED", "CANCELED", "SCHEDULED", "DELETION_IN_PROGRESS")


@click.group()
def job() -> None:
    """Jobs: updates under way and done."""


@job.command(name="list", cls=ExampleCommand, example="outfitter job list --status IN_PROGRESS")
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), help="Only jobs of this status.")
@click.option("--group", metavar="GROUP", help="Only jobs that aim at this group.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@json_option
@pass_application
def list_jobs(
    application: Application, status: str | None, group: str | None, limit: int, as_json: bool
) -> None:
    """List jobs."""
    found = application.cloud.jobs.list(status, group, limit)
    if as_json:
        print_json([_listed(job_object(each)) for each in found])
        return
    rows = [
        [each.job_id, each.status, "continuous" if each.continuous else "snapshot", moment(each.created_at)]
        for each in found
    ]
    print_table(["JOB", "STATUS", "KIND", "CREATED"], rows, "No jobs.")


@job.command(cls=ExampleCommand, example="outfitter job show update-pump-1-4-0-20260131T120000-x7k2")
@click.argument("job_id", metavar="JOB")
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="How many devices at most."
)
@json_option
@pass_application
def show(application: Application, job_id: str, limit: int, as_json: bool) -> None:
    """Show a job: its counts, and every device's status, step, reason or proof, and the log of what failed."""
    found = application.cloud.jobs.need(job_id)
    executions = application.cloud.jobs.executions(job_id, limit, lambda _: True)
    if as_json:
        print_json({**job_object(found), "executions": [execution_object(each) for each in executions]})
        return
    print_fields(
        {
            "Job": found.job_id,
            "Status": found.status,
            "Kind": "continuous" if found.continuous else "snapshot",
            "Description": found.description,
            "Comment": found.comment,
            "Targets": ", ".join(found.targets),
            "Created": moment(found.created_at),
            "Completed": moment(found.completed_at),
            "Devices": summary(found),
        }
    )
    click.echo()
    newest = latest(executions)
    headings = ["DEVICE", "STATUS", "STEP", "REASON OR PROOF", "UPDATED"]
    print_table(headings, execution_rows(newest, by="thing"), "No device has this job.")
    print_logs(newest)
    if found.total > limit:
        tell(f"{found.total - limit} more: --limit {found.total} shows them.")


@job.command(cls=ExampleCommand, example="outfitter job watch update-pump-1-4-0-20260131T120000-x7k2")
@click.argument("job_id", metavar="JOB")
@click.option("--timeout", type=Seconds(), metavar="SECONDS", help="Give up watching after so long.")
@json_option
@pass_application
def watch(application: Application, job_id: str, timeout: float | None, as_json: bool) -> None:
    """Watch a job until its devices are done; exit code 1 when one of them ended without success.

    Ctrl-C ends the watching, not the job.
    """
    watch_job(application, job_id, timeout, as_json=as_json)


@job.command(
    cls=ExampleCommand,
    example='outfitter job cancel update-pump-1-4-0-20260131T120000-x7k2 --comment "wrong group"',
)
@click.argument("job_id", metavar="JOB")
@click.option("--force", is_flag=True, help="Also on devices that are in the middle of it.")
@click.option("--comment", help="Why, for those who look later.")
@json_option
@pass_application
def cancel(application: Application, job_id: str, force: bool, comment: str | None, as_json: bool) -> None:
    """Cancel a job: devices that have not begun will not; with --force the others are told to stop as well."""
    jobs = application.cloud.jobs
    jobs.need(job_id)
    jobs.cancel(cancel_job(job_id, force=force, comment=comment))
    found = jobs.need(job_id)
    if as_json:
        print_json(job_object(found))
    else:
        tell(f"{job_id} is {found.status}: {summary(found)}")


@job.command(cls=ExampleCommand, example="outfitter job pause update-pump-1-4-0-20260131T120000-x7k2")
@click.argument("job_id", metavar="JOB")
@json_option
@pass_application
def pause(application: Application, job_id: str, as_json: bool) -> None:
    """Pause a job: nothing more begins, what runs goes on. Only with an Outfitter server."""
    application.cloud.jobs.need(job_id)
    _state(application.cloud.own.pause(job_id), as_json=as_json)


@job.command(cls=ExampleCommand, example="outfitter job resume update-pump-1-4-0-20260131T120000-x7k2")
@click.argument("job_id", metavar="JOB")
@json_option
@pass_application
def resume(application: Application, job_id: str, as_json: bool) -> None:
    """Let a paused job go on. Only with an Outfitter server."""
    application.cloud.jobs.need(job_id)
    _state(application.cloud.own.resume(job_id), as_json=as_json)


def _state(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    waits = f", waits for {told['waitsFor']}" if told["waitsFor"] else ""
    tell(f"{told['jobId']} is {told['status']}{' and paused' if told['paused'] else ''}{waits}")


def _listed(told: dict[str, object]) -> dict[str, object]:
    """What ListJobs says; the rest is in ``job show``."""
    return {
        key: told[key]
        for key in ("job_id", "status", "continuous", "created_at", "updated_at", "completed_at")
    }
