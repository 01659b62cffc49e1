"""The operations ``config-upload`` and ``config-download``.

upload:   accept → check the document → read the configuration in force → put it to the store.
download: accept → check the document → fetch → check, merge, lay it beside the file → APPLYING → replace the file →
tell the services → see software and device healthy, if the settings want that → SUCCEEDED, or ROLLBACK → put the file before
back → tell the services → FAILED.

``settle`` goes on with what the journal says after a power loss.
"""

from dataclasses import replace

from outfitter_contract.details import Step
from outfitter_contract.document import JobDocument
from outfitter_contract.execution import Status
from outfitter_contract.operations import Operation

from outfitter_agent.plans import acceptance, details
from outfitter_agent.plans.effects import (
    ApplyConfiguration,
    Configuration,
    DownloadConfiguration,
    Plan,
    PrepareConfiguration,
    ReadConfiguration,
    ReadCurrentSlot,
    ReloadServices,
    Report,
    RestoreConfiguration,
    Save,
    UploadConfiguration,
    Verdict,
    WatchHealth,
    perform,
)
from outfitter_agent.plans.ending import close, final, save, status_of
from outfitter_agent.plans.facts import Execution, Facts
from outfitter_agent.plans.states import CHANGE_STATES, PowerLoss
from outfitter_agent.plans.transaction import (
    Change,
    ChangeStage,
    JobRef,
    Journal,
)
from outfitter_agent.plans.troubles import Abandoned, Trouble
from outfitter_agent.plans.urls import with_fresh_urls

IN_FORCE = "in force already"


def upload(execution: Execution, facts: Facts, left: Change | None = None) -> Plan[None]:
    """Do a ``config-upload`` job; ``left`` is what the journal holds of the same execution, if anything."""
    change = _begin(execution, left)
    try:
        configuration = yield from _send(execution, change, facts)
    except Abandoned:
        yield from close(Journal())
    except Trouble as trouble:
        yield from _refuse(change, trouble, facts)
    else:
        told = details.uploaded(configuration, boot_id=facts.boot_id)
        yield from close(final(change.job, change.version_number, Status.SUCCEEDED, told))


def download(execution: Execution, facts: Facts, left: Change | None = None) -> Plan[None]:
    """Do a ``config-download`` job; ``left`` is what the journal holds of the same execution, if anything."""
    change = _begin(execution, left)
    try:
        change = yield from _prepare(execution, change, facts)
    except Abandoned:
        yield from close(Journal())
        return
    except Trouble as trouble:
        yield from _refuse(change, trouble, facts)
        return
    if change.stage is ChangeStage.APPLYING:
        yield from _prove(change, facts)
        return
    told = details.configured(change, boot_id=facts.boot_id, health=IN_FORCE)
    yield from close(final(change.job, change.version_number, Status.SUCCEEDED, told))


def settle(change: Change, facts: Facts) -> Plan[None]:
    """Go on with a change where the journal says it is; one that has changed nothing waits to be handed over again."""
    rule = CHANGE_STATES[change.stage].power_loss
    if rule is PowerLoss.PROVE:
        yield from _prove(change, facts)
    elif rule is PowerLoss.FINISH_ROLLBACK:
        yield from _take_back(change, facts)


def _begin(execution: Execution, left: Change | None) -> Change:
    job = JobRef(job_id=execution.job_id, execution_number=execution.execution_number)
    attempts = left.attempts + 1 if left is not None and left.job == job else 1
    return Change(
        job=job, stage=ChangeStage.ACCEPTED, attempts=attempts, version_number=execution.version_number
    )


def _accept(execution: Execution, change: Change, facts: Facts, operation: Operation) -> Plan[JobDocument]:
    yield from perform(Save(journal=Journal(change=change)))
    if change.attempts > facts.attempts_max:
        raise Trouble(
            f"the job was begun {facts.attempts_max} times and never came to its end; see the agent's log"
        )
    document = acceptance.read_document(execution.document, operation)
    yield from perform(Report(details=details.progress(Step.ACCEPTED, boot_id=facts.boot_id)))
    return document


def _send(execution: Execution, change: Change, facts: Facts) -> Plan[Configuration]:
    document = yield from _accept(execution, change, facts, Operation.CONFIG_UPLOAD)
    configuration = yield from perform(ReadConfiguration(leaving=True))
    if configuration is None:
        raise Trouble("this device has no configuration: its file does not exist")
    yield from perform(Report(details=details.progress(Step.UPLOADING, boot_id=facts.boot_id)))

    def attempt(url: str) -> UploadConfiguration:
        return UploadConfiguration(url=url, content=configuration.content)

    yield from with_fresh_urls(document, "the configuration could not be uploaded", attempt)
    return configuration


