"""``outfitter config``: configurations from devices, to devices, and between them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from outfitter_updates.catalogue.configurations import Configuration, Difference, choose, compare
from outfitter_updates.catalogue.devices import Device
from outfitter_updates.catalogue.problems import Problem, Unfinished
from outfitter_updates.cli.configurations import (
    Sending,
    await_upload,
    choice_of,
    configuration_in,
    device_named,
    is_file,
    start_download,
    start_upload,
    target_arns,
)
from outfitter_updates.cli.output import print_json, print_table, tell
from outfitter_updates.cli.shape import (
    Application,
    ExampleCommand,
    NewPath,
    json_option,
    pass_application,
    role_option,
    timeout_option,
)
from outfitter_updates.cli.watch import watch_job
from outfitter_updates.operations.propagation import Propagation, check_same, propagation

Command = TypeVar("Command", bound=Callable[..., Any])
CELL_LENGTH_MAX = 60


@click.group()
def config() -> None:
    """Configurations: from devices, to devices, and between them.

    A configuration is a JSON object of named parameters, at most 1 MiB.
    """


def choice_options(function: Command) -> Command:
    """Adds ``--only`` and ``--except``."""
    only = click.option(
        "--only",
        metavar="NAME",
        multiple=True,
        help="Send only this parameter; the others stay as they are on each device. Repeatable.",
    )
    left_out = click.option(
        "--except",
        "left_out",
        metavar="NAME",
        multiple=True,
        help="Leave this parameter out; it stays as it is on each device. Repeatable.",
    )
    return only(left_out(function))


@config.command(cls=ExampleCommand, example="outfitter config pull pump-1 --out pump-1.json")
@click.argument("device")
@click.option("--out", type=NewPath(dir_okay=False), help="File to write it to.")
@role_option
@timeout_option
@json_option
@pass_application
def pull(
    application: Application,
    device: str,
    out: Path | None,
    role_arn: str | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Fetch the configuration of DEVICE and print it.

    Runs a job on the device and waits for it; a device that is offline sends it when it comes back. Ctrl-C leaves
    the job running.
    """
    source = device_named(application, device)
    job_id = start_upload(application, source, role_arn, None)
    tell(f"Job {job_id}: {source.name} sends its configuration")
    found = await_upload(application, source, job_id, timeout)
    if out is not None:
        write_configuration(out, found.content)
        tell(f"{out}: {len(found.parameters)} parameters of {source.name}, sha256 {found.sha256}")
    if as_json:
        told = {"device": source.name, "job_id": job_id, "sha256": found.sha256}
        print_json({**told, "size": len(found.content), "parameters": dict(found.parameters)})
    elif out is None:
        click.echo(found.content.rstrip())


