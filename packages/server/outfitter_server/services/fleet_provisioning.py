"""Fleet provisioning: a device that shows a claim certificate gets a certificate, and a place in the registry, of its own.

The device asks for a certificate, which waits for its registration (PENDING_ACTIVATION), and gets with it a token that
proves to whom it was given. With the token and its parameters it asks to be provisioned by a template. A certificate that
is not used within the hour is deleted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import msgspec

from outfitter_server.access.certificates import Status, read_certificate, template_parameters
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import Forbidden, InvalidRequest, LimitExceeded, Refusal
from outfitter_server.services.certificates import certificate_or_refuse, register_in
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.effects import PrincipalChanged
from outfitter_server.services.invocations import InvokeResult
from outfitter_server.services.ports import Authority, IssuedCertificate, Transaction
from outfitter_server.services.provisioning_templates import FLEET, Hook, StoredTemplate, template_or_refuse
from outfitter_server.services.registrations import Registrations
from outfitter_server.things.provisioning import check_parameters, parse_template
from outfitter_server.things.template_values import CERTIFICATE_PREFIX

TOKEN_SECONDS: Final = 3_600
CLAIM_SECONDS: Final = 300
HOOK_SECONDS: Final = 5.0
PER_HOUR_MAX: Final = 36_000  # certificates that wait to be used: AWS makes ten a second
CLAIMS_MAX: Final = 10_000
SWEPT_MAX: Final = 500  # in one transaction

InvokeFor = Callable[[str, bytes, str], Awaitable[InvokeResult]]


class InvalidToken(Refusal):
    """The ownership token is none, or its hour is over."""

    code = "InvalidCertificateOwnershipTokenException"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks: the certificate that the connection shows, and its client id."""

    certificate_id: str
    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """A new certificate and the token of its owner."""

    issued: IssuedCertificate
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """What a device is told; ``thing`` is None when the template makes none."""

    thing: str | None
    configuration: Mapping[str, str]
    certificate_pem: str = ""
    arns: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningClaim:
    """A claim certificate, which ends at ``expires_at`` (milliseconds since the epoch)."""

    issued: IssuedCertificate
    expires_at: int


class FleetProvisioning:
    """The operations of devices, and the claims that they come with."""

    def __init__(
        self,
        *,
        committer: Committer,
        authority: Authority,
        registrations: Registrations,
        invoke: InvokeFor,
        installation: Installation,
        clock: Callable[[], int],
        new_id: Callable[[], str],
        new_token: Callable[[], str],
    ) -> None:
        """``invoke`` runs hooks; ``new_token`` makes a text that nobody can guess; ``clock`` gives milliseconds."""
        self._committer = committer
        self._authority = authority
        self._registrations = registrations
        self._invoke = invoke
        self._installation = installation
        self._clock = clock
        self._new_id = new_id
        self._new_token = new_token
        self._ca_id = read_certificate(authority.ca_pem()).id

    async def create_keys(self) -> Owned:
        """A key pair and its certificate, PENDING_ACTIVATION.

        Raises:
            LimitExceeded: too many such certificates wait to be used.
        """
        return await self._own(await asyncio.to_thread(self._authority.issue_device, self._clock()))

    async def create_from_request(self, csr_pem: str) -> Owned:
        """A certificate for the device's own key, PENDING_ACTIVATION.

        Raises:
            InvalidRequest: the request is not one, or its key is too weak.
            LimitExceeded: too many such certificates wait to be used.
        """
        return await self._own(await asyncio.to_thread(self._authority.sign_request, csr_pem, self._clock()))

    async def provision(
        self, template: str, token: str, parameters: Mapping[str, str], asker: Asker
    ) -> Provisioned:
        """Register the owner of a token by a template's default version. A refusal changes nothing.

        Raises:
            InvalidToken: looked at first.
            NotFound, InvalidRequest: no such template, it is not enabled, or the parameters do not fit.
            Forbidden: the hook refuses, fails, or takes more than five seconds.
            Refusal: see services.registrations.
        """
        certificate = self._committer.read(lambda tx: _owned_by(tx, token, self._committer.now()))
        check_parameters(parameters)
        found = self._committer.read(lambda tx: _enabled(tx, template))
        given = {name: value for name, value in parameters.items() if not name.startswith("AWS::")}
        vouched: dict[str, str] = {}
        if found.hook is not None:
            vouched = await self._ask_hook(found.hook, template, certificate, given, asker)

        def apply(batch: Batch) -> Provisioned:
            identifier = _owned_by(batch.tx, token, batch.now)
            now_found = _enabled(batch.tx, template)
            variables = certificate_parameters(batch.tx, identifier)
            plan = parse_template(now_found.body).plan(given | variables, vouched)
            arns = self._registrations.apply_in(batch, plan, identifier)
            batch.tx.run("token_delete", digest=_digest(token))
            return Provisioned(
                thing=plan.thing.name if plan.thing else None,
                configuration=plan.device_configuration,
                arns=arns,
            )

        return await self._committer.change(apply)

    async def claim(self, template: str) -> ProvisioningClaim:
        """A certificate with which a device may be provisioned by this template, for five minutes.

        Raises:
            NotFound: there is no such template.
            LimitExceeded: too many claims are open.
        """
        self._committer.read(lambda tx: template_or_refuse(tx, template))
        now = self._clock()
        issued = await asyncio.to_thread(self._authority.issue_device, now, now + CLAIM_SECONDS * 1000)
        subject = msgspec.json.encode(read_certificate(issued.certificate_pem).variables).decode()
        document = claim_policy(template, self._installation)

        def apply(batch: Batch) -> int:
            template_or_refuse(batch.tx, template)
            if batch.tx.one("claims_beyond", count=CLAIMS_MAX - 1) is not None:
                raise LimitExceeded(f"{CLAIMS_MAX} provisioning claims are open: wait until some expire")
            expires_at = batch.now + CLAIM_SECONDS * 1000
            batch.tx.run(
                "claim_insert",
                id=issued.certificate_id,
                template=template,
                document=document,
                subject=subject,
                expires_at=expires_at,
            )
            return expires_at

        return ProvisioningClaim(issued=issued, expires_at=await self._committer.change(apply))

    def sweep_in(self, batch: Batch) -> int:
        """Delete claims that are over and certificates that nobody used in time, so many at once; how many."""
        tx = batch.tx
        claims = tx.all("claims_expired", now=batch.now, limit=SWEPT_MAX)
        for row in claims:
            tx.run("claim_delete", id=row["id"])
            batch.emit(PrincipalChanged(row["id"]))
        tokens = tx.all("tokens_expired", now=batch.now, limit=SWEPT_MAX)
        for row in tokens:
            tx.run("token_delete", digest=row["digest"])
            # One that somebody activated by hand meanwhile is used.
            if tx.run("certificate_delete_pending", id=row["certificate"]):
                tx.run("policy_targets_delete", target=f"cert/{row['certificate']}")
        return len(claims) + len(tokens)

    async def _own(self, issued: IssuedCertificate) -> Owned:
        token, read = self._new_token(), read_certificate(issued.certificate_pem)

        def apply(batch: Batch) -> None:
            span = batch.tx.one("tokens_span")
            if (
                span is not None
                and span["first"] is not None
                and span["last"] - span["first"] >= PER_HOUR_MAX
            ):
                raise LimitExceeded(f"{PER_HOUR_MAX} certificates wait to be used: try again later")
            register_in(
                batch,
                read,
                status=Status.PENDING_ACTIVATION,
                issuer_id=self._ca_id,
                generation_id=self._new_id(),
            )
            batch.tx.run(
                "token_insert",
                digest=_digest(token),
                certificate=read.id,
                expires_at=batch.now + TOKEN_SECONDS * 1000,
            )

        await self._committer.change(apply)
        return Owned(issued=issued, token=token)

    async def _ask_hook(
        self, hook: Hook, template: str, certificate: str, given: Mapping[str, str], asker: Asker
    ) -> dict[str, str]:
        pem = self._committer.read(lambda tx: certificate_or_refuse(tx, certificate)).pem
        arn = self._installation.iot_arn("provisioningtemplate", template)
        event = {
            "claimCertificateId": asker.certificate_id,
            "certificateId": certificate,
            "certificatePem": pem,
            "templateArn": arn,
            "clientId": asker.client_id,
            "parameters": dict(given),
        }
        try:
            async with asyncio.timeout(HOOK_SECONDS):
                answer = await self._invoke(hook.target_arn, msgspec.json.encode(event), arn)
        except TimeoutError as error:
            raise Forbidden("the pre-provisioning hook did not answer in time") from error
        except Refusal as refusal:
            raise Forbidden(f"the pre-provisioning hook cannot be asked: {refusal.message}") from refusal
        return _overrides(answer)


