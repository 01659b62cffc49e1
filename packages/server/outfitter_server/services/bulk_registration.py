"""RegisterThing: a thing, its certificate and policies by a template that comes with the call."""

import asyncio
from collections.abc import Callable, Mapping

from outfitter_server.access.authorities import read_signed
from outfitter_server.access.certificates import Status, read_certificate
from outfitter_server.services.certificates import certificate_or_refuse, register_in
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.fleet_provisioning import Provisioned, certificate_parameters
from outfitter_server.services.foreign_certificates import ForeignCertificates
from outfitter_server.services.ports import Authority
from outfitter_server.services.registrations import Registrations
from outfitter_server.things.provisioning import Plan, parse_template
from outfitter_server.things.template_values import CERTIFICATE_ID


class BulkRegistration:
    """Registration by people and programs, one thing a call."""

    def __init__(
        self,
        committer: Committer,
        authority: Authority,
        registrations: Registrations,
        foreign: ForeignCertificates,
        clock: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        """``clock`` gives milliseconds since the epoch, ``new_id`` a fresh UUID text."""
        self._committer = committer
        self._authority = authority
        self._registrations = registrations
        self._foreign = foreign
        self._clock = clock
        self._new_id = new_id
        self._ca_id = read_certificate(authority.ca_pem()).id

    async def register(self, body: str, parameters: Mapping[str, str]) -> Provisioned:
        """Make what the template says, all or nothing. The certificate is registered, is brought along, or is for a signing request.

        Raises:
            InvalidRequest: the template or the parameters do not fit, or the signing request is none.
            CertificateInvalid: no registered CA signed the certificate that is brought along.
            NotFound: the certificate is not registered.
            Refusal: see services.registrations.
        """
        template = parse_template(body, by_reference=False)
        # A certificate that is still to be made has no id yet, and no template may need it to find itself.
        first = template.plan({}, {CERTIFICATE_ID: "", **parameters})
        issued, brought = None, None
        if first.certificate.pem is not None:
            brought = read_signed(first.certificate.pem)
        if first.certificate.csr_pem is not None:
            issued = await asyncio.to_thread(
                self._authority.sign_request, first.certificate.csr_pem, self._clock()
            )

        def apply(batch: Batch) -> Provisioned:
            if brought is not None:
                authority = first.certificate.ca_pem
                wanted = None if authority is None else read_signed(authority).facts.id
                identifier = self._foreign.register_in(batch, brought, wanted, Status.PENDING_ACTIVATION)
            elif issued is None:
                identifier = certificate_or_refuse(batch.tx, first.certificate.id or "").id
            else:
                identifier = issued.certificate_id
                register_in(
                    batch,
                    read_certificate(issued.certificate_pem),
                    status=Status.PENDING_ACTIVATION,
                    issuer_id=self._ca_id,
                    generation_id=self._new_id(),
                )
            known = certificate_parameters(batch.tx, identifier)
            plan: Plan = template.plan(
                known, {name: value for name, value in parameters.items() if name not in known}
            )
            arns = self._registrations.apply_in(batch, plan, identifier)
            return Provisioned(
                thing=plan.thing.name if plan.thing else None,
                configuration=plan.device_configuration,
                certificate_pem=certificate_or_refuse(batch.tx, identifier).pem,
                arns=arns,
            )

        return await self._committer.change(apply)
