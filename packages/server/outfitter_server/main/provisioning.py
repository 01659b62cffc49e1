"""The wiring of provisioning: templates, claims, registration, and what ends by itself."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from typing import Final

from outfitter_server.aws.dispatch import Handler
from outfitter_server.aws.operations.authorities import AuthorityOperations
from outfitter_server.aws.operations.provisioning import ProvisioningOperations
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import Refusal
from outfitter_server.gateway.provisioning import ProvisioningDesk
from outfitter_server.main.fleet import FleetParts
from outfitter_server.services.authorities import Authorities
from outfitter_server.services.bulk_registration import BulkRegistration
from outfitter_server.services.committer import Committer
from outfitter_server.services.devices import Devices
from outfitter_server.services.fleet_provisioning import FleetProvisioning, InvokeFor
from outfitter_server.services.foreign_certificates import ForeignCertificates
from outfitter_server.services.messages import Publish
from outfitter_server.services.policies import Policies
from outfitter_server.services.ports import Authority
from outfitter_server.services.provisioning_templates import ProvisioningTemplates
from outfitter_server.services.registrations import Registrations

SWEEP_SECONDS: Final = 20.0
TOKEN_BYTES: Final = 32

_log = logging.getLogger(__name__)


class ProvisioningParts:
    """All of provisioning; ``start`` it in the loop, ``close`` it before the committer drains.

    Attributes:
        desk: serves devices over MQTT.
    """

    def __init__(
        self,
        *,
        committer: Committer,
        authority: Authority,
        devices: Devices,
        fleet: FleetParts,
        policies: Policies,
        invoke: InvokeFor,
        installation: Installation,
        clock: Callable[[], int],
        new_id: Callable[[], str],
        publish: Publish,
    ) -> None:
        """``fleet`` has its handlers made already; ``invoke`` runs hooks; ``publish`` tells of devices that came."""
        self._committer = committer
        self._installation = installation
        registrations = Registrations(fleet.things, fleet.members, policies, installation)
        self._fleet = FleetProvisioning(
            committer=committer,
            authority=authority,
            registrations=registrations,
            invoke=invoke,
            installation=installation,
            clock=clock,
            new_id=new_id,
            new_token=lambda: secrets.token_urlsafe(TOKEN_BYTES),
        )
        self._foreign = ForeignCertificates(committer, registrations, installation, new_id, publish)
        self._bulk = BulkRegistration(committer, authority, registrations, self._foreign, clock, new_id)
        self._authorities = Authorities(
            committer,
            authority,
            new_id,
            lambda: secrets.token_hex(TOKEN_BYTES),
            lambda name: installation.iot_arn("cacert", name),
        )
        self.desk = ProvisioningDesk(self._fleet, devices, self._foreign)
        self._sweeper: asyncio.Task[None] | None = None

    def handlers(self) -> dict[str, Handler]:
        """The operations."""
        templates = ProvisioningTemplates(
            self._committer, lambda name: self._installation.iot_arn("provisioningtemplate", name)
        )
        provisioning = ProvisioningOperations(templates, self._fleet, self._bulk, self._installation)
        authorities = AuthorityOperations(self._authorities, self._foreign, self._installation)
        return provisioning.handlers() | authorities.handlers()

    def start(self) -> None:
        """Delete what is over, now and then."""
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    async def close(self) -> None:
        """Stop."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper

    async def sweep(self) -> None:
        """Delete every claim and every unused certificate whose time is over."""
        while await self._committer.change(self._fleet.sweep_in):
            pass

    async def _sweep(self) -> None:
        while True:
            try:
                await self.sweep()
            except Refusal as refusal:
                _log.warning("what is over stays a while longer: %s", refusal.message)
            except Exception:  # noqa: BLE001 - whatever it is, the next sweep may succeed
                _log.exception("what is over stays a while longer")
            await asyncio.sleep(SWEEP_SECONDS)
