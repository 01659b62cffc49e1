"""The ``install`` operation, from the accepted job to the trial of the new software.

accept → check the document → compare versions → download → check the image → unpack into the slot that does not run
→ TRIAL. From there on ``recover`` leads, whether the machine restarted as planned or lost its power.
"""

from dataclasses import replace
from typing import Final

from outfitter_contract.details import Step
from outfitter_contract.document import JobDocument
from outfitter_contract.execution import Status
from outfitter_contract.image import Manifest

from outfitter_agent.plans import acceptance, details
from outfitter_agent.plans.acceptance import Decision
from outfitter_agent.plans.effects import (
    Discard,
    Download,
    Downloaded,
    FreshDocument,
    Plan,
    ReadManifest,
    ReadRunning,
    Report,
    Save,
    Unpack,
    WatchHealth,
    perform,
)
from outfitter_agent.plans.facts import Execution, Facts
from outfitter_agent.plans.recover import prove
from outfitter_agent.plans.transaction import FinalReport, Installed, JobRef, Journal, Stage, Update
from outfitter_agent.plans.troubles import Abandoned, Refusal, Trouble

FRESH_URLS_MAX: Final = 50
BARREN_URLS_MAX: Final = 2
"""URLs in a row that are refused before they give a single byte."""

SLOTS: Final = ("a", "b")


def carry_out(execution: Execution, facts: Facts, left: Update | None = None) -> Plan[None]:
    """Do the job; ``left`` is the transaction of the same execution that the journal still holds, if any."""
    job = JobRef(job_id=execution.job_id, execution_number=execution.execution_number)
    attempts = left.attempts + 1 if left is not None and left.job == job else 1
    update = Update(job=job, stage=Stage.ACCEPTED, attempts=attempts, version_number=execution.version_number)
    try:
        update = yield from _prepare(execution, update, facts)
    except Abandoned:
        yield from _close(Journal())
        return
    except Trouble as trouble:
        status = Status.REJECTED if isinstance(trouble, Refusal) else Status.FAILED
        told = details.refused(Step.REFUSED, trouble.reason, boot_id=facts.boot_id)
        yield from _close(_final(execution, job, status, told))
        return
    if update.stage is Stage.TRIAL:
        yield from prove(update, facts)
        return
    told = details.proven(update, boot_id=facts.boot_id, health=update.reason)
    yield from _close(_final(execution, job, Status.SUCCEEDED, told))


def _prepare(execution: Execution, update: Update, facts: Facts) -> Plan[Update]:
    """Everything that leaves the running software alone; the transaction in TRIAL, or its target already running."""
    yield from perform(Save(journal=Journal(update=update)))
    if update.attempts > facts.attempts_max:
        raise Trouble(
            f"the job was begun {facts.attempts_max} times and never came to its end; see the agent's log"
        )
    document = acceptance.read_document(execution.document)
    yield from perform(
        Report(details=details.progress(Step.ACCEPTED, boot_id=facts.boot_id, version=document.version))
    )
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
            return (yield from _already(update, running))
    downloaded = yield from _download(document, update, facts)
    yield from perform(
        Report(details=details.progress(Step.CHECKING, boot_id=facts.boot_id, version=document.version))
    )
    manifest = yield from perform(ReadManifest())
    acceptance.check_manifest(manifest, document, facts.device_type)
    decision = acceptance.decide(
        running,
        name=manifest.name,
        version=manifest.version,
        sha256=downloaded.sha256,
        forced=document.forced,
    )
    if decision is Decision.ALREADY_RUNNING:
        return (yield from _already(update, running))
    return (yield from _unpack(update, running, manifest, downloaded.sha256, facts))


def _already(update: Update, running: Installed | None) -> Plan[Update]:
    """The same image runs already: that is success only if it is healthy, too."""
    verdict = yield from perform(WatchHealth(settle=False, abandonable=True))
    if not verdict.healthy:
        raise Trouble(
            f"this very image is installed but not healthy: {verdict.reason}; use forced to install it anew"
        )
    return replace(update, target=running, reason=f"{verdict.reason}; already running")


def _download(document: JobDocument, update: Update, facts: Facts) -> Plan[Downloaded]:
    yield from perform(Save(journal=Journal(update=replace(update, stage=Stage.DOWNLOADING))))
    barren = 0
    for _ in range(FRESH_URLS_MAX):
        base = details.progress(Step.DOWNLOADING, boot_id=facts.boot_id, version=document.version)
        outcome = yield from perform(
            Download(url=document.url, sha256=document.sha256, size=document.size, details=base)
        )
        if isinstance(outcome, Downloaded):
            return outcome
        barren = 0 if outcome.bytes_gained else barren + 1
        if barren >= BARREN_URLS_MAX:
            raise Trouble(f"the image is not accessible: {outcome.reason}, also with a fresh URL")
        fresh = acceptance.read_document((yield from perform(FreshDocument())))
        document = replace(document, url=fresh.url)
    raise Trouble(f"the image is not accessible: {FRESH_URLS_MAX} URLs expired before it was complete")


def _unpack(
    update: Update, running: Installed | None, manifest: Manifest, sha256: str, facts: Facts
) -> Plan[Update]:
    slot = next(name for name in SLOTS if running is None or name != running.slot)
    target = Installed(
        slot=slot,
        name=manifest.name,
        version=manifest.version,
        sha256=sha256,
        start=manifest.start,
        health=manifest.health,
    )
    yield from perform(Save(journal=Journal(update=replace(update, stage=Stage.UNPACKING))))
    told = details.progress(Step.INSTALLING, boot_id=facts.boot_id, version=manifest.version, slot=slot)
    yield from perform(Report(details=told))
    yield from perform(Unpack(installed=target))
    told = details.progress(Step.RESTARTING, boot_id=facts.boot_id, version=manifest.version, slot=slot)
    yield from perform(Report(details=told))
    return replace(update, stage=Stage.TRIAL, boot_before=facts.boot_id, target=target, previous=running)


def _final(execution: Execution, job: JobRef, status: Status, told: dict[str, str]) -> Journal:
    return Journal(
        final=FinalReport(job=job, version_number=execution.version_number, status=status, details=told)
    )


def _close(journal: Journal) -> Plan[None]:
    """Replace the transaction by its end, then tidy up."""
    yield from perform(Save(journal=journal))
    yield from perform(Discard())
