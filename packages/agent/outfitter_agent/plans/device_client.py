"""Documents of AWS's device client: accept → conditions → each step, journaled before it runs → SUCCEEDED or FAILED.

No step is ever run twice: whether one that a power loss has interrupted was done, nobody knows, so that the job is
FAILED and says which step it was. A reboot is the exception: the boot identity tells whether it took place.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from outfitter_contract.details import Step as Reported
from outfitter_contract.execution import Status

from outfitter_agent.plans import details
from outfitter_agent.plans.effects import (
    CheckStep,
    Plan,
    Report,
    Restart,
    RunStep,
    Save,
    StartSoftware,
    StepOutcome,
    StopSoftware,
    perform,
)
from outfitter_agent.plans.ending import close, final, status_of
from outfitter_agent.plans.facts import Execution, Facts
from outfitter_agent.plans.states import STEPS_STATES, PowerLoss
from outfitter_agent.plans.steps import Condition, Handler, Step, StepsDocument, parse_steps
from outfitter_agent.plans.transaction import RESTARTS_MAX, JobRef, Journal, StepsRun, StepsStage
from outfitter_agent.plans.troubles import Abandoned, Refusal, Trouble

REBOOT: Final = "reboot.sh"


def carry_out(execution: Execution, facts: Facts, left: StepsRun | None) -> Plan[None]:
    """Do the job; ``left`` is what the journal holds of an earlier start of it, or of another job."""
    run = _begin(execution, left)
    try:
        run = yield from _run(execution, run, facts)
    except Abandoned:
        yield from close(Journal())
    except Trouble as trouble:
        told = details.refused(Reported.REFUSED, trouble.reason, boot_id=facts.boot_id)
        yield from close(final(run.job, run.version_number, status_of(trouble), told))
    else:
        yield from _end(run, facts)


def settle(run: StepsRun, facts: Facts) -> Plan[None]:
    """What a start, or the end of a fault, makes of a run that it finds: one with a step under way ends, others wait to be handed over again."""
    if STEPS_STATES[run.stage].power_loss is PowerLoss.FAIL:
        reason = f"interrupted in step {run.step + 1}: whether that step was done is not known"
        yield from _end(replace(run, reason=reason), facts)


def _begin(execution: Execution, left: StepsRun | None) -> StepsRun:
    job = JobRef(job_id=execution.job_id, execution_number=execution.execution_number)
    version = execution.version_number
    if left is None or left.job != job:
        return StepsRun(job=job, stage=StepsStage.ACCEPTED, version_number=version)
    return replace(left, version_number=version, attempts=left.attempts + 1)


def _run(execution: Execution, run: StepsRun, facts: Facts) -> Plan[StepsRun]:
    """All the steps that are left; the run with the reason if one of them has failed."""
    yield from perform(Save(journal=Journal(steps=run)))
    if run.attempts > facts.attempts_max:
        raise Trouble(
            f"the job was begun {facts.attempts_max} times and never came to its end; see the agent's log"
        )
    document = _read(execution.document, facts)
    steps = document.in_order
    if run.stage is StepsStage.ACCEPTED:
        for step in steps:
            if not _is_reboot(step):
                yield from perform(CheckStep(step=step))
        yield from perform(Report(details=details.progress(Reported.ACCEPTED, boot_id=facts.boot_id)))
    elif facts.boot_id != run.boot_before:
        run = replace(run, step=run.step + 1, restarts=0, attempts=1)
    for index in range(run.step, len(steps)):
        step = steps[index]
        run = replace(run, step=index)
        reboot = _is_reboot(step)
        word = Reported.RESTARTING if reboot else Reported.RUNNING
        told = details.stepping(word, run, step.name, len(steps), boot_id=facts.boot_id)
        run, outcome = yield from (_reboot if reboot else _one)(run, step, told, facts)
        run = _after(run, step, outcome, include_stdout=document.include_stdout)
        if run.reason:
            break
    return run


def _read(value: object, facts: Facts) -> StepsDocument:
    if not facts.device_client:
        raise Refusal(
            "this device does not carry out documents of AWS's device client; device_client = true in its settings"
            " would let it"
        )
    document = parse_steps(value)
    for condition in document.conditions:
        _check(condition, facts.attributes)
    if not facts.reboots and any(_is_reboot(step) for step in document.in_order):
        raise Refusal(
            f'{REBOOT}: this device has no reboot, only restarts of the agent; reboot = "systemd" or "command" in'
            " its settings would let it"
        )
    return document


def _check(condition: Condition, attributes: Mapping[str, str]) -> None:
    known = attributes.get(condition.key)
    if known is None:
        raise Refusal(
            f"conditions: this device does not know {condition.key!r}; it knows {', '.join(attributes)}"
        )
    if known not in condition.values:
        raise Refusal(
            f"conditions: {condition.key} of this device is {known!r}, not {' or '.join(condition.values)}"
        )


def _one(
    run: StepsRun, step: Step, told: Mapping[str, str], _facts: Facts
) -> Plan[tuple[StepsRun, StepOutcome]]:
    run = replace(run, stage=StepsStage.RUNNING)
    yield from perform(Save(journal=Journal(steps=run)))
    yield from perform(Report(details=told))
    try:
        return run, (yield from perform(RunStep(step=step)))
    except Trouble as trouble:
        return run, StepOutcome(failure=trouble.reason)


def _reboot(
    run: StepsRun, _step: Step, told: Mapping[str, str], facts: Facts
) -> Plan[tuple[StepsRun, StepOutcome]]:
    """Reboot; what comes back from it has failed."""
    if run.restarts >= RESTARTS_MAX:
        return run, StepOutcome(failure=f"the device was told to reboot {run.restarts} times and did not")
    yield from perform(Report(details=told))
    run = replace(run, stage=StepsStage.REBOOTING, boot_before=facts.boot_id, restarts=run.restarts + 1)
    yield from perform(Save(journal=Journal(steps=run)))
    try:
        yield from perform(StopSoftware())
        yield from perform(Restart())
    except Trouble as trouble:
        yield from perform(StartSoftware(probation=False))
        return run, StepOutcome(failure=trouble.reason)
    return run, StepOutcome(failure="the reboot did not take place")


def _after(run: StepsRun, step: Step, outcome: StepOutcome, *, include_stdout: bool) -> StepsRun:
    run = replace(
        run,
        restarts=0,
        stdout=details.output_tail(run.stdout, outcome.stdout) if include_stdout else "",
        stderr=details.output_tail(run.stderr, outcome.stderr),
    )
    if not outcome.failure:
        return run
    failure = f"step {run.step + 1}, {step.name}: {outcome.failure}"
    if step.ignore_failure:
        return replace(run, ignored="; ".join(part for part in (run.ignored, failure) if part))
    return replace(run, reason=failure)


def _end(run: StepsRun, facts: Facts) -> Plan[None]:
    status = Status.FAILED if run.reason else Status.SUCCEEDED
    told = details.stepped(run, boot_id=facts.boot_id)
    yield from close(final(run.job, run.version_number, status, told))


def _is_reboot(step: Step) -> bool:
    return isinstance(step.act, Handler) and step.act.name == REBOOT
