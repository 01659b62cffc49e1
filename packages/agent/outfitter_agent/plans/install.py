"""The ``install`` operation, from the accepted job to the trial of the new software.

accept → check the document → compare versions → download → check the image → unpack into the slot that does not run
→ TRIAL. From there on ``recover`` leads, whether the machine restarted as planned or lost its power.
"""

from dataclasses import replace
from typing import Final

from outfitter_contract.details import Step, clean_value
from outfitter_contract.document import Delta, DeltaPolicy, JobDocument
from outfitter_contract.execution import Status
from outfitter_contract.image import Manifest
from outfitter_contract.operations import Operation

from outfitter_agent.plans import acceptance, details
from outfitter_agent.plans.acceptance import Decision
from outfitter_agent.plans.effects import (
    ApplyDelta,
    Download,
    Downloaded,
    Plan,
    ReadCurrentSlot,
    ReadManifest,
    ReadOtherSlot,
    ReadRunning,
    Report,
    Save,
    Unpack,
    VerifyImage,
    Vouched,
    WatchHealth,
    perform,
)
from outfitter_agent.plans.ending import close, final, status_of
from outfitter_agent.plans.facts import Execution, Facts
from outfitter_agent.plans.recover import prove
from outfitter_agent.plans.transaction import Installed, JobRef, Journal, Stage, Update
from outfitter_agent.plans.troubles import Abandoned, Trouble
from outfitter_agent.plans.urls import with_fresh_urls

BEFORE_THE_IMAGE: Final = (Stage.ACCEPTED, Stage.DOWNLOADING)


def carry_out(execution: Execution, facts: Facts, left: Update | None = None) -> Plan[None]:
    """Do the job; ``left`` is the transaction of the same execution that the journal still holds, if any."""
    job = JobRef(job_id=execution.job_id, execution_number=execution.execution_number)
    attempts, delta = 1, ""
    if left is not None and left.job == job:
        attempts = left.attempts + 1
        delta = left.delta if left.stage in BEFORE_THE_IMAGE else ""
    update = Update(
        job=job,
        stage=Stage.ACCEPTED,
        attempts=attempts,
        version_number=execution.version_number,
        delta=delta,
    )
    try:
        update = yield from _prepare(execution, update, facts)
    except Abandoned:
        yield from close(Journal())
        return
    except Trouble as trouble:
        told = details.refused(Step.REFUSED, trouble.reason, boot_id=facts.boot_id)
        yield from close(final(job, execution.version_number, status_of(trouble), told))
        return
    if update.stage is Stage.TRIAL:
        yield from prove(update, facts)
        return
    told = details.proven(update, boot_id=facts.boot_id, health=update.reason)
    yield from close(final(job, execution.version_number, Status.SUCCEEDED, told))


def _prepare(execution: Execution, update: Update, facts: Facts) -> Plan[Update]:
    """Everything that leaves the running software alone; the transaction in TRIAL, or its target already running."""
    yield from perform(Save(journal=Journal(update=update)))
    if update.attempts > facts.attempts_max:
        raise Trouble(
            f"the job was begun {facts.attempts_max} times and never came to its end; see the agent's log"
        )
    document = acceptance.read_document(execution.document, Operation.INSTALL)
    yield from perform(
        Report(details=details.progress(Step.ACCEPTED, boot_id=facts.boot_id, version=document.version))
    )
    vouched = None
    if facts.signed_only:
        vouched = yield from perform(VerifyImage(signed=document.signed))
        document = acceptance.agreed(document, vouched, facts)
    running = yield from perform(ReadRunning())
    if document.version is not None:
        decision = acceptance.decide(
            running,
            name=document.name,
            version=document.version,
            sha256=document.sha256,
            forced=document.forced,
        )
        if decision is Decision.ALREADY_RUNNING:
            return (yield from _already(update, running, document))
    downloaded, delta = yield from _download(document, running, update, facts)
    update = replace(update, delta=delta)
    yield from perform(
        Report(details=details.progress(Step.CHECKING, boot_id=facts.boot_id, version=document.version))
    )
    manifest = yield from perform(ReadManifest())
    acceptance.check_manifest(manifest, document, facts.device_type)
    if vouched is not None:
        acceptance.check_vouched(manifest, vouched.statement)
    decision = acceptance.decide(
        running,
        name=manifest.name,
        version=manifest.version,
        sha256=downloaded.sha256,
        forced=document.forced,
    )
    if decision is Decision.ALREADY_RUNNING:
        return (yield from _already(update, running, document))
    acceptance.check_confirm(document, version=manifest.version, sha256=downloaded.sha256)
    slot = yield from perform(ReadOtherSlot())
    target = _target(slot, manifest, downloaded.sha256, vouched)
    return (yield from _unpack(update, running, target, facts))