@config.command(
    cls=ExampleCommand,
    example="outfitter config push pump.json pumps --wait\noutfitter config push site.json thing:pump-7 --merge",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("target")
@choice_options
@click.option("--merge", is_flag=True, help="Parameters that FILE does not name stay as they are.")
@click.option("--forced", is_flag=True, help="Apply it also where it is in force already.")
@click.option("--job-id", help="Id of the job.  [made of digest and time]")
@role_option
@click.option("--wait", is_flag=True, help="Watch until all devices are done; exit code 1 when one failed.")
@timeout_option
@json_option
@pass_application
def push(
    application: Application,
    file: Path,
    target: str,
    only: tuple[str, ...],
    left_out: tuple[str, ...],
    merge: bool,
    forced: bool,
    job_id: str | None,
    role_arn: str | None,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Apply the configuration in FILE to TARGET, a device or a group.

    It takes the place of the one that each device has; with --merge, --only or --except, parameters that are not sent
    stay. A device that cannot take it goes back to the one before, and its job fails with the reason.
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait.")
    choice = choice_of(only, left_out)
    chosen = choose(configuration_in(file), choice)
    arns = target_arns(application, [target])
    how = Sending(merge=merge or choice.is_partial, forced=forced, role_arn=role_arn, job_id=job_id)
    started = start_download(application, chosen, arns, how)
    if wait:
        tell(f"Job {started}: {file} for {target}")
        watch_job(application, started, timeout, as_json=as_json)
    elif as_json:
        print_json({"job_id": started, "targets": list(arns), "sha256": chosen.sha256, "merge": how.merge})
    else:
        tell(f"{file} is under way to {target}: `outfitter job watch {started}`")
        click.echo(started)


@config.command(
    cls=ExampleCommand,
    example="outfitter config propagate pump-1 pumps --except serial --except host_name --wait",
)
@click.argument("source", metavar="FROM")
@click.argument("targets", metavar="TO...", nargs=-1, required=True)
@choice_options
@click.option("--forced", is_flag=True, help="Apply it also where it is in force already.")
@click.option(
    "--id",
    "name",
    metavar="ID",
    help="Name of the propagation: given again, it goes on where it was.  [made of FROM and time]",
)
@role_option
@click.option("--wait", is_flag=True, help="Watch until all devices are done; exit code 1 when one failed.")
@timeout_option
@json_option
@pass_application
def propagate(
    application: Application,
    source: str,
    targets: tuple[str, ...],
    only: tuple[str, ...],
    left_out: tuple[str, ...],
    forced: bool,
    name: str | None,
    role_arn: str | None,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Bring the configuration of the device FROM to the devices and groups TO.

    Two jobs: ID-up, in which FROM sends its configuration, and ID-down, in which the others apply it. Interrupted, the
    same command with --id ID goes on where it was.
    """
    giver, arns = device_named(application, source), target_arns(application, targets)
    made = propagation(name, giver.name, application.clock(), application.token())
    choice = choice_of(only, left_out)
    how = Sending(merge=choice.is_partial, forced=forced, role_arn=role_arn, job_id=made.download_job)
    try:
        _send(application, made, giver, how)
        found = application.cloud.jobs.find(made.download_job)
        if found is not None:
            check_same(found, arns, "is for")
        else:
            sent = await_upload(application, giver, made.upload_job, timeout)
            start_download(application, choose(sent, choice), arns, how)
    except Unfinished as unfinished:
        upload = application.cloud.jobs.find(made.upload_job)
        if upload is not None and not upload.is_settled:
            unfinished.add_note(f"The same command with --id {made.name} goes on from there.")
        raise
    _tell_end(application, made, wait=wait, timeout=timeout, as_json=as_json)


def _send(application: Application, made: Propagation, giver: Device, how: Sending) -> None:
    """The first job, started unless it is there already."""
    found = application.cloud.jobs.find(made.upload_job)
    if found is not None:
        check_same(found, (giver.arn,), "is for")
        tell(f"Job {made.upload_job} is there already: going on.")
        return
    start_upload(application, giver, how.role_arn, made.upload_job)
    tell(f"Job {made.upload_job}: {giver.name} sends its configuration")


def _tell_end(
    application: Application, made: Propagation, *, wait: bool, timeout: float | None, as_json: bool
) -> None:
    if wait:
        tell(f"Job {made.download_job}: the others apply it")
        watch_job(application, made.download_job, timeout, as_json=as_json)
    elif as_json:
        print_json({"id": made.name, "upload_job": made.upload_job, "download_job": made.download_job})
    else:
        tell(f"The configuration is under way: `outfitter job watch {made.download_job}`")
        click.echo(made.download_job)


@config.command(
    cls=ExampleCommand, example="outfitter config diff pump-1 pump-2\noutfitter config diff pump-1 pump.json"
)
@click.argument("first", metavar="DEVICE|FILE")
@click.argument("second", metavar="DEVICE|FILE")
@role_option
@timeout_option
@json_option
@pass_application
def diff(
    application: Application,
    first: str,
    second: str,
    role_arn: str | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Show in which parameters two configurations differ: those of devices as they are now, or files.

    An argument is a file when one of that name exists; write thing:NAME to mean the device.
    """
    sides = {
        text: configuration_in(Path(text)) if is_file(text) else device_named(application, text)
        for text in dict.fromkeys((first, second))
    }
    jobs = {
        text: start_upload(application, side, role_arn, None)
        for text, side in sides.items()
        if isinstance(side, Device)
    }
    found = {
        text: await_upload(application, side, jobs[text], timeout) if isinstance(side, Device) else side
        for text, side in sides.items()
    }
    difference = compare(found[first].parameters, found[second].parameters)
    if as_json:
        print_json(_difference_object(difference))
    else:
        _print_difference(difference, first, second, found)


def _print_difference(
    difference: Difference, first: str, second: str, found: dict[str, Configuration]
) -> None:
    rows = [["added", name, "", _shown(value)] for name, value in difference.added.items()]
    rows += [["removed", name, _shown(value), ""] for name, value in difference.removed.items()]
    rows += [["changed", name, _shown(old), _shown(new)] for name, (old, new) in difference.changed.items()]
    empty = f"No difference: {len(found[first].parameters)} parameters, the same values."
    print_table(["", "PARAMETER", first, second], sorted(rows, key=lambda row: row[1]), empty)


def _difference_object(difference: Difference) -> dict[str, Any]:
    return {
        "same": difference.is_empty,
        "added": dict(difference.added),
        "removed": dict(difference.removed),
        "changed": {name: {"from": old, "to": new} for name, (old, new) in difference.changed.items()},
    }


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= CELL_LENGTH_MAX else f"{text[: CELL_LENGTH_MAX - 1]}…"


def write_configuration(path: Path, content: bytes) -> None:
    """The file with this content, whole or as it was; what is no file, such as /dev/stdout, is written to."""
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
        else:
            _replace(path.resolve(), content)
    except OSError as error:
        raise Problem(f"{path} cannot be written: {error.strerror}.") from error


def _replace(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f"{path.name}.part")
    try:
        unfinished.write_bytes(content)
        if path.exists():
            shutil.copymode(path, unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
