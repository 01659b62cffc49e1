"""The status details of each step: one flat map, whole in every report."""

from collections.abc import Sequence
from typing import Final

from outfitter_contract.details import LOG_KEYS, VALUE_LENGTH_MAX, Step, clean_details, clean_value

from outfitter_agent.plans.effects import Configuration
from outfitter_agent.plans.transaction import Change, StepsRun, Update

LOG_LENGTH_MAX: Final = len(LOG_KEYS) * VALUE_LENGTH_MAX


def progress(
    step: Step, *, boot_id: str, version: str | None = None, slot: str | None = None
) -> dict[str, str]:
    """What is reported while the job is IN_PROGRESS."""
    return clean_details({"step": step, "boot_id": boot_id, "version": version, "slot": slot})


def downloading(base: dict[str, str], received: int, total: int | None) -> dict[str, str]:
    """The base with how much has arrived, in bytes, and of how much when that is known."""
    percent = None if not total else min(100, received * 100 // total)
    return clean_details({**base, "percent": percent, "bytes": received, "size": total})


def refused(step: Step, reason: str, *, boot_id: str, version: str | None = None) -> dict[str, str]:
    """What a job ends with that changed nothing on the device."""
    return clean_details({"step": step, "reason": reason, "boot_id": boot_id, "version": version})


def proven(update: Update, *, boot_id: str, health: str) -> dict[str, str]:
    """What a job ends with that succeeded; ``update.target`` is what runs."""
    target = update.target
    return clean_details(
        {
            "step": Step.DONE,
            "boot_id": boot_id,
            "slot": target.slot if target else None,
            "sha256": target.sha256 if target else None,
            "version": target.version if target else None,
            "health": health,
            "delta": update.delta or None,
        }
    )


def rolled_back(update: Update, *, slot: str | None, boot_id: str, health: str) -> dict[str, str]:
    """What a job ends with whose software was taken back; ``slot``, version and digest are those that run now."""
    known = (each for each in (update.previous, update.target) if each is not None)
    running = next((each for each in known if each.slot == slot), None)
    pairs: dict[str, str | int | None] = {
        "step": Step.ROLLED_BACK,
        "reason": update.reason,
        "boot_id": boot_id,
        "slot": slot,
        "sha256": running.sha256 if running else None,
        "version": running.version if running else None,
        "health": health,
    }
    return clean_details(pairs | _log(update.log))


def uploaded(sent: Configuration, *, boot_id: str) -> dict[str, str]:
    """What an upload ends with; digest and size (bytes) are those of what the store has."""
    pairs: dict[str, str | int | None] = {
        "step": Step.DONE,
        "boot_id": boot_id,
        "sha256": sent.sha256,
        "size": len(sent.content),
        "left_out": ", ".join(sent.left_out),
    }
    return clean_details(pairs)


def configured(change: Change, *, boot_id: str, health: str) -> dict[str, str]:
    """What a change of the configuration ends with that succeeded; the digest is that of the one in force."""
    pairs: dict[str, str | int | None] = {
        "step": Step.DONE,
        "boot_id": boot_id,
        "sha256": change.sha256,
        "health": health,
        "ignored": change.ignored,
    }
    return clean_details(pairs)


def trusting(counter: int, key_ids: Sequence[str], *, boot_id: str) -> dict[str, str]:
    """What a statement about keys ends with that is in force: its counter, and the keys that count now."""
    return clean_details(
        {"step": Step.DONE, "boot_id": boot_id, "counter": counter, "keys": " ".join(key_ids)}
    )


def taken_back(change: Change, in_force: str | None, *, boot_id: str, health: str) -> dict[str, str]:
    """What a change of the configuration ends with that was taken back; ``in_force`` is the digest of what is."""
    pairs: dict[str, str | int | None] = {
        "step": Step.ROLLED_BACK,
        "reason": change.reason,
        "boot_id": boot_id,
        "sha256": in_force,
        "health": health,
    }
    return clean_details(pairs | _log(change.log))


def stepping(step: Step, run: StepsRun, name: str, total: int, *, boot_id: str) -> dict[str, str]:
    """What is reported before a step of a device client's document."""
    return clean_details({"step": step, "boot_id": boot_id, "action": f"{run.step + 1} of {total}: {name}"})


def stepped(run: StepsRun, *, boot_id: str) -> dict[str, str]:
    """What a device client's document ends with, once one of its steps was begun."""
    return clean_details(
        {
            "step": Step.REFUSED if run.reason else Step.DONE,
            "reason": run.reason or None,
            "boot_id": boot_id,
            "ignored": run.ignored or None,
            "stdout": run.stdout or None,
            "stderr": run.stderr or None,
        }
    )


def output_tail(before: str, more: str) -> str:
    """The end of what was written, as a value may be."""
    text = "\n".join(part for part in (before, more) if part)
    return clean_value(text, len(text) * len(" | ") + 1)[-VALUE_LENGTH_MAX:]


def log_parts(log: str) -> list[str]:
    """The end of a log as at most three values, oldest first."""
    text = clean_value(log, len(log) * len(" | ") + 1)[-LOG_LENGTH_MAX:]
    return [text[start : start + VALUE_LENGTH_MAX] for start in range(0, len(text), VALUE_LENGTH_MAX)]


def _log(log: str) -> dict[str, str | int | None]:
    return dict(zip(LOG_KEYS, log_parts(log), strict=False))