def _prepare(execution: Execution, change: Change, facts: Facts) -> Plan[Change]:
    """Everything that leaves the configuration in force alone; the change in APPLYING, or its target in force."""
    document = yield from _accept(execution, change, facts, Operation.CONFIG_DOWNLOAD)
    present = yield from _in_force()
    again = document.forced or document.merge
    if present is not None and present == document.sha256 and not again:
        acceptance.check_confirm(document, sha256=present)
        return replace(change, sha256=present)
    base = details.progress(Step.DOWNLOADING, boot_id=facts.boot_id)

    def attempt(url: str) -> DownloadConfiguration:
        return DownloadConfiguration(url=url, sha256=document.sha256, size=document.size, details=base)

    yield from with_fresh_urls(document, "the configuration is not accessible", attempt)
    yield from perform(Report(details=details.progress(Step.CHECKING, boot_id=facts.boot_id)))
    prepared = yield from perform(PrepareConfiguration(merge=document.merge))
    acceptance.check_confirm(document, sha256=prepared.sha256)
    change = replace(change, sha256=prepared.sha256, ignored=", ".join(prepared.ignored))
    if present == prepared.sha256 and not document.forced:
        return change
    yield from perform(Report(details=details.progress(Step.APPLYING, boot_id=facts.boot_id)))
    return replace(change, stage=ChangeStage.APPLYING, previous=present)


def _in_force() -> Plan[str | None]:
    """The digest of the file; one that holds no configuration has one, too, as it is put back when need be."""
    configuration = yield from perform(ReadConfiguration())
    return None if configuration is None else configuration.sha256


def _prove(change: Change, facts: Facts) -> Plan[None]:
    """Put the new configuration in force and see that it is taken, or take it back. ``change`` is in APPLYING."""
    try:
        verdict = yield from _try(change, facts)
    except Abandoned:
        reason = "the job has ended elsewhere before the new configuration was proven"
        yield from _enter_rollback(replace(change, abandoned=True, reason=reason), facts)
        return
    except Trouble as trouble:
        verdict = Verdict(healthy=False, reason=trouble.reason)
    if not verdict.healthy:
        yield from _enter_rollback(replace(change, reason=verdict.reason, log=verdict.log), facts)
        return
    told = details.configured(change, boot_id=facts.boot_id, health=verdict.reason)
    yield from close(final(change.job, change.version_number, Status.SUCCEEDED, told))


def _try(change: Change, facts: Facts) -> Plan[Verdict]:
    if change.tries >= facts.trial_boots_max:
        return Verdict(
            healthy=False, reason=f"the new configuration was not proven within {change.tries} tries"
        )
    yield from save(Journal(change=replace(change, tries=change.tries + 1)))
    yield from perform(ApplyConfiguration())
    verdict = yield from perform(ReloadServices())
    if verdict.healthy:
        yield from perform(Report(details=details.progress(Step.VERIFYING, boot_id=facts.boot_id)))
        if facts.configuration_health:
            software = (yield from perform(ReadCurrentSlot())) is not None
            if software or facts.health_checks:
                verdict = yield from perform(WatchHealth(settle=True, abandonable=True, software=software))
    present = yield from _in_force()
    if verdict.healthy and present != change.sha256:
        return Verdict(
            healthy=False, reason=f"another configuration is in force: its digest is {present or 'none'}"
        )
    return verdict


def _enter_rollback(change: Change, facts: Facts) -> Plan[None]:
    entered = replace(change, stage=ChangeStage.ROLLBACK, tries=0)
    yield from save(Journal(change=entered))
    yield from _take_back(entered, facts)


def _take_back(change: Change, facts: Facts) -> Plan[None]:
    """Put the configuration before in force again, and say why. ``change`` is in ROLLBACK.

    Raises Trouble when that fails and tries are left: the agent comes back to what its journal says, later.
    """
    told = details.refused(Step.ROLLING_BACK, change.reason, boot_id=facts.boot_id)
    try:
        yield from perform(Report(details=told))
    except Abandoned:
        change = replace(change, abandoned=True)
    change = replace(change, tries=change.tries + 1)
    yield from save(Journal(change=change))
    try:
        yield from perform(RestoreConfiguration(existed=change.previous is not None))
    except Trouble as trouble:
        if change.tries < facts.trial_boots_max:
            raise  # the journal says what is left to do, and it is tried again later
        health = f"the configuration before could not be put back: {trouble.reason}"
    else:
        health = yield from _reload_before(change, facts)
    try:
        in_force = yield from _in_force()
    except Trouble:
        in_force = None
    told = details.taken_back(change, in_force, boot_id=facts.boot_id, health=health)
    report = final(change.job, change.version_number, Status.FAILED, told)
    yield from close(Journal() if change.abandoned else report)


def _reload_before(change: Change, facts: Facts) -> Plan[str]:
    """Tell the services of the configuration before; what came of it."""
    if change.tries > facts.trial_boots_max:
        return f"the services were not told again: {change.tries - 1} tries did not come to an end"
    try:
        verdict = yield from perform(ReloadServices())
    except Trouble as trouble:
        return f"the services could not be told of the configuration before: {trouble.reason}"
    return (
        verdict.reason
        if verdict.healthy
        else f"the services do not take the configuration before either: {verdict.reason}"
    )


def _refuse(change: Change, trouble: Trouble, facts: Facts) -> Plan[None]:
    told = details.refused(Step.REFUSED, trouble.reason, boot_id=facts.boot_id)
    yield from close(final(change.job, change.version_number, status_of(trouble), told))