def _already(update: Update, running: Installed | None, document: JobDocument) -> Plan[Update]:
    """The same image runs already: that is success only if it is healthy, too."""
    if running is not None:
        acceptance.check_confirm(document, version=running.version, sha256=running.sha256)
    verdict = yield from perform(WatchHealth(settle=False, abandonable=True))
    if not verdict.healthy:
        raise Trouble(
            f"this very image is installed but not healthy: {verdict.reason}; use forced to install it anew"
        )
    return replace(update, target=running, reason=f"{verdict.reason}; already running")


def _download(
    document: JobDocument, running: Installed | None, update: Update, facts: Facts
) -> Plan[tuple[Downloaded, str]]:
    """The image, by a delta if the job has one for what runs; and what became of the job's deltas.

    The journal knows from this stage on when none is of use: what there is of the whole image is then worth more.
    """
    yield from perform(Save(journal=Journal(update=replace(update, stage=Stage.DOWNLOADING))))
    told = update.delta
    if document.deltas and not told:
        try:
            delta, base = acceptance.delta_for(document, running)
            return (yield from _download_delta(document, delta, base, facts))
        except Trouble as trouble:
            told = f"not used: {trouble.reason}"
            if document.delta_policy is DeltaPolicy.FAIL:
                raise Trouble(f"the job wants a delta used and nothing else: {trouble.reason}") from None
            noted = replace(update, stage=Stage.DOWNLOADING, delta=told)
            yield from perform(Save(journal=Journal(update=noted)))
    return (yield from _download_whole(document, told, facts)), told


def _download_delta(
    document: JobDocument, delta: Delta, base: Installed, facts: Facts
) -> Plan[tuple[Downloaded, str]]:
    said = {"delta": f"from {base.version}"}
    told = said | details.progress(Step.DOWNLOADING, boot_id=facts.boot_id, version=document.version)

    def attempt(url: str) -> Download:
        return Download(url=url, sha256=delta.sha256, size=delta.size, details=told)

    fetched = yield from with_fresh_urls(
        document,
        "the delta is not accessible",
        attempt,
        url_of=lambda fresh: acceptance.same_delta(fresh, delta).url,
    )
    yield from perform(
        Report(
            details=said | details.progress(Step.CHECKING, boot_id=facts.boot_id, version=document.version)
        )
    )
    made = yield from perform(ApplyDelta(running=base, sha256=document.sha256 or "", size=document.size))
    return made, f"from {base.version}: {fetched.size} bytes fetched instead of {made.size}"


def _download_whole(document: JobDocument, delta: str, facts: Facts) -> Plan[Downloaded]:
    said = {"delta": clean_value(delta)} if delta else {}
    base = said | details.progress(Step.DOWNLOADING, boot_id=facts.boot_id, version=document.version)

    def attempt(url: str) -> Download:
        return Download(url=url, sha256=document.sha256, size=document.size, details=base)

    return (yield from with_fresh_urls(document, "the image is not accessible", attempt))


def _target(slot: str, manifest: Manifest, sha256: str, vouched: Vouched | None) -> Installed:
    """What the slot that does not run shall hold."""
    return Installed(
        slot=slot,
        name=manifest.name,
        version=manifest.version,
        sha256=sha256,
        start=manifest.start,
        health=manifest.health,
        minimum=vouched.statement.minimum if vouched else None,
    )


def _unpack(update: Update, running: Installed | None, target: Installed, facts: Facts) -> Plan[Update]:
    slot, version = target.slot, target.version
    yield from perform(Save(journal=Journal(update=replace(update, stage=Stage.UNPACKING))))
    told = details.progress(Step.INSTALLING, boot_id=facts.boot_id, version=version, slot=slot)
    yield from perform(Report(details=told))
    yield from perform(Unpack(installed=target))
    told = details.progress(Step.RESTARTING, boot_id=facts.boot_id, version=version, slot=slot)
    yield from perform(Report(details=told))
    before = yield from perform(ReadCurrentSlot())
    return replace(
        update,
        stage=Stage.TRIAL,
        boot_before=facts.boot_id,
        target=target,
        previous=running,
        previous_slot=before,
    )
