"""``outfitter device``: devices and their identities."""

from pathlib import Path

import click

from outfitter_updates.catalogue.devices import REGISTRY_NAME, DeviceOrder
from outfitter_updates.cli.device_folder import DeviceFolder
from outfitter_updates.cli.output import (
    device_object,
    execution_object,
    execution_rows,
    print_fields,
    print_json,
    print_table,
    tell,
)
from outfitter_updates.cli.presence import presence_object, presence_text
from outfitter_updates.cli.shape import Application, ExampleCommand, NewPath, json_option, pass_application
from outfitter_updates.operations.policy import POLICY_NAME


@click.group()
def device() -> None:
    """Devices: new ones, and what is known of those there are."""


@device.command(
    cls=ExampleCommand,
    example="outfitter device add pump-1 --group pumps --type pump-controller --out ./pump-1\n"
    "outfitter device add pump-2 --line pump-controller --out ./pump-2",
)
@click.argument("name")
@click.option("--group", "groups", metavar="GROUP", multiple=True, help="Group to put it in; repeatable.")
@click.option("--type", "device_type", metavar="TYPE", help="Device type, made when missing.  [generic]")
@click.option(
    "--line",
    "line_type",
    metavar="TYPE",
    help="Put it on the factory line of this device type, which is then its own.",
)
@click.option(
    "--mqtt", metavar="HOST:PORT", help="Broker as the device reaches it.  [what the server tells, 8883]"
)
@click.option(
    "--policy", default=POLICY_NAME, show_default=True, help="Name of the policy, made when missing."
)
@click.option(
    "--out",
    required=True,
    type=NewPath(file_okay=False),
    help="Folder for the device's files.",
)
@json_option
@pass_application
def add(
    application: Application,
    name: str,
    groups: tuple[str, ...],
    device_type: str | None,
    line_type: str | None,
    mqtt: str | None,
    policy: str,
    out: Path,
    as_json: bool,
) -> None:
    """Make a device with a key and a certificate of its own, and the settings for its agent.

    Writes certificate.pem, private.key, ca.pem and agent.toml. The key exists nowhere else; an existing one is never
    overwritten. If anything fails, nothing stays behind.
    """
    if not REGISTRY_NAME.fullmatch(name):
        raise click.UsageError(
            f"{name!r} can be no device: names have 1 to 128 letters, digits, ':', '_' and '-'."
        )
    if line_type is not None:
        if device_type not in {None, line_type}:
            raise click.UsageError("--line gives the device its type: leave out --type.")
        device_type, groups = line_type, (*groups, application.cloud.lines.need(line_type).name)
    order = DeviceOrder(name=name, device_type=device_type, groups=groups, policy_name=policy, mqtt=mqtt)
    with DeviceFolder(out) as folder, application.cloud.identities.issue(order) as identity:
        written = folder.write(identity)
    if as_json:
        told = {**device_object(identity.device), "certificate_id": identity.certificate_id}
        print_json({**told, "groups": list(groups), "files": [str(path) for path in written]})
        return
    for note in identity.notes:
        tell(note)
    tell(f"Device {name} may connect to {identity.mqtt_host}:{identity.mqtt_port}.")
    tell(f"Run `outfitter-agent run --config {out / 'agent.toml'}` on it.")


@device.command(name="list", cls=ExampleCommand, example="outfitter device list --group pumps")
@click.option("--group", metavar="GROUP", help="Only devices of this group.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="How many at most.")
@json_option
@pass_application
def list_devices(application: Application, group: str | None, limit: int, as_json: bool) -> None:
    """List devices, and whether they are connected."""
    found = application.cloud.devices.list(group, limit)
    presences = application.cloud.presences.of([each.name for each in found])
    if as_json:
        print_json(
            [
                {**device_object(each), "connection": presence_object(presences.get(each.name))}
                for each in found
            ]
        )
        return
    rows = [
        [
            each.name,
            each.device_type or "",
            presence_text(presences.get(each.name)),
            ", ".join(f"{key}={value}" for key, value in each.attributes.items()),
        ]
        for each in found
    ]
    print_table(
        ["DEVICE", "TYPE", "CONNECTION", "ATTRIBUTES"],
        rows,
        "No devices. `outfitter device add NAME --out DIR` makes one.",
    )


@device.command(cls=ExampleCommand, example="outfitter device show pump-1")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many jobs at most.")
@json_option
@pass_application
def show(application: Application, name: str, limit: int, as_json: bool) -> None:
    """Show a device: attributes, groups, certificates, whether it is connected, and its jobs with their reasons."""
    cloud = application.cloud
    found = cloud.devices.need(name)
    groups, certificates = cloud.devices.groups_of(name), cloud.devices.certificates_of(name)
    presence = cloud.presences.of([name]).get(name)
    executions = cloud.jobs.executions_of(name, limit)
    if as_json:
        told = {**device_object(found), "groups": list(groups), "certificates": list(certificates)}
        told["connection"] = presence_object(presence)
        print_json({**told, "executions": [execution_object(each) for each in executions]})
        return
    print_fields(
        {
            "Device": found.name,
            "Type": found.device_type or "",
            "Connection": presence_text(presence),
            "Attributes": ", ".join(f"{key}={value}" for key, value in found.attributes.items()),
            "Groups": ", ".join(groups),
            "Certificates": ", ".join(arn.rpartition("/")[2] for arn in certificates),
        }
    )
    click.echo()
    print_table(
        ["JOB", "STATUS", "STEP", "REASON", "UPDATED"],
        execution_rows(executions, by="job"),
        "It never had a job.",
    )
