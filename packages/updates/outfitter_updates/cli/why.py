"""``outfitter why``: what a device's jobs wait for, and what happened to them."""

from datetime import UTC, datetime
from typing import Any

import click

from outfitter_updates.cli.output import moment, print_json, tell
from outfitter_updates.cli.shape import Application, ExampleCommand, json_option, pass_application


@click.command(cls=ExampleCommand, example="outfitter why pump-7")
@click.argument("device", metavar="DEVICE")
@click.option("--job", "job_id", metavar="JOB", help="Only this job, with its earlier runs.")
@json_option
@pass_application
def why(application: Application, device: str, job_id: str | None, as_json: bool) -> None:
    """Tell why a device's jobs are where they are: what queued them, who was told, what they wait for.

    Only an Outfitter server knows this; AWS keeps no causes.
    """
    application.cloud.devices.need(device)
    told = application.cloud.own.why(device, job_id)
    if as_json:
        print_json(told)
        return
    click.echo(f"{device} is {'connected' if told['connected'] else 'not connected'}.")
    for execution in told["executions"]:
        _show(execution)
    for expected in told["expected"]:
        click.echo(f"\n{expected['jobId']}  not queued for this device yet")
        click.echo(f"  waits for {expected['waitsFor']}")
    if not told["executions"] and not told["expected"]:
        tell("No job ever reached it, and none is on its way.")


def _show(execution: dict[str, Any]) -> None:
    held = ", held back" if execution["held"] else ""
    click.echo(
        f"\n{execution['jobId']}  execution {execution['executionNumber']}: {execution['status']}{held}"
    )
    for each in execution["moments"]:
        click.echo(f"  {moment(datetime.fromtimestamp(each['at'], UTC))}  {each['text']}")
    if execution["waitsFor"]:
        click.echo(f"  waits for {execution['waitsFor']}")