def claim_policy(template: str, installation: Installation) -> str:
    """What a claim certificate of CreateProvisioningClaim may do: be provisioned by its template, and nothing else."""
    names = (
        "$aws/certificates/create/*",
        "$aws/certificates/create-from-csr/*",
        f"$aws/provisioning-templates/{template}/provision/*",
    )
    topics = [installation.iot_arn("topic", name) for name in names]
    filters = [installation.iot_arn("topicfilter", name) for name in names]
    statements = [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
        {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": topics},
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": filters},
    ]
    return msgspec.json.encode({"Version": "2012-10-17", "Statement": statements}).decode()


def certificate_parameters(tx: Transaction, identifier: str) -> dict[str, str]:
    """The parameters that a template has from the certificate: ``AWS::IoT::Certificate::Id`` and of its subject."""
    pem = certificate_or_refuse(tx, identifier).pem
    return {f"{CERTIFICATE_PREFIX}{name}": value for name, value in template_parameters(pem).items()}


def _enabled(tx: Transaction, name: str) -> StoredTemplate:
    found = template_or_refuse(tx, name)
    if found.type != FLEET or not found.enabled:
        raise InvalidRequest(f"provisioning template {name} is not enabled for fleet provisioning")
    return found


def _overrides(answer: InvokeResult) -> dict[str, str]:
    if answer.error is not None:
        raise Forbidden("the pre-provisioning hook failed")
    try:
        told: Any = msgspec.json.decode(answer.payload)
    except msgspec.DecodeError as error:
        raise Forbidden("the pre-provisioning hook answered with something that is not JSON") from error
    if not isinstance(told, dict) or told.get("allowProvisioning") is not True:
        raise Forbidden("the pre-provisioning hook does not allow it")
    found = told.get("parameterOverrides") or {}
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise Forbidden("parameterOverrides of the pre-provisioning hook must be a map of strings")
    return {name: value for name, value in found.items() if not name.startswith("AWS::")}


def _owned_by(tx: Transaction, token: str, now: int) -> str:
    row = tx.one("token_by_digest", digest=_digest(token)) if token else None
    if row is None or row["expires_at"] <= now:
        raise InvalidToken(
            "certificateOwnershipToken is not one that was given out within the last hour, or is used already"
        )
    return str(row["certificate"])


def _digest(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
