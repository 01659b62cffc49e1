"""Which plan a job gets."""

from outfitter_contract.operations import Operation

from outfitter_agent.plans import acceptance, configure, device_client, install, trust
from outfitter_agent.plans.effects import Plan
from outfitter_agent.plans.facts import Execution, Facts
from outfitter_agent.plans.recover import forget
from outfitter_agent.plans.steps import is_steps
from outfitter_agent.plans.transaction import Change, ChangeStage, JobRef, Journal


def carry_out(execution: Execution, facts: Facts, journal: Journal) -> Plan[None]:
    """Do the job; ``journal`` is what is left of an earlier start of it, or of another job.

    A change of the configuration that a fault has interrupted is settled first; the job is handed over again then.
    """
    halfway = _halfway(journal)
    if halfway is not None:
        return configure.settle(halfway, facts)
    if is_steps(execution.document):
        return device_client.carry_out(execution, facts, journal.steps)
    match acceptance.operation_of(execution.document):
        case Operation.CONFIG_UPLOAD:
            return configure.upload(execution, facts, journal.change)
        case Operation.CONFIG_DOWNLOAD:
            return configure.download(execution, facts, journal.change)
        case Operation.TRUST_UPDATE:
            return trust.carry_out(execution, facts, journal.change)
        case Operation.INSTALL:
            return install.carry_out(execution, facts, journal.update)


def job_of(execution: Execution, journal: Journal) -> JobRef:
    """The job that ``carry_out`` works on."""
    halfway = _halfway(journal)
    if halfway is not None:
        return halfway.job
    return JobRef(job_id=execution.job_id, execution_number=execution.execution_number)


def give_up(journal: Journal, facts: Facts) -> Plan[None]:
    """The service knows nothing more of the job in the journal: what is halfway is settled, the rest forgotten."""
    halfway = _halfway(journal)
    return forget() if halfway is None else configure.settle(halfway, facts)


def _halfway(journal: Journal) -> Change | None:
    change = journal.change
    return change if change is not None and change.stage is not ChangeStage.ACCEPTED else None
