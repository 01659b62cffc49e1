"""``outfitter group``: groups of devices."""

import click

from outfitter_updates.cli.output import print_json, print_table, tell
from outfitter_updates.cli.shape import Application, ExampleCommand, json_option, pass_application


@click.group()
def group() -> None:
    """Groups of devices, which updates aim at."""


@group.command(
    cls=ExampleCommand,
    example='outfitter group create pumps --description "All pumps in the hall"',
)
@click.argument("name")
@click.option("--parent", metavar="GROUP", help="Group that the new one is part of, for good.")
@click.option("--description", help="What the group is for.")
@json_option
@pass_application
def create(
    application: Application, name: str, parent: str | None, description: str | None, as_json: bool
) -> None:
    """Create a group; the same group again is no error."""
    made = application.cloud.devices.create_group(name, parent, description)
    if as_json:
        print_json({"name": made.name, "arn": made.arn})
    else:
        tell(f"Group {made.name} is there.")


@group.command(cls=ExampleCommand, example="outfitter group add pumps pump-1 pump-2")
@click.argument("name", metavar="GROUP")
@click.argument("devices", metavar="DEVICE...", nargs=-1, required=True)
@json_option
@pass_application
def add(application: Application, name: str, devices: tuple[str, ...], as_json: bool) -> None:
    """Put devices into a group; its continuous jobs run on them from then on."""
    application.cloud.devices.join(name, devices)
    if as_json:
        print_json({"group": name, "devices": list(devices)})
    else:
        tell(f"In {name} now: {', '.join(devices)}.")


@group.command(name="list", cls=ExampleCommand, example="outfitter group list")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="How many at most.")
@json_option
@pass_application
def list_groups(application: Application, limit: int, as_json: bool) -> None:
    """List the groups."""
    found = application.cloud.devices.groups(limit)
    if as_json:
        print_json([{"name": each.name, "arn": each.arn} for each in found])
    else:
        rows = [[each.name, each.arn] for each in found]
        print_table(["GROUP", "ARN"], rows, "No groups yet. `outfitter group create NAME` makes one.")
