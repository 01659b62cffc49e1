"""``outfitter line``: what new devices of a type get by themselves."""

from pathlib import Path
from typing import Any

import click
from outfitter_contract.operations import Operation

from outfitter_updates.catalogue.devices import Group
from outfitter_updates.cli.configurations import configuration_in
from outfitter_updates.cli.device_folder import DeviceFolder
from outfitter_updates.cli.output import print_json, print_table, tell
from outfitter_updates.cli.shape import (
    Application,
    ExampleCommand,
    NewPath,
    json_option,
    pass_application,
    role_option,
)
from outfitter_updates.operations.line import LineJob, LineOrder, line_group, newest, plan_line, type_of
from outfitter_updates.operations.policy import POLICY_NAME
from outfitter_updates.operations.progress import summary
from outfitter_updates.operations.settings import claim_files

DIGEST_SHOWN = 12


@click.group()
def line() -> None:
    """Factory lines: software and configuration that devices of a type get by themselves.

    A line is the group line-TYPE with two continuous jobs, the first for software, the second for configuration.
    """


@line.command(
    cls=ExampleCommand,
    example="outfitter line create pump-controller --software pump 1.4.0 --config pump.json",
)
@click.argument("device_type", metavar="TYPE")
@click.option(
    "--software",
    nargs=2,
    metavar="NAME VERSION",
    required=True,
    help="What the devices shall run.",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Configuration that they shall have.  [the one that the line has]",
)
@click.option("--forced", is_flag=True, help="Install it also where something newer runs.")
@role_option
@json_option
@pass_application
def create(
    application: Application,
    device_type: str,
    software: tuple[str, str],
    config_file: Path | None,
    forced: bool,
    role_arn: str | None,
    as_json: bool,
) -> None:
    """Make the line of TYPE, or bring it to another version or configuration.

    Devices on the line get what is new, and devices that join later get all of it, software first. The jobs of a newer
    version take the place of the older ones; what a device has already is not installed again. The same command again
    changes nothing.
    """
    cloud = application.cloud
    line_group(device_type)
    known = cloud.software.need(*software)
    stored = cloud.configurations.store(configuration_in(config_file)) if config_file else None
    group = cloud.lines.create_group(device_type)
    order = LineOrder(
        device_type=device_type,
        group=group,
        software=known,
        configuration=stored,
        forced=forced,
        region=cloud.region,
        role_arn=role_arn or cloud.default_role_arn,
    )
    plan = plan_line(order, cloud.lines.jobs(group), application.clock(), application.token())
    cloud.lines.carry_out(plan)
    created = [str(each["jobId"]) for each in plan.create]
    if as_json:
        print_json({**_line_object(application, group), "created": created, "canceled": list(plan.cancel)})
        return
    for job_id in created:
        tell(f"Job {job_id} is for every device of the line.")
    for job_id in plan.cancel:
        tell(f"Job {job_id} is canceled: a newer one takes its place.")
    if not created and not plan.cancel:
        tell("All is there already.")
    tell(f"New devices: `outfitter device add NAME --line {device_type} --out DIR`")


@line.command(cls=ExampleCommand, example="outfitter line claim pump-controller --out ./claim")
@click.argument("device_type", metavar="TYPE")
@click.option(
    "--policy", default=POLICY_NAME, show_default=True, help="Name of the devices' policy, made when missing."
)
@click.option("--out", required=True, type=NewPath(file_okay=False), help="Folder for the files.")
@role_option
@json_option
@pass_application
def claim(
    application: Application, device_type: str, policy: str, out: Path, role_arn: str | None, as_json: bool
) -> None:
    """Make what devices of the line can be made with, all alike: a claim, with which each gets its own identity.

    Writes certificate.pem, private.key and ca.pem, and makes the template that registers whoever comes with them as
    TYPE-SERIAL, on the line. The claim may ask for an identity and nothing else.
    """
    cloud = application.cloud
    group = cloud.lines.need(device_type)
    role = role_arn or cloud.default_role_arn
    with DeviceFolder(out) as folder, cloud.claims.issue(device_type, group, policy, role) as made:
        written = folder.write_files(claim_files(made))
    if as_json:
        told = {"template": made.template, "certificate_id": made.certificate_id}
        print_json({**told, "files": [str(path) for path in written]})
        return
    if made.ca_pem is None:
        tell("Put the authorities of AWS (Amazon Root CA 1) there as ca.pem.")
    tell(
        f"On each device: `outfitter-agent provision --claim {out} --endpoint HOST --template {made.template} --type"
        f" {device_type} --parameter SerialNumber=N --out DIR`"
    )


@line.command(cls=ExampleCommand, example="outfitter line show\noutfitter line show pump-controller")
@click.argument("device_type", metavar="[TYPE]", required=False)
@json_option
@pass_application
def show(application: Application, device_type: str | None, as_json: bool) -> None:
    """Show the lines, or the one of TYPE: what they bring, and how far their devices are."""
    lines = application.cloud.lines
    types = lines.types() if device_type is None else (device_type,)
    groups = [lines.need(each) for each in types]
    if as_json:
        shown = [_line_object(application, group) for group in groups]
        print_json(shown if device_type is None else shown[0])
        return
    rows = [row for group in groups for row in _rows(type_of(group.name), lines.jobs(group))]
    headings = ["TYPE", "BRINGS", "DEVICES", "JOB"]
    print_table(headings, rows, "No lines. `outfitter line create TYPE --software NAME VERSION` makes one.")


def _rows(device_type: str, jobs: tuple[LineJob, ...]) -> list[list[str]]:
    found = [newest(jobs, Operation.INSTALL), newest(jobs, Operation.CONFIG_DOWNLOAD)]
    rows = [[device_type, _brings(each), summary(each.job), each.job.job_id] for each in found if each]
    return rows or [[device_type, "nothing", "", ""]]


def _brings(each: LineJob) -> str:
    document = each.document
    if each.operation is Operation.INSTALL:
        return f"{document.name} {document.version}"
    return f"configuration {(document.sha256 or '')[:DIGEST_SHOWN]}"


def _line_object(application: Application, group: Group) -> dict[str, Any]:
    jobs = application.cloud.lines.jobs(group)
    software, configuration = newest(jobs, Operation.INSTALL), newest(jobs, Operation.CONFIG_DOWNLOAD)
    return {
        "type": type_of(group.name),
        "group": group.name,
        "software": software
        and {"name": software.document.name, "version": software.document.version, **_job_object(software)},
        "configuration": configuration and _job_object(configuration),
    }


def _job_object(each: LineJob) -> dict[str, Any]:
    return {
        "sha256": each.document.sha256,
        "job_id": each.job.job_id,
        "counts": dict(each.job.counts),
    }
