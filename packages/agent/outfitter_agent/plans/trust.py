"""The operation ``trust-update``: accept → check the document → verify the statement and put it in force → SUCCEEDED.

What changes is one file, replaced whole; after a power loss the job starts over, and finds its statement in force.
"""

from outfitter_contract.details import Step
from outfitter_contract.execution import Status
from outfitter_contract.operations import Operation

from outfitter_agent.plans import acceptance, details
from outfitter_agent.plans.effects import ChangeKeys, KeysChanged, Plan, Report, Save, perform
from outfitter_agent.plans.ending import close, final, status_of
from outfitter_agent.plans.facts import Execution, Facts
from outfitter_agent.plans.transaction import Change, ChangeStage, JobRef, Journal
from outfitter_agent.plans.troubles import Abandoned, Trouble


def carry_out(execution: Execution, facts: Facts, left: Change | None = None) -> Plan[None]:
    """Do the job; ``left`` is what the journal holds of the same execution, if anything."""
    job = JobRef(job_id=execution.job_id, execution_number=execution.execution_number)
    attempts = left.attempts + 1 if left is not None and left.job == job else 1
    version = execution.version_number
    change = Change(job=job, stage=ChangeStage.ACCEPTED, attempts=attempts, version_number=version)
    try:
        changed = yield from _change(execution, change, facts)
    except Abandoned:
        yield from close(Journal())
    except Trouble as trouble:
        told = details.refused(Step.REFUSED, trouble.reason, boot_id=facts.boot_id)
        yield from close(final(job, version, status_of(trouble), told))
    else:
        told = details.trusting(changed.counter, changed.key_ids, boot_id=facts.boot_id)
        yield from close(final(job, version, Status.SUCCEEDED, told))


def _change(execution: Execution, change: Change, facts: Facts) -> Plan[KeysChanged]:
    yield from perform(Save(journal=Journal(change=change)))
    if change.attempts > facts.attempts_max:
        raise Trouble(
            f"the job was begun {facts.attempts_max} times and never came to its end; see the agent's log"
        )
    document = acceptance.read_document(execution.document, Operation.TRUST_UPDATE)
    yield from perform(Report(details=details.progress(Step.ACCEPTED, boot_id=facts.boot_id)))
    return (yield from perform(ChangeKeys(signed=document.signed)))
