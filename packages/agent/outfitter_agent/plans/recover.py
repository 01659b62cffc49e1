"""What the agent does with its journal at its start and after a fault, and the second half of every update.

``recover`` is the first plan of each start, and the first after each fault that a plan could do nothing about. ``prove``
and ``roll_back`` are entered from it after a restart, planned or not, and from ``install`` when the new software is ready.
A hand that fails after the switch leads back to the software before it, never to a device without any.
"""

from dataclasses import replace

from outfitter_contract.details import Step
from outfitter_contract.execution import Status

from outfitter_agent.plans import details, device_client
from outfitter_agent.plans.configure import settle
from outfitter_agent.plans.effects import (
    Discard,
    KeepMinimum,
    MarkSlot,
    Plan,
    ReadBootLog,
    ReadCurrentSlot,
    ReadRunning,
    Report,
    Restart,
    StartSoftware,
    StopSoftware,
    Switch,
    Verdict,
    WatchHealth,
    perform,
)
from outfitter_agent.plans.ending import close, final, save
from outfitter_agent.plans.facts import Facts
from outfitter_agent.plans.states import UPDATE_STATES, PowerLoss
from outfitter_agent.plans.transaction import (
    RESTARTS_MAX,
    Journal,
    Stage,
    Update,
)
from outfitter_agent.plans.troubles import Abandoned, Trouble


def recover(journal: Journal, facts: Facts) -> Plan[None]:
    """Bring the device back to where the journal says it is: at each start, and after each fault."""
    if journal.change is not None:
        yield from perform(StartSoftware(probation=False))
        yield from settle(journal.change, facts)
        return
    if journal.steps is not None:
        yield from perform(StartSoftware(probation=False))
        yield from device_client.settle(journal.steps, facts)
        return
    update = journal.update
    rule = PowerLoss.START_OVER if update is None else UPDATE_STATES[update.stage].power_loss
    if update is not None and rule is PowerLoss.PROVE:
        yield from prove(update, facts)
    elif update is not None and rule is PowerLoss.FINISH_ROLLBACK:
        yield from roll_back(update, facts)
    else:
        yield from perform(StartSoftware(probation=False))
        if update is None:
            yield from _tidy_up()


def _tidy_up() -> Plan[None]:
    """The power may have gone between a job's end and this; what cannot be removed must not keep its result back."""
    try:
        yield from perform(Discard())
    except Trouble:
        return


def prove(update: Update, facts: Facts) -> Plan[None]:
    """Boot into the new software and see it healthy, or roll back. ``update`` is in TRIAL."""
    try:
        verdict = yield from _trial(update, facts)
    except Abandoned:
        told = replace(
            update, abandoned=True, reason="the job has ended elsewhere before the new software was proven"
        )
        yield from _enter_rollback(told, facts)
        return
    except Trouble as trouble:
        verdict = Verdict(healthy=False, reason=trouble.reason)
    if not verdict.healthy:
        yield from _enter_rollback(replace(update, reason=verdict.reason, log=verdict.log), facts)
        return
    told_details = details.proven(update, boot_id=facts.boot_id, health=verdict.reason)
    yield from save(final(update.job, update.version_number, Status.SUCCEEDED, told_details))
    yield from perform(StartSoftware(probation=False))
    yield from perform(Discard())


def roll_back(update: Update, facts: Facts) -> Plan[None]:
    """Return to the software before, and say why. ``update`` is in ROLLBACK."""
    previous = update.previous_slot
    current = yield from perform(ReadCurrentSlot())
    if (current != previous or facts.boot_id == update.boot_before) and update.restarts < RESTARTS_MAX:
        yield from _report_quietly(update, facts, Step.ROLLING_BACK, previous)
        yield from perform(StopSoftware())
        update = yield from _give_up_target(update)
        update = replace(update, restarts=update.restarts + 1)
        yield from save(Journal(update=update))
        try:
            yield from perform(Restart())
        except Trouble as trouble:
            update = replace(
                update, reason=f"{update.reason}; rolled back without a restart: {trouble.reason}"
            )
    else:
        update = yield from _give_up_target(update)
    update = replace(update, boots=update.boots + 1)
    yield from save(Journal(update=update))
    yield from perform(StartSoftware(probation=False))
    health = yield from _health_of_previous(update, facts)
    current = yield from perform(ReadCurrentSlot())
    if current != previous:
        health = f"slot {current} still runs; slot {previous} is the next to boot"
    told = details.rolled_back(update, slot=current, boot_id=facts.boot_id, health=health)
    ended = final(update.job, update.version_number, Status.FAILED, told)
    yield from close(Journal() if update.abandoned else ended)


