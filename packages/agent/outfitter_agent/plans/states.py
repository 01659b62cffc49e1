"""The states of a transaction: what each is entered before, what a power loss in it means, how it can end, what counts it.

A state is entered by writing it into the journal, which is synced before anything else is done. The plans take what they
do after a power loss from these tables, and docs/reference/update-transaction.md is made from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from outfitter_agent.plans.steps import STEPS_MAX
from outfitter_agent.plans.transaction import RESTARTS_MAX, ChangeStage, Stage, StepsStage


class PowerLoss(StrEnum):
    """What the agent does with a transaction that it finds at its start."""

    START_OVER = "start over"
    PROVE = "prove"
    FINISH_ROLLBACK = "finish rollback"
    FAIL = "fail"


class End(StrEnum):
    """How a transaction leaves the journal: by its result, which stays there until it is answered, or without one."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    NOTHING = "nothing"
    """The job has ended elsewhere: nothing is reported."""


Place = Stage | ChangeStage | StepsStage | End


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One state."""

    before: str
    """What happens only after it is in the journal."""
    power_loss: PowerLoss
    after: str
    """What that comes to."""
    failure: Place
    """Where everything leads that goes wrong in it."""
    follows: frozenset[Place]
    """What may take its place in the journal."""
    counter: str
    """The member of the journal that bounds how often it is entered again."""
    bound: str
    """The most that it may count: a setting of the agent, or a number."""


_BEGINNING: Final[frozenset[Place]] = frozenset({Stage.ACCEPTED, End.FAILED, End.REJECTED, End.NOTHING})

UPDATE_STATES: Final[Mapping[Stage, State]] = MappingProxyType(
    {
        Stage.ACCEPTED: State(
            before="anything is downloaded",
            power_loss=PowerLoss.START_OVER,
            after="the service hands the job over again",
            failure=End.FAILED,
            follows=_BEGINNING | {Stage.DOWNLOADING, End.SUCCEEDED},
            counter="attempts",
            bound="attempts_max",
        ),
        Stage.DOWNLOADING: State(
            before="the image is fetched, or made with a delta",
            power_loss=PowerLoss.START_OVER,
            after="the job is handed over again; the download goes on behind what was synced of it",
            failure=End.FAILED,
            follows=_BEGINNING | {Stage.DOWNLOADING, Stage.UNPACKING, End.SUCCEEDED},
            counter="attempts",
            bound="attempts_max",
        ),
        Stage.UNPACKING: State(
            before="the slot that does not run is written",
            power_loss=PowerLoss.START_OVER,
            after="the job is handed over again; the slot is cleared and written anew, the one that runs is not touched",
            failure=End.FAILED,
            follows=_BEGINNING | {Stage.TRIAL},
            counter="attempts",
            bound="attempts_max",
        ),
        Stage.TRIAL: State(
            before="the slot is switched, and each boot into the new software",
            power_loss=PowerLoss.PROVE,
            after="switched, and restarted, if that had not been done; else the boot is counted, the new software proven or rolled back",
            failure=Stage.ROLLBACK,
            follows=frozenset({Stage.TRIAL, Stage.ROLLBACK, End.SUCCEEDED}),
            counter="restarts, boots",
            bound=f"{RESTARTS_MAX}, trial_boots_max",
        ),
        Stage.ROLLBACK: State(
            before="the slot is switched back, and each boot into the software before",
            power_loss=PowerLoss.FINISH_ROLLBACK,
            after="switched back again, which is harmless, and restarted if need be; the software before is started and looked at",
            failure=End.FAILED,
            follows=frozenset({Stage.ROLLBACK, End.FAILED, End.NOTHING}),
            counter="restarts, boots",
            bound=f"{RESTARTS_MAX}, trial_boots_max",
        ),
    }
)

CHANGE_STATES: Final[Mapping[ChangeStage, State]] = MappingProxyType(
    {
        ChangeStage.ACCEPTED: State(
            before="anything is fetched or sent",
            power_loss=PowerLoss.START_OVER,
            after="the service hands the job over again",
            failure=End.FAILED,
            follows=frozenset(
                {
                    ChangeStage.ACCEPTED,
                    ChangeStage.APPLYING,
                    End.SUCCEEDED,
                    End.FAILED,
                    End.REJECTED,
                    End.NOTHING,
                }
            ),
            counter="attempts",
            bound="attempts_max",
        ),
        ChangeStage.APPLYING: State(
            before="the file is replaced; the new one and the one before lie beside it by then",
            power_loss=PowerLoss.PROVE,
            after="replaced again, which is harmless; the services are told again, and it is proven or taken back",
            failure=ChangeStage.ROLLBACK,
            follows=frozenset({ChangeStage.APPLYING, ChangeStage.ROLLBACK, End.SUCCEEDED}),
            counter="tries",
            bound="trial_boots_max",
        ),
        ChangeStage.ROLLBACK: State(
            before="the file before is put back",
            power_loss=PowerLoss.FINISH_ROLLBACK,
            after="put back again, which is harmless; the services are told again",
            failure=End.FAILED,
            follows=frozenset({ChangeStage.ROLLBACK, End.FAILED, End.NOTHING}),
            counter="tries",
            bound="trial_boots_max",
        ),
    }
)

STEPS_STATES: Final[Mapping[StepsStage, State]] = MappingProxyType(
    {
        StepsStage.ACCEPTED: State(
            before="anything is run",
            power_loss=PowerLoss.START_OVER,
            after="the service hands the job over again",
            failure=End.FAILED,
            follows=frozenset(
                {*StepsStage, End.FAILED, End.REJECTED, End.NOTHING},
            ),
            counter="attempts",
            bound="attempts_max",
        ),
        StepsStage.RUNNING: State(
            before="each step",
            power_loss=PowerLoss.FAIL,
            after="whether the step was done is not known; it is not run again, and the result says which one it was",
            failure=End.FAILED,
            follows=frozenset(
                {StepsStage.RUNNING, StepsStage.REBOOTING, End.SUCCEEDED, End.FAILED, End.NOTHING}
            ),
            counter="step",
            bound=str(STEPS_MAX + 1),
        ),
        StepsStage.REBOOTING: State(
            before="the machine is told to reboot",
            power_loss=PowerLoss.START_OVER,
            after="the job is handed over again: in another boot it goes on behind the reboot, in the same it asks for it again",
            failure=End.FAILED,
            follows=frozenset(
                {
                    StepsStage.REBOOTING,
                    StepsStage.RUNNING,
                    End.SUCCEEDED,
                    End.FAILED,
                    End.REJECTED,
                    End.NOTHING,
                }
            ),
            counter="restarts, attempts",
            bound=f"{RESTARTS_MAX}, attempts_max",
        ),
    }
)
