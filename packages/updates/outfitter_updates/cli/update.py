"""``outfitter update``: one version for a device or a group."""

from dataclasses import replace
from pathlib import Path

import click
from outfitter_contract.document import DeltaPolicy
from outfitter_contract.statements import IMAGE_KIND

from outfitter_updates.catalogue.deltas import StoredDelta, worth_sending
from outfitter_updates.catalogue.devices import Device
from outfitter_updates.catalogue.problems import CloudRefused, Conflict, NotFound
from outfitter_updates.catalogue.software import SoftwareVersion
from outfitter_updates.cli.image_file import read_signed_text, signed_in
from outfitter_updates.cli.output import print_json, tell
from outfitter_updates.cli.ports import CloudPort
from outfitter_updates.cli.shape import Application, ExampleCommand, Seconds, json_option, pass_application
from outfitter_updates.cli.watch import watch_job
from outfitter_updates.operations.target import parse_target
from outfitter_updates.operations.trust import check_image, read_signed
from outfitter_updates.operations.update import UpdateIntention, plan_update


@click.command(
    cls=ExampleCommand,
    example="outfitter update pumps pump 1.4.0 --wait\noutfitter update thing:pump-7 pump 1.3.2 --forced",
)
@click.argument("target")
@click.argument("name")
@click.argument("version")
@click.option("--forced", is_flag=True, help="Install it although it is not newer: a downgrade.")
@click.option("--continuous", is_flag=True, help="Go on with devices that join the group later.")
@click.option(
    "--confirm",
    is_flag=True,
    help="Take no device's word: success needs the proof of version and digest.  [Outfitter server]",
)
@click.option(
    "--signed",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of a signature to send instead of the catalogue's.",
)
@click.option(
    "--delta",
    type=click.Choice(["full", "fail", "off"]),
    default="full",
    show_default=True,
    help="Devices that cannot use a stored delta: fetch the full image, or fail. off: name no delta.",
)
@click.option("--job-id", help="Id of the job.  [made of name, version and time]")
@click.option(
    "--role-arn",
    envvar="OUTFITTER_ROLE_ARN",
    show_envvar=True,
    help="Role whose privileges the download URLs carry.  [role outfitter-updates of the account]",
)
@click.option("--wait", is_flag=True, help="Watch until all devices are done; exit code 1 when one failed.")
@click.option(
    "--timeout",
    type=Seconds(),
    metavar="SECONDS",
    help="With --wait: give up watching after so long.",
)
@json_option
@pass_application
def update(
    application: Application,
    target: str,
    name: str,
    version: str,
    forced: bool,
    continuous: bool,
    confirm: bool,
    signed: Path | None,
    delta: str,
    job_id: str | None,
    role_arn: str | None,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Bring version VERSION of software NAME to TARGET, a device or a group.

    TARGET is a name; write thing:NAME or group:NAME when both exist. Devices that are offline get the update when
    they come back. Ctrl-C while waiting leaves the job running.
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait.")
    cloud = application.cloud
    aim = cloud.devices.resolve(parse_target(target))
    software = cloud.software.need(name, version)
    if signed is not None:
        text = read_signed_text(signed)
        with signed_in(signed):
            check_image(software.image, read_signed(text, IMAGE_KIND))
        software = replace(software, image=replace(software.image, signed=text))
    intention = UpdateIntention(
        target_arn=aim.arn,
        software=software,
        forced=forced,
        continuous=continuous,
        region=cloud.region,
        role_arn=role_arn or cloud.default_role_arn,
        job_id=job_id,
        deltas=_deltas(cloud, software, delta),
        delta_policy=DeltaPolicy.FAIL if delta == "fail" else DeltaPolicy.FULL,
        confirm=confirm,
    )
    arguments = plan_update(intention, application.clock(), application.token())
    if isinstance(aim, Device) and aim.device_type and not software.runs_on(aim.device_type):
        made_for = ", ".join(software.image.device_types)
        tell(f"Note: {software.title} is made for {made_for}; {aim.name} is of the type {aim.device_type}.")
    started = cloud.jobs.start(arguments)
    if wait:
        tell(f"Job {started}: {software.title} for {target}")
        watch_job(application, started, timeout, as_json=as_json)
    elif as_json:
        print_json({"job_id": started, "target": aim.arn, "name": name, "version": version})
    else:
        tell(f"{software.title} is under way to {target}: `outfitter job watch {started}`")
        click.echo(started)


def _deltas(cloud: CloudPort, software: SoftwareVersion, policy: str) -> tuple[StoredDelta, ...]:
    """The deltas that the job names; raises Conflict when it is to use nothing else and there are none."""
    if policy == "off":
        return ()
    try:
        deltas = worth_sending(cloud.software.deltas(software), software)
    except (CloudRefused, NotFound) as refused:  # who may start jobs need not be allowed to list the bucket
        if policy == "fail":
            raise
        tell(f"Note: no delta is named, because the store does not list them. {refused}")
        return ()
    if policy == "fail" and not deltas:
        raise Conflict(
            f"There is no delta for {software.title} that is smaller than the image:"
            " `outfitter software delta BASE NEW --publish` makes one."
        )
    return deltas
