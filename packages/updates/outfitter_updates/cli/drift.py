"""``outfitter config drift``: which devices run another configuration than was sent to them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from outfitter_updates.cli.configurations import device_named
from outfitter_updates.cli.output import moment, print_json, print_table, tell
from outfitter_updates.cli.shape import Application, ExampleCommand, json_option, pass_application
from outfitter_updates.operations.drift import Drift, DriftState

_DIGITS_SHOWN = 12


@click.command(
    cls=ExampleCommand,
    example="outfitter config drift --group pumps\noutfitter config drift pump-1",
)
@click.argument("device", required=False)
@click.option("--group", metavar="GROUP", help="The devices of this group.")
@click.option("--all", "everything", is_flag=True, help="Also devices that run what was sent to them.")
@click.option(
    "--limit", type=click.IntRange(1), default=1000, show_default=True, help="How many devices at most."
)
@json_option
@click.pass_context
@pass_application
def drift(
    application: Application,
    ctx: click.Context,
    device: str | None,
    group: str | None,
    everything: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List devices whose configuration is not the one that was sent to them last.

    No job is run: agents report the digest of the file when it changes. Without DEVICE and --group all devices are
    looked at. Exit code 1 when a configuration has drifted.
    """
    if device is not None and group is not None:
        raise click.UsageError("Give DEVICE or --group, not both.")
    names = (
        [each.name for each in application.cloud.devices.list(group, limit)]
        if device is None
        else [device_named(application, device).name]
    )
    found = application.cloud.running.of(names)
    shown = {
        name: each
        for name, each in sorted(found.items())
        if everything or device is not None or each.state is not DriftState.SAME
    }
    if as_json:
        print_json([_drift_object(name, each) for name, each in shown.items()])
    else:
        _print(shown, looked_at=len(found))
    ctx.exit(1 if any(each.state is DriftState.DRIFTED for each in found.values()) else 0)


def _print(shown: Mapping[str, Drift], *, looked_at: int) -> None:
    rows = []
    for name, each in shown.items():
        running, sent = each.running, each.sent
        rows.append(
            [
                name,
                each.state,
                "" if running is None else (running.sha256 or "no file")[:_DIGITS_SHOWN],
                "" if running is None else moment(datetime.fromtimestamp(running.at, UTC)),
                "" if sent is None else sent.sha256[:_DIGITS_SHOWN],
                "" if sent is None else sent.job_id,
            ]
        )
    headings = ["DEVICE", "STATE", "RUNNING", "SINCE", "SENT", "JOB"]
    print_table(headings, rows, f"No drift: {looked_at} device(s) run what was sent to them.")
    if rows and len(rows) < looked_at:
        tell(f"{looked_at - len(rows)} more device(s) run what was sent to them.")


def _drift_object(name: str, drift: Drift) -> dict[str, Any]:
    running, sent = drift.running, drift.sent
    return {
        "device": name,
        "state": drift.state,
        "running": running and {"sha256": running.sha256, "at": datetime.fromtimestamp(running.at, UTC)},
        "sent": sent and {"sha256": sent.sha256, "job_id": sent.job_id, "at": sent.at},
    }
