"""What the commands ask of the cloud; the cloud room fulfils it without either knowing the other."""

# ruff: noqa: D102 - the methods are told of where they are fulfilled, in the cloud room

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from outfitter_contract.execution import Status

from outfitter_updates.catalogue.devices import Device, DeviceOrder, Group, Identity
from outfitter_updates.catalogue.software import Image, SoftwareVersion
from outfitter_updates.operations.deployment import Deployment, DeploymentOrder
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


class IdentitiesPort(Protocol):
    """New devices."""

    def issue(self, order: DeviceOrder) -> AbstractContextManager[Identity]: ...


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


class JobsPort(Protocol):
    """Jobs and executions."""

    def start(self, arguments: dict[str, Any]) -> str: ...
    def list(self, status: str | None, group: str | None, limit: int) -> tuple[Job, ...]: ...
    def need(self, job_id: str) -> Job: ...
    def executions(
        self,
        job_id: str,
        limit: int,
        wants_details: Callable[[Execution], bool],
        status: Status | None = None,
    ) -> tuple[Execution, ...]: ...
    def executions_of(self, thing: str, limit: int) -> tuple[Execution, ...]: ...
    def cancel(self, arguments: dict[str, Any]) -> None: ...


class DeploymentsPort(Protocol):
    """The page and its function."""

    def deploy(self, order: DeploymentOrder, tell: Callable[[str], None]) -> Deployment: ...


class CloudPort(Protocol):
    """All of it; nothing is opened before it is used."""

    @property
    def devices(self) -> DevicesPort: ...
    @property
    def identities(self) -> IdentitiesPort: ...
    @property
    def software(self) -> SoftwarePort: ...
    @property
    def jobs(self) -> JobsPort: ...
    @property
    def deployments(self) -> DeploymentsPort: ...
    @property
    def region(self) -> str: ...
    @property
    def default_role_arn(self) -> str: ...


class OpenCloud(Protocol):
    """Makes the cloud out of the options that override the environment."""

    def __call__(self, *, profile: str | None, region: str | None, endpoint_url: str | None) -> CloudPort: ...
