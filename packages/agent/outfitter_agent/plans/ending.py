"""How every job ends: one write that replaces the transaction by its final report, then the tidying up."""

from collections.abc import Mapping

from outfitter_contract.execution import Status

from outfitter_agent.plans.effects import Discard, Plan, Save, perform
from outfitter_agent.plans.transaction import FinalReport, JobRef, Journal
from outfitter_agent.plans.troubles import Refusal, Trouble


def final(job: JobRef, version_number: int | None, status: Status, told: Mapping[str, str]) -> Journal:
    """The journal of a job that has ended and is yet to be reported."""
    return Journal(final=FinalReport(job=job, version_number=version_number, status=status, details=told))


def status_of(trouble: Trouble) -> Status:
    """What a job ends with that changed nothing on the device."""
    return Status.REJECTED if isinstance(trouble, Refusal) else Status.FAILED


def save(journal: Journal) -> Plan[None]:
    """Save what needs no download any more; where that fails, the download makes room for it.

    Nothing has to be journaled before the download goes: a power loss in between finds a state that does without it, or
    one that starts over and fetches it again.
    """
    try:
        yield from perform(Save(journal=journal))
    except Trouble:
        yield from perform(Discard())
        yield from perform(Save(journal=journal))


def close(journal: Journal) -> Plan[None]:
    """Replace the transaction by its end, then tidy up."""
    yield from save(journal)
    yield from perform(Discard())
