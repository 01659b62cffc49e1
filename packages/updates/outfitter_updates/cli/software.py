"""``outfitter software``: images into the store, versions into the catalogue, and which device runs what."""

from dataclasses import asdict, replace
from pathlib import Path

import click
from outfitter_contract.statements import IMAGE_KIND

from outfitter_updates.catalogue.records import RecordState
from outfitter_updates.catalogue.software import Image
from outfitter_updates.cli.delta import delta
from outfitter_updates.cli.image_file import pack_folder, read_image, read_signed_text, signed_file, signed_in
from outfitter_updates.cli.output import print_json, print_table, progress_bar, size, software_object, tell
from outfitter_updates.cli.shape import Application, ExampleCommand, NewPath, json_option, pass_application
from outfitter_updates.cli.signing import keygen, rotate, sign, trust, verify
from outfitter_updates.operations.trust import check_image, read_signed

_CONNECTIONS = {True: "connected", False: "not connected", None: ""}


@click.group()
def software() -> None:
    """Software images and their versions."""


@software.command(
    cls=ExampleCommand,
    example="outfitter software pack ./pump-1.4.0 --out pump-1.4.0.tar.gz",
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=NewPath(dir_okay=False), help="Image file to write.")
@json_option
def pack(folder: Path, out: Path, as_json: bool) -> None:
    """Make an image of a folder that has outfitter.json.

    The same folder always gives the same bytes, and so the same digest.
    """
    image = pack_folder(folder, out)
    if as_json:
        told = {"name": image.name, "version": image.version, "device_types": list(image.device_types)}
        print_json({**told, "file": str(out), "sha256": image.sha256, "size": image.size_bytes})
    else:
        tell(f"{out}: {image.name} {image.version}, {size(image.size_bytes)}, sha256 {image.sha256}")


@software.command(cls=ExampleCommand, example="outfitter software upload pump-1.4.0.tar.gz")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--bucket", help="Bucket to store it in, made when missing.  [outfitter-software-ACCOUNT-REGION]"
)
@click.option(
    "--publish/--no-publish", default=True, show_default=True, help="Allow updates to this version."
)
@json_option
@pass_application
def upload(application: Application, file: Path, bucket: str | None, publish: bool, as_json: bool) -> None:
    """Store an image and enter its version in the catalogue.

    Name, version and device types come from outfitter.json in the image, or from FILE.json beside an image of another
    kind, such as a bundle of RAUC's; its signature from FILE.signed if that is there. A version never changes: uploading the same image again changes nothing, another image under the same version
    is refused.
    """
    image = _with_signature(read_image(file), file)
    with progress_bar(f"{image.name} {image.version}", image.size_bytes) as progress:
        stored = application.cloud.software.upload(
            image, file, bucket=bucket, publish=publish, progress=progress
        )
    if as_json:
        print_json(software_object(stored))
    else:
        tell(f"{stored.title} is {stored.publication} in s3://{stored.location.bucket}/{stored.location.key}")


@software.command(name="list", cls=ExampleCommand, example="outfitter software list pump")
@click.argument("name", required=False)
@json_option
@pass_application
def list_software(application: Application, name: str | None, as_json: bool) -> None:
    """List the versions of all software, or of the one named."""
    found = application.cloud.software.list(name)
    if as_json:
        print_json([software_object(each) for each in found])
        return
    rows = [
        [
            each.image.name,
            each.image.version,
            each.publication,
            ", ".join(each.image.device_types) or "any",
            size(each.image.size_bytes),
            each.image.sha256,
        ]
        for each in found
    ]
    headings = ["SOFTWARE", "VERSION", "STATUS", "DEVICE TYPES", "SIZE", "SHA256"]
    print_table(headings, rows, "No software yet. `outfitter software upload FILE` brings some.")


@software.command(
    cls=ExampleCommand,
    example="outfitter software where pump\noutfitter software where pump --version 1.3.2",
)
@click.argument("name")
@click.option("--version", help="Only the devices with this version.")
@click.option(
    "--limit", type=click.IntRange(1), default=1000, show_default=True, help="Stop after so many devices."
)
@json_option
@pass_application
def where(application: Application, name: str, version: str | None, limit: int, as_json: bool) -> None:
    """List the devices that are known to run software NAME, and which version.

    A device is known to run what an update brought it while the record was kept: see `outfitter software record`.
    """
    records = application.cloud.records
    found = records.where(name, version, limit)
    if as_json:
        print_json([asdict(each) for each in found])
        return
    rows = [
        [each.thing, each.version, each.device_type or "", _CONNECTIONS[each.connected]] for each in found
    ]
    title = f"{name} {version}" if version else name
    empty = "" if rows else f"No device is known to run {title}. {_remark(records.state())}"
    print_table(["DEVICE", "VERSION", "TYPE", "CONNECTION"], rows, empty.rstrip())


@software.command(cls=ExampleCommand, example="outfitter software record --on")
@click.option("--on/--off", "on", default=None, help="Keep the record from now on, or no more.")
@click.option(
    "--role-arn",
    envvar="OUTFITTER_ROLE_ARN",
    show_envvar=True,
    help="Role that may write the record.  [role outfitter-updates of the account]",
)
@json_option
@pass_application
def record(application: Application, on: bool | None, role_arn: str | None, as_json: bool) -> None:
    """Tell whether a record is kept of which device runs what, turn it on or off.

    With the record on, each update that succeeds on a device is written down, and the fleet index finds it. On AWS the
    index costs money, and the role needs iot:UpdateThingShadow and iot:GetThingShadow.
    """
    cloud = application.cloud
    if on is None:
        state = cloud.records.state()
    else:
        state = cloud.records.keep(role_arn or cloud.default_role_arn) if on else cloud.records.stop()
    if as_json:
        print_json(asdict(state))
    else:
        kept = "A record is kept of which device runs what."
        click.echo(kept if state.kept and state.indexed else _remark(state))


def _with_signature(image: Image, file: Path) -> Image:
    """The image with the signature beside it, if there is one; raises BadSignature when that is of another image."""
    beside = signed_file(file)
    if not beside.exists():
        return image
    text = read_signed_text(beside)
    with signed_in(beside):
        check_image(image, read_signed(text, IMAGE_KIND))
    return replace(image, signed=text)


def _remark(state: RecordState) -> str:
    """What is in the way of the record, and what to do; "" when nothing is."""
    if not state.kept:
        return "No record is kept of what devices run: turn it on with `outfitter software record --on`."
    if not state.indexed:
        return "The fleet index does not have the record: `outfitter software record --on` sees to it."
    return ""


for command in (delta, keygen, sign, verify, rotate, trust):
    software.add_command(command)
