"""The tables of docs/reference/update-transaction.md: from the states that the agent's plans follow."""

from collections.abc import Mapping

from outfitter_agent.plans.states import CHANGE_STATES, STEPS_STATES, UPDATE_STATES, State
from outfitter_agent.plans.transaction import ChangeStage, Stage, StepsStage

from outfitter_fleet.tables.blocks import table

States = Mapping[Stage, State] | Mapping[ChangeStage, State] | Mapping[StepsStage, State]


def blocks() -> Mapping[str, str]:
    """The generated blocks of the document."""
    return {
        "update": _states(UPDATE_STATES),
        "update-order": _order(UPDATE_STATES),
        "change": _states(CHANGE_STATES),
        "change-order": _order(CHANGE_STATES),
        "steps": _states(STEPS_STATES),
        "steps-order": _order(STEPS_STATES),
    }


def _states(states: States) -> str:
    return table(
        ("state", "in the journal before", "after a power loss", "which means"),
        [[f"`{stage}`", state.before, state.power_loss, state.after] for stage, state in states.items()],
    )


def _order(states: States) -> str:
    rows = [
        [
            f"`{stage}`",
            ", ".join(f"`{each}`" for each in sorted(state.follows)),
            f"`{state.failure}`",
            f"`{state.counter}`",
            f"`{state.bound}`",
        ]
        for stage, state in states.items()
    ]
    return table(("state", "is followed by", "and on failure by", "counted by", "at most"), rows)