def _give_up_target(update: Update) -> Plan[Update]:
    """The slot before is the next to run, and a boot loader does not choose the failed one."""
    yield from perform(Switch(slot=update.previous_slot))
    if update.target is not None:
        try:
            yield from perform(MarkSlot(slot=update.target.slot, good=False))
        except Trouble as trouble:
            told = f"; not marked bad: {trouble.reason}"  # also by a former life, perhaps
            return replace(update, reason=f"{update.reason.removesuffix(told)}{told}")
    return update


def _trial(update: Update, facts: Facts) -> Plan[Verdict]:
    target = update.target
    if target is None:
        raise Trouble("the journal does not say what is on trial")
    current = yield from perform(ReadCurrentSlot())
    if facts.boot_id == update.boot_before or (current != target.slot and not update.switched):
        yield from _restart_into(replace(update, boot_before=facts.boot_id), target.slot)
        raise Trouble("the restart into the new software did not take place")
    if current != target.slot:
        return Verdict(
            healthy=False,
            reason=f"the machine came up in slot {current} instead of {target.slot}: the new software does not boot",
            log=(yield from _boot_log()),
        )
    if update.boots >= facts.trial_boots_max:
        return Verdict(
            healthy=False,
            reason=f"the new software was not proven within {update.boots} boots",
            log=(yield from _boot_log()),
        )
    yield from save(Journal(update=replace(update, boots=update.boots + 1)))
    yield from perform(StartSoftware(probation=True))
    told = details.progress(Step.VERIFYING, boot_id=facts.boot_id, version=target.version, slot=target.slot)
    yield from perform(Report(details=told))
    verdict = yield from perform(
        WatchHealth(settle=True, abandonable=True, boot_seconds_max=facts.trial_timeout_seconds)
    )
    running = yield from perform(ReadRunning())
    if verdict.healthy and running != target:
        seen = f"slot {running.slot} with digest {running.sha256[:16]}" if running else "no slot"
        return Verdict(healthy=False, reason=f"the wrong software runs: {seen} instead of slot {target.slot}")
    if verdict.healthy:
        yield from perform(MarkSlot(slot=target.slot, good=True))
        if target.minimum is not None:
            yield from perform(KeepMinimum(name=target.name, minimum=target.minimum))
    return verdict


def _boot_log() -> Plan[str]:
    """What there is of it: the reason is worth telling without."""
    try:
        return (yield from perform(ReadBootLog()))
    except Trouble:
        return ""


def _restart_into(update: Update, slot: str) -> Plan[None]:
    if update.restarts >= RESTARTS_MAX:
        raise Trouble(f"the device was told to restart {update.restarts} times and did not")
    update = replace(update, restarts=update.restarts + 1)
    yield from save(Journal(update=update))
    yield from perform(StopSoftware())
    yield from perform(Switch(slot=slot))
    yield from save(Journal(update=replace(update, switched=True)))
    yield from perform(Restart())


def _enter_rollback(update: Update, facts: Facts) -> Plan[None]:
    """A machine that has come up in the slot before by itself is not restarted for it."""
    current = yield from _current_or_none()
    boot_before = "" if current is not None and current == update.previous_slot else facts.boot_id
    entered = replace(update, stage=Stage.ROLLBACK, boot_before=boot_before, restarts=0, boots=0)
    yield from save(Journal(update=entered))
    yield from roll_back(entered, facts)


def _current_or_none() -> Plan[str | None]:
    try:
        return (yield from perform(ReadCurrentSlot()))
    except Trouble:
        return None


def _report_quietly(update: Update, facts: Facts, step: Step, slot: str | None) -> Plan[None]:
    told = details.refused(step, update.reason, boot_id=facts.boot_id)
    try:
        yield from perform(Report(details={**told, **({"slot": slot} if slot else {})}))
    except Abandoned:
        return


def _health_of_previous(update: Update, facts: Facts) -> Plan[str]:
    if update.previous_slot is None:
        return "no software before this one"
    if update.boots > facts.trial_boots_max:
        return f"not looked at: {update.boots - 1} starts of the previous software did not come to an end"
    verdict = yield from perform(WatchHealth(settle=False, abandonable=False))
    return (
        verdict.reason
        if verdict.healthy
        else f"the previous software is not healthy either: {verdict.reason}"
    )
