"""What the commands ask of the cloud; the cloud room fulfils it without either knowing the other."""

# ruff: noqa: D102 - the methods are told of where they are fulfilled, in the cloud room

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from outfitter_contract.execution import Status

from outfitter_updates.catalogue.configurations import Configuration, StoredConfiguration
from outfitter_updates.catalogue.deltas import StoredDelta
from outfitter_updates.catalogue.devices import Claim, Device, DeviceOrder, Group, Identity, Presence
from outfitter_updates.catalogue.records import RecordState, Running
from outfitter_updates.catalogue.software import Image, Location, SoftwareVersion
from outfitter_updates.operations.deployment import Deployment, DeploymentOrder
from outfitter_updates.operations.drift import Drift
from outfitter_updates.operations.line import LineJob, LinePlan
from outfitter_updates.operations.privileges import Verdict
from outfitter_updates.operations.progress import Execution, Job
from outfitter_updates.operations.target import TargetName


class DevicesPort(Protocol):
    """Things and groups."""

    def list(self, group: str | None, limit: int) -> tuple[Device, ...]: ...
    def need(self, name: str) -> Device: ...
    def groups_of(self, name: str) -> tuple[str, ...]: ...
    def certificates_of(self, name: str) -> tuple[str, ...]: ...
    def groups(self, limit: int) -> tuple[Group, ...]: ...
    def create_group(self, name: str, parent: str | None, description: str | None) -> Group: ...
    def join(self, group: str, names: Sequence[str]) -> None: ...
    def resolve(self, wanted: TargetName) -> Device | Group: ...


class PresencesPort(Protocol):
    """Who is connected."""

    def of(self, names: Sequence[str]) -> Mapping[str, Presence]: ...


class IdentitiesPort(Protocol):
    """New devices."""

    def issue(self, order: DeviceOrder) -> AbstractContextManager[Identity]: ...


class ClaimsPort(Protocol):
    """What devices of a line are made with."""

    def issue(
        self, device_type: str, group: Group, policy_name: str, role_arn: str
    ) -> AbstractContextManager[Claim]: ...


class SoftwarePort(Protocol):
    """The catalogue and the store."""

    def list(self, name: str | None) -> tuple[SoftwareVersion, ...]: ...
    def need(self, name: str, version: str) -> SoftwareVersion: ...
    def upload(
        self,
        image: Image,
        file: Path,
        *,
        bucket: str | None,
        publish: bool,
        progress: Callable[[int], None],
    ) -> SoftwareVersion: ...
    def deltas(self, software: SoftwareVersion) -> tuple[StoredDelta, ...]: ...
    def store_delta(
        self,
        software: SoftwareVersion,
        file: Path,
        *,
        base: str,
        sha256: str,
        progress: Callable[[int], None],
    ) -> Location: ...


class RecordsPort(Protocol):
    """What runs where."""

    def where(self, name: str, version: str | None, limit: int) -> tuple[Running, ...]: ...
    def state(self) -> RecordState: ...
    def keep(self, role_arn: str) -> RecordState: ...
    def stop(self) -> RecordState: ...


class JobsPort(Protocol):
    """Jobs and executions."""

    def start(self, arguments: dict[str, Any]) -> str: ...
    def list(self, status: str | None, group: str | None, limit: int) -> tuple[Job, ...]: ...
    def need(self, job_id: str) -> Job: ...
    def find(self, job_id: str) -> Job | None: ...
    def execution(self, job_id: str, thing: str) -> Execution | None: ...
    def executions(
        self,
        job_id: str,
        limit: int,
        wants_details: Callable[[Execution], bool],
        status: Status | None = None,
    ) -> tuple[Execution, ...]: ...
    def executions_of(self, thing: str, limit: int) -> tuple[Execution, ...]: ...
    def cancel(self, arguments: dict[str, Any]) -> None: ...


class ConfigurationsPort(Protocol):
    """Configurations in the store."""

    def bucket(self) -> str: ...
    def store(self, configuration: Configuration) -> StoredConfiguration: ...
    def fetch(self, thing: str, job_id: str, sha256: str) -> Configuration: ...


class RunningPort(Protocol):
    """Which configuration is in force, and which was sent last."""

    def of(self, names: Sequence[str]) -> Mapping[str, Drift]: ...


class LinesPort(Protocol):
    """Factory lines."""

    def types(self) -> tuple[str, ...]: ...
    def need(self, device_type: str) -> Group: ...
    def create_group(self, device_type: str) -> Group: ...
    def jobs(self, group: Group) -> tuple[LineJob, ...]: ...
    def carry_out(self, plan: LinePlan) -> None: ...


class DeploymentsPort(Protocol):
    """The page and its function."""

    def deploy(self, order: DeploymentOrder, tell: Callable[[str], None]) -> Deployment: ...


class OwnPort(Protocol):
    """What a server of one's own answers beyond AWS."""

    def pause(self, job_id: str) -> dict[str, Any]: ...
    def resume(self, job_id: str) -> dict[str, Any]: ...
    def why(self, thing: str, job_id: str | None) -> dict[str, Any]: ...


class PrivilegesPort(Protocol):
    """What devices may do."""

    def test(
        self, device: str, action: str, name: str | None, client_id: str | None
    ) -> tuple[Verdict, ...]: ...


class CloudPort(Protocol):
    """All of it; nothing is opened before it is used."""

    @property
    def devices(self) -> DevicesPort: ...
    @property
    def presences(self) -> PresencesPort: ...
    @property
    def identities(self) -> IdentitiesPort: ...
    @property
    def claims(self) -> ClaimsPort: ...
    @property
    def software(self) -> SoftwarePort: ...
    @property
    def records(self) -> RecordsPort: ...
    @property
    def jobs(self) -> JobsPort: ...
    @property
    def configurations(self) -> ConfigurationsPort: ...
    @property
    def running(self) -> RunningPort: ...
    @property
    def lines(self) -> LinesPort: ...
    @property
    def deployments(self) -> DeploymentsPort: ...
    @property
    def own(self) -> OwnPort: ...
    @property
    def privileges(self) -> PrivilegesPort: ...
    @property
    def region(self) -> str: ...
    @property
    def default_role_arn(self) -> str: ...


class OpenCloud(Protocol):
    """Makes the cloud out of the options that override the environment."""

    def __call__(self, *, profile: str | None, region: str | None, endpoint_url: str | None) -> CloudPort: ...
