"""Which plan a job gets."""

from outfitter_contract.operations import Operation

from outfitter_agent.plans import acceptance, configure, device_client, ending, install, trust
from outfitter_agent.plans.effects import Plan
from outfitter_agent.plans.facts import Execution, Facts
from outfitter_agent.plans.steps import is_steps
from outfitter_agent.plans.transaction import Journal


def carry_out(execution: Execution, facts: Facts, journal: Journal) -> Plan[None]:
    """Do the job; ``journal`` is what is left of an earlier start of it, or of another job.

    Nothing in it is halfway: ``recover`` has run since the last start and the last fault.
    """
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


def give_up() -> Plan[None]:
    """The service knows nothing more of the job in the journal, which never left what runs."""
    return ending.close(Journal())
