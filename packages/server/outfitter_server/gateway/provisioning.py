"""Requests of devices that have no identity yet: each a task of its own, answered to the connection that asked."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from outfitter_server.base.refusals import Refusal
from outfitter_server.gateway import provisioning_wire
from outfitter_server.gateway.limits import SIGNED_AT_ONCE
from outfitter_server.gateway.provisioning_wire import ProvisioningRequest, Reply, Verb
from outfitter_server.services.devices import Devices
from outfitter_server.services.fleet_provisioning import Asker, FleetProvisioning
from outfitter_server.services.foreign_certificates import ForeignCertificates

CLOSED: Final = Reply(closes=True)

_log = logging.getLogger(__name__)


class ProvisioningDesk:
    """Carries requests to the service and answers back."""

    def __init__(self, service: FleetProvisioning, devices: Devices, foreign: ForeignCertificates) -> None:
        """``devices`` says whether the claim that asks is still good; ``foreign`` registers what CAs vouch for."""
        self._foreign = foreign
        self._service = service
        self._devices = devices
        self._tasks: set[asyncio.Task[None]] = set()
        self._signing = asyncio.Semaphore(SIGNED_AT_ONCE)

    def meet(self, certificate_der: bytes) -> bool:
        """Whether a certificate that may not connect is being registered, because its CA registers devices that come."""
        return self._foreign.meet(certificate_der)

    def submit(
        self, request: ProvisioningRequest, payload: bytes, asker: Asker, reply: Callable[[Reply], None]
    ) -> None:
        """Begin; ``reply`` is called on the loop's thread when the outcome is durable, at once when nothing is to be done.

        The payload is read here and not in the task, so that it costs its sender's share and not everybody's.
        """
        # A claim ends while its connection is open: it is told nothing more.
        identity = self._devices.identify_id(asker.certificate_id)
        if identity is None or not identity.active:
            _log.info("the claim %s is over: its connection is closed", asker.certificate_id)
            reply(CLOSED)
            return
        try:
            members = provisioning_wire.decode(request, payload)
        except Refusal as refusal:
            reply(provisioning_wire.rejected(request, refusal))
            return
        task = asyncio.get_running_loop().create_task(self._serve(request, members, asker, reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self,
        request: ProvisioningRequest,
        members: Mapping[str, Any],
        asker: Asker,
        reply: Callable[[Reply], None],
    ) -> None:
        try:
            reply(await self._ask(request, members, asker))
        except Refusal as refusal:
            reply(provisioning_wire.rejected(request, refusal))
        except Exception as error:  # noqa: BLE001 - told to the device as the service's own fault, and logged
            _log.exception("a provisioning request failed")
            reply(provisioning_wire.rejected(request, error))

    async def _ask(self, request: ProvisioningRequest, members: Mapping[str, Any], asker: Asker) -> Reply:
        service = self._service
        match request.verb:
            case Verb.CREATE:
                async with self._signing:
                    return provisioning_wire.accepted(request, await service.create_keys())
            case Verb.CREATE_FROM_CSR:
                csr = members.get("certificateSigningRequest", "")
                async with self._signing:
                    return provisioning_wire.accepted(request, await service.create_from_request(csr))
            case Verb.PROVISION:
                token = members.get("certificateOwnershipToken", "")
                parameters = members.get("parameters") or {}
                done = await service.provision(request.template, token, parameters, asker)
                return provisioning_wire.accepted(request, done)
