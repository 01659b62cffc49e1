"""What the commands that move configurations share: getting them from devices and files, sending them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from outfitter_contract.configuration import CONFIGURATION_BYTES_MAX
from outfitter_contract.execution import Status

from outfitter_updates.catalogue.configurations import Choice, Configuration, read_configuration
from outfitter_updates.catalogue.devices import Device
from outfitter_updates.catalogue.problems import BadConfiguration, NotFound, Unfinished
from outfitter_updates.cli.shape import Application
from outfitter_updates.cli.watch import need_success
from outfitter_updates.operations.configuration import (
    DownloadIntention,
    UploadIntention,
    plan_download,
    plan_upload,
)
from outfitter_updates.operations.target import TargetKind, parse_target


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """How a configuration is sent."""

    merge: bool
    forced: bool
    role_arn: str | None
    job_id: str | None


def device_named(application: Application, text: str) -> Device:
    """The device that is written as ``NAME`` or ``thing:NAME``."""
    wanted = parse_target(text)
    if TargetKind.THING not in wanted.kinds:
        raise NotFound(f"{text!r} is a group: configurations come from one device.")
    return application.cloud.devices.need(wanted.name)


def target_arns(application: Application, texts: Sequence[str]) -> tuple[str, ...]:
    """The targets as they are written, each once."""
    found = [application.cloud.devices.resolve(parse_target(text)).arn for text in texts]
    return tuple(dict.fromkeys(found))


def start_upload(application: Application, device: Device, role_arn: str | None, job_id: str | None) -> str:
    """Starts the job that makes the device send its configuration; its id."""
    cloud = application.cloud
    intention = UploadIntention(
        target_arn=device.arn,
        bucket=cloud.configurations.bucket(),
        region=cloud.region,
        role_arn=role_arn or cloud.default_role_arn,
        job_id=job_id,
    )
    return cloud.jobs.start(plan_upload(intention, application.clock(), application.token()))


def await_upload(
    application: Application, device: Device, job_id: str, timeout: float | None
) -> Configuration:
    """Waits for the end of that job; what the device has sent."""
    need_success(application, job_id, timeout)
    execution = application.cloud.jobs.execution(job_id, device.name)
    if execution is None or execution.status is not Status.SUCCEEDED:
        raise Unfinished(f"The job {job_id} has ended without {device.name}.")
    return application.cloud.configurations.fetch(device.name, job_id, execution.details.get("sha256", ""))


def start_download(
    application: Application, configuration: Configuration, arns: tuple[str, ...], how: Sending
) -> str:
    """Stores the configuration and starts the job that makes devices apply it; its id."""
    cloud = application.cloud
    intention = DownloadIntention(
        target_arns=arns,
        configuration=cloud.configurations.store(configuration),
        merge=how.merge,
        forced=how.forced,
        continuous=False,
        region=cloud.region,
        role_arn=how.role_arn or cloud.default_role_arn,
        job_id=how.job_id,
    )
    return cloud.jobs.start(plan_download(intention, application.clock(), application.token()))


def configuration_in(path: Path) -> Configuration:
    """The configuration in a file; raises BadConfiguration."""
    try:
        with path.open("rb") as file:
            content = file.read(CONFIGURATION_BYTES_MAX + 1)
            size = path.stat().st_size
    except OSError as error:
        raise BadConfiguration(f"{path} cannot be read: {error.strerror}.") from error
    if size > CONFIGURATION_BYTES_MAX:
        raise BadConfiguration(
            f"{path} has {size} bytes; a configuration has at most {CONFIGURATION_BYTES_MAX}."
        )
    return read_configuration(content, str(path))


def choice_of(only: Sequence[str], left_out: Sequence[str]) -> Choice:
    """What ``--only`` and ``--except`` mean together."""
    return Choice(only=frozenset(only) or None, left_out=frozenset(left_out))


def is_file(text: str) -> bool:
    """Whether an argument is a file: one of that name exists, or no device is called so; ``thing:NAME`` never is."""
    if text.startswith(f"{TargetKind.THING}:"):
        return False
    return Path(text).is_file() or "/" in text or text.endswith(".json")
