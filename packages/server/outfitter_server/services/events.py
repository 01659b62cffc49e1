"""Lifecycle events: written down in the transaction that decides them, published after it (services/event_publisher.py).

Which types are published is switched by UpdateEventConfigurations; all are off until then, as on AWS. What is switched off
costs a look at a value in memory.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.jobs.events import Event, deleted_event, due, ended_event, job_event
from outfitter_server.jobs.values import Execution, Job
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.effects import EventsWaiting
from outfitter_server.services.ports import Transaction

_WAITING: Final = EventsWaiting()


class EventType(StrEnum):
    """The types of events that AWS publishes (``EventType`` of the ``iot`` model)."""

    THING = "THING"
    THING_GROUP = "THING_GROUP"
    THING_TYPE = "THING_TYPE"
    THING_GROUP_MEMBERSHIP = "THING_GROUP_MEMBERSHIP"
    THING_GROUP_HIERARCHY = "THING_GROUP_HIERARCHY"
    THING_TYPE_ASSOCIATION = "THING_TYPE_ASSOCIATION"
    JOB = "JOB"
    JOB_EXECUTION = "JOB_EXECUTION"
    POLICY = "POLICY"
    CERTIFICATE = "CERTIFICATE"
    CA_CERTIFICATE = "CA_CERTIFICATE"


PUBLISHED: Final = frozenset({EventType.JOB, EventType.JOB_EXECUTION})


class Switches(msgspec.Struct, frozen=True, kw_only=True):
    """What is published; times in milliseconds, None until somebody switched anything."""

    job: bool = False
    job_execution: bool = False
    created_at: int | None = None
    modified_at: int | None = None

    def enabled(self, kind: EventType) -> bool:
        """Whether events of this type are published."""
        return (kind is EventType.JOB and self.job) or (
            kind is EventType.JOB_EXECUTION and self.job_execution
        )


class Events:
    """Writes events into the outbox, inside the batch that decides them."""

    def __init__(self, installation: Installation, new_id: Callable[[], str]) -> None:
        """``installation`` prints ARNs, ``new_id`` makes the ids of events (UUIDs)."""
        self._installation = installation
        self._new_id = new_id
        self._switches: Switches | None = None

    def forget(self) -> None:
        """The switches changed, or what was read of them was undone."""
        self._switches = None

    def execution_ended(self, batch: Batch, execution: Execution) -> None:
        """An execution reached a terminal status, which it has now."""
        if self._read(batch).job_execution:
            self._write(
                batch,
                ended_event(execution, self._thing(execution), event_id=self._new_id(), now=batch.now),
            )

    def execution_deleted(self, batch: Batch, execution: Execution) -> None:
        """An execution is deleted; this is how it was."""
        if self._read(batch).job_execution:
            self._write(
                batch,
                deleted_event(execution, self._thing(execution), event_id=self._new_id(), now=batch.now),
            )

    def job_changed(
        self, batch: Batch, before: Job | None, after: Job | None, targets: Callable[[], Sequence[str]]
    ) -> None:
        """A job changed, was made (``before`` None) or is gone (``after`` None); what of it is an event is told here.

        ``targets`` gives the ARNs of its targets; it is asked only when there is an event, and before this returns.
        """
        job = after or before
        if job is None or not self._read(batch).job:
            return
        for kind in due(before, after):
            self._write(batch, job_event(kind, job, targets(), event_id=self._new_id(), now=batch.now))

    def _thing(self, execution: Execution) -> str:
        return self._installation.iot_arn("thing", execution.thing)

    def _read(self, batch: Batch) -> Switches:
        if self._switches is None:
            self._switches = read_switches(batch.tx)
        return self._switches

    def _write(self, batch: Batch, event: Event) -> None:
        batch.tx.run("event_outbox_insert", topic=event.topic, payload=event.payload)
        # Once for each of a row of events, though never held over: a refused request takes its effects along.
        if not batch.effects or batch.effects[-1] is not _WAITING:
            batch.emit(_WAITING)


class EventConfigurations:
    """Which types of events are published."""

    def __init__(self, committer: Committer, events: Events) -> None:
        """``events`` hears of every change; use one of both for a store."""
        self._committer = committer
        self._events = events
        committer.when_undone(events.forget)

    def get(self) -> Switches:
        """The switches as committed."""
        return self._committer.read(read_switches)

    async def update(self, wanted: Mapping[EventType, bool]) -> None:
        """Switch some types; the others stay as they are.

        Raises:
            InvalidRequest: a type is switched on that this server does not publish.
        """
        refused = sorted(kind.value for kind, on in wanted.items() if on and kind not in PUBLISHED)
        if refused:
            raise InvalidRequest(
                f"{', '.join(refused)}: this server publishes no events of this type, only JOB and JOB_EXECUTION; "
                "leave it out, or disable it"
            )

        def apply(batch: Batch) -> None:
            old = read_switches(batch.tx)
            batch.tx.run(
                "event_switches_write",
                job=int(wanted.get(EventType.JOB, old.job)),
                job_execution=int(wanted.get(EventType.JOB_EXECUTION, old.job_execution)),
                now=batch.now,
            )
            self._events.forget()

        await self._committer.change(apply)


def read_switches(tx: Transaction) -> Switches:
    """The one row of the switches."""
    row = tx.one("event_switches")
    assert row is not None  # noqa: S101 - written by the migration
    return Switches(
        job=row["job"] == 1,
        job_execution=row["job_execution"] == 1,
        created_at=row["created_at"],
        modified_at=row["modified_at"],
    )
