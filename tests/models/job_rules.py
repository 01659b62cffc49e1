"""The rules of jobs in plain Python, from the contract and not from the engine: what may be told from a state and its successor.

``Auditor.follow`` compares what the store held before and after one committed batch, knowing who asked for it:

 1. Counters equal the rows.
 2. An execution (thing, job, number) is there once; a job waits at most once for a thing; numbers rise by one.
 3. A terminal execution never changes; QUEUED and IN_PROGRESS are left only as the transition table says, by whom it says.
 4. A rate is never exceeded within any 60 seconds.
 5. A job is aborted by the batch that meets a criterion, and by no other.
 6. TIMED_OUT comes from IN_PROGRESS, at or after the deadline reckoned here, never before; deadlines are as reckoned.
 7. A retry follows a FAILED or TIMED_OUT of an active job whose thing is still reached, while the criteria leave one; nothing
    else is followed by one.
 8. Nothing begins, or is shown, while held; what is held is QUEUED and of a job that holds back (or is about to).
 9. A thing hears ``notify`` exactly when the members of its pending list changed, ``notify-next`` exactly when its front did.
    And: an execution of a job that asks for a proof is SUCCEEDED with that proof in its details only.
10. Each end and each deletion of an execution, each step in the life of a job, is one event, and nothing else is.

``Auditor.rest`` looks at a state without background work:

11. The status of a job is what its life, its schedule and its executions make it; what is held is held exactly while it is
    paused or outside its windows.
12. Who was a member when the rollout began, and stayed, has one chain of executions, once the rollout is over.
13. A rollout that may go on has queued something within the last 60 seconds: it never starves; whatever is left to do has
    a time when it is looked at again.
14. No timer is overdue.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

MINUTE = 60_000
DAY = 24 * 60 * MINUTE
STATUSES = ("IN_PROGRESS", "QUEUED", "SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "REMOVED", "CANCELED")
HELD = 8
TERMINAL = frozenset(STATUSES[2:])
ACTIVE = ("SCHEDULED", "IN_PROGRESS")
ROLLED_OUT, JOINED, RETRIED = range(3)
REPORTED = ("SUCCEEDED", "FAILED", "REJECTED")
FAILURES = {
    "FAILED": ("FAILED",),
    "REJECTED": ("REJECTED",),
    "TIMED_OUT": ("TIMED_OUT",),
    "ALL": ("FAILED", "REJECTED", "TIMED_OUT"),
}


@dataclass(frozen=True)
class Row:
    """One execution as the store holds it."""

    id: int
    thing: str
    job: str
    number: int
    status: str
    held: bool
    queued_at: int
    updated_at: int
    started_at: int | None
    version: int
    attempt: int
    expires_at: int | None
    queued_by: int
    details: str | None

    @property
    def pending(self):
        return self.status not in TERMINAL

    @property
    def listed(self):
        return self.pending and not self.held


@dataclass
class State:
    """What the store holds after a batch."""

    now: int
    executions: dict
    jobs: dict
    members: dict
    things: set
    targets: dict
    events: int

    def lists(self):
        """The pending list of each thing, front first."""
        found = {thing: [] for thing in self.things}
        for row in self.executions.values():
            if row.listed:
                found.setdefault(row.thing, []).append(row)
        for rows in found.values():
            rows.sort(key=lambda row: (row.status != "IN_PROGRESS", row.id))
        return found

    def of(self, job):
        return [row for row in self.executions.values() if row.job == job]


@dataclass
class JobFacts:
    """What was asked of a job, and what is known of its life."""

    selection: str
    configs: object
    aims: list
    created_at: int
    paused: bool = False
    fate: str | None = None  # CANCELED or DELETED, once asked for
    forced: bool = False
    stopped: bool = False  # past the end of its schedule
    held_at_end: bool = False  # paused then, or between windows
    began: set | None = None  # the members when its rollout began; None before
    gone: set = field(default_factory=set)  # who left, was deleted, or had an execution deleted
    batch_last: int | None = None  # when the batch under way, or the last, queued something
    batch_limit: int | None = None
    batch_queued: int = 0
    changed_at: int = 0  # when its rate was last changed
    again: bool = False  # canceled once more, with force, by this batch
    queued: int = 0  # by its rollout, ever
    proof: str | None = None  # the version that its document's confirm asks for


def state_of(engine, groups):
    """Read everything."""
    ask = engine.store._writer.execute
    rows = {}
    columns = "id, thing, job, number, status, queued_at, updated_at, started_at, version, attempt, expires_at, queued_by, details"
    for row in ask(f"SELECT {columns} FROM executions"):
        status = "QUEUED" if row["status"] == HELD else STATUSES[row["status"]]
        rows[row["id"]] = Row(*row[:4], status, row["status"] == HELD, *row[5:])
    members = {group: set() for group in groups}
    for row in ask("SELECT group_name, thing FROM group_members"):
        members[row[0]].add(row[1])
    targets = {}
    for row in ask("SELECT job, name, done FROM job_targets ORDER BY job, position"):
        targets.setdefault(row[0], []).append((row[1], row[2] == 1))
    return State(
        now=engine.clock[0],
        executions=rows,
        jobs={row["id"]: dict(row) for row in ask("SELECT * FROM jobs")},
        members=members,
        things={row[0] for row in ask("SELECT name FROM things")},
        targets=targets,
        events=ask("SELECT coalesce(max(id), 0) FROM event_outbox").fetchone()[0],
    )


def rate(rollout, notified, succeeded):
    """How many a minute, None without a limit: base, base x factor, ... by full steps, rounded down, capped."""
    if rollout is None:
        return None
    grown = rollout.exponential
    if grown is None:
        return rollout.maximum_per_minute
    steps = (
        notified // grown.notified_things if grown.notified_things else succeeded // grown.succeeded_things
    )
    value = Fraction(grown.base_per_minute) * Fraction(str(grown.increment_factor)) ** min(steps, 60)
    return min(int(value), rollout.maximum_per_minute or 1000)


def aborts(criteria, counts):
    """Whether a criterion is met by how executions ended."""
    ended = sum(counts[status] for status in TERMINAL - {"CANCELED"})
    for criterion in criteria:
        failures = sum(counts[status] for status in FAILURES[criterion.failure.value])
        share = Fraction(str(criterion.threshold_percent))
        if ended >= criterion.minimum_ended and failures and Fraction(100 * failures, ended) >= share:
            return True
    return False


def retries_left(criteria, chain, status):
    """Whether a chain that failed so before (``chain``), and now with ``status``, goes on."""
    if status not in ("FAILED", "TIMED_OUT") or len(chain) >= 10:
        return False
    for criterion in criteria:
        kinds = FAILURES[criterion.failure.value]
        if status in kinds and sum(before in kinds for before in chain) < criterion.retries:
            return True
    return False


def is_open(schedule, now):
    """BEFORE, OPEN, CLOSED or ENDED. Windows here are daily: cron(M H * * ? *)."""
    if schedule is None:
        return "OPEN"
    if schedule.end_at is not None and now >= schedule.end_at:
        return "ENDED"
    if schedule.start_at is not None and now < schedule.start_at:
        return "BEFORE"
    if not schedule.windows:
        return "OPEN"
    for window in schedule.windows:
        minute, hour = window.cron.removeprefix("cron(").split()[:2]
        since = (now - (int(hour) * 60 + int(minute)) * MINUTE) % DAY
        if since < window.duration_minutes * MINUTE:
            return "OPEN"
    return "CLOSED"


def next_change(schedule, now):
    """When the phase is another one than now; None: never."""
    moments = [schedule.start_at, schedule.end_at]
    for window in schedule.windows:
        minute, hour = map(int, window.cron.removeprefix("cron(").split()[:2])
        for begin in range(now - now % DAY - DAY, now + 3 * DAY, DAY):
            start = begin + (hour * 60 + minute) * MINUTE
            moments += [start, start + window.duration_minutes * MINUTE]
    phase = is_open(schedule, now)
    later = (at for at in sorted(filter(None, moments)) if at > now and is_open(schedule, at) != phase)
    return next(later, None)


class Auditor:
    """Follows a store through its batches."""

    def __init__(self, parents, state):
        self.parents = parents
        self.state = state
        self.jobs = {}
        self.chains = {}  # execution id -> how those before it in its chain failed
        self.deadlines = {}  # execution id -> (in-progress deadline, when its timer is over)

    # What is known

    def reached(self, job, members=None, without=None):
        """The things that a job's targets stand for."""
        members = self.state.members if members is None else members
        found = set()
        for aim in self.jobs[job].aims:
            if aim in self.parents:
                for group, parent in self.parents.items():
                    if aim in (group, parent):
                        found |= members[group]
            elif aim in self.state.things:
                found.add(aim)
        return found

    def phase(self, job, now):
        return is_open(self.jobs[job].configs.schedule, now)

    # One batch

    def follow(self, after, told, cause, events, device=None):
        """``cause``: who asked; ``device``: (thing, job or None, step minutes) of a device's request."""
        before, self.before = self.state, self.state
        self.state = after
        self._counters(after)
        self._uniqueness(after)
        self._timers_set(before, after, cause, device)
        self._changes(before, after, cause)
        new = self._new(before, after, cause)
        self._rates(before, after, new)
        self._lives(before, after, cause)
        self._notified(before, after, told)
        self._events(before, after, events)

    def _counters(self, state):
        for name, job in state.jobs.items():
            counted = Counter(row.status for row in state.of(name))
            kept = {status: job[status.lower()] for status in STATUSES}
            assert {status: number for status, number in kept.items() if number} == dict(counted), name

    def _uniqueness(self, state):
        names = Counter((row.thing, row.job, row.number) for row in state.executions.values())
        assert set(names.values()) <= {1}
        waiting = Counter((row.thing, row.job) for row in state.executions.values() if row.pending)
        assert set(waiting.values()) <= {1}, "a job waits once for a thing"
        for row in state.executions.values():
            assert not row.held or row.status == "QUEUED"
            assert row.job in state.jobs, "an execution without its job"
            assert row.thing in state.things, "an execution without its thing"

    def _changes(self, before, after, cause):
        for key, row in before.executions.items():
            now = after.executions.get(key)
            if now is None:
                assert cause in ("delete_execution", "delete_thing") or (
                    cause in ("step", "delete") and self.jobs[row.job].fate == "DELETED"
                ), (cause, row)
                self.jobs[row.job].gone.add(row.thing)
                continue
            same = ("thing", "job", "number", "queued_at", "attempt", "queued_by")
            assert all(getattr(row, name) == getattr(now, name) for name in same)
            if row.status in TERMINAL:
                assert now == row, "a terminal execution changed"
            elif row.status != now.status:
                self._transition(row, now, cause, before, after)
            elif row.held != now.held:
                assert cause not in ("device", "join", "leave", "delete_thing", "time"), cause
                assert now.held == (after.jobs[row.job]["held"] == 1)
                assert now.version == row.version

    def _transition(self, row, now, cause, before, after):
        job = after.jobs[row.job]
        assert now.version == row.version + 1
        assert now.updated_at == after.now
        assert not now.held
        match row.status, now.status:
            case "QUEUED", "IN_PROGRESS":
                assert cause == "device"
                assert not row.held, "began while it was held back"
                assert now.started_at == after.now
            case _, "SUCCEEDED" | "FAILED":
                assert cause == "device"
                assert now.started_at == (after.now if row.started_at is None else row.started_at)
                proof = self.jobs[row.job].proof
                proven = proof is None or json.loads(now.details or "{}").get("version") == proof
                assert proven or now.status == "FAILED", "a success without its proof"
            case _, "REJECTED":
                assert cause == "device"
                assert now.started_at == row.started_at
            case "IN_PROGRESS", "TIMED_OUT":
                assert cause == "time"
                assert self.deadlines[row.id][1] <= after.now, "a timer fired early"
            case status, "CANCELED":
                stopped = job["ended"] == 1 and (row.held or self.jobs[row.job].held_at_end)
                forced = status == "QUEUED" or job["force_canceled"] == 1
                assert cause == "cancel_execution" or stopped or (job["status"] == "CANCELED" and forced), (
                    cause,
                    job,
                )
            case "QUEUED", "REMOVED":
                assert cause == "leave"
                assert job["selection"] == "CONTINUOUS"
                assert row.thing not in self.reached(row.job)
            case other:
                raise AssertionError(f"{other} by {cause}")
        if now.status in TERMINAL:
            assert now.expires_at is None

    def _timers_set(self, before, after, cause, device):
        for key, row in after.executions.items():
            old = before.executions.get(key)
            if row.status != "IN_PROGRESS":
                self.deadlines.pop(key, None)
                continue
            if old is not None and old.status == "QUEUED":
                minutes = self.jobs[row.job].configs.timeout_minutes
                deadline = None if minutes is None else after.now + minutes * MINUTE
                self.deadlines[key] = (deadline, deadline)
            if cause == "device" and device[0] == row.thing and device[1] in (None, row.job) and device[2]:
                front = before.lists()[row.thing]
                # What is in front may be of a job that holds back: then the next that may begin is started.
                started = old is not None and old.status == "QUEUED"
                running = bool(front) and front[0].id == key and front[0].status == "IN_PROGRESS"
                if device[1] == row.job or started or running:
                    deadline = self.deadlines[key][0]
                    step = None if device[2] == -1 else after.now + device[2] * MINUTE
                    self.deadlines[key] = (
                        deadline,
                        min((at for at in (deadline, step) if at is not None), default=None),
                    )
            assert row.expires_at == self.deadlines[key][1], row
        for key in [key for key in self.deadlines if key not in after.executions]:
            del self.deadlines[key]
        # What fell over with its timer is judged by the deadline of before.
        for key, row in before.executions.items():
            if row.status == "IN_PROGRESS":
                self.deadlines.setdefault(key, (None, row.expires_at))

    def _new(self, before, after, cause):
        new = [row for key, row in after.executions.items() if key not in before.executions]
        due = {}
        for key, row in before.executions.items():
            now = after.executions.get(key)
            if now is not None and row.pending and now.status in ("FAILED", "TIMED_OUT"):
                chain = self.chains.get(key, [])
                job = before.jobs[row.job]
                facts = self.jobs[row.job]
                alive = job["status"] in ACTIVE and not job["ended"] and not facts.stopped
                # Past its end time nothing is queued again, even if the clock has just told so.
                alive = alive and not (cause == "time" and self.phase(row.job, after.now) == "ENDED")
                reached = facts.selection == "SNAPSHOT" or row.thing in self.reached(row.job)
                if alive and reached and retries_left(facts.configs.retries, chain, now.status):
                    due[row.thing, row.job] = (row.number + 1, [*chain, now.status])
        for row in new:
            facts = self.jobs[row.job]
            older = [other for other in after.of(row.job) if other.thing == row.thing and other is not row]
            assert (row.number, row.version, row.status) == (
                max((other.number for other in older), default=0) + 1,
                1,
                "QUEUED",
            )
            assert row.queued_at == after.now
            self.chains[row.id] = []
            if row.queued_by == RETRIED:
                number, chain = due.pop((row.thing, row.job))
                assert (row.number, row.attempt) == (number, len(chain))
                self.chains[row.id] = chain
                continue
            assert row.attempt == 0
            if row.queued_by == JOINED:
                assert cause == "join"
                assert facts.selection == "CONTINUOUS"
                assert not facts.fate
                assert self.phase(row.job, after.now) != "ENDED", "joined a job that is past its end"
            else:
                assert cause in ("step", "create", "update", "associate", "resume"), cause
                assert not older, "a rollout queued again what was there"
                assert not row.held
                assert not facts.paused
                assert not after.jobs[row.job]["held"]
        assert not due, f"no retry came: {due}"
        return new

    def _rates(self, before, after, new):
        for name, number in Counter(row.job for row in new if row.queued_by == ROLLED_OUT).items():
            facts = self.jobs[name]
            if facts.batch_last is None or after.now - facts.batch_last >= MINUTE:
                succeeded = before.jobs[name]["succeeded"] if name in before.jobs else 0
                facts.batch_limit = rate(facts.configs.rollout, facts.queued, succeeded)
                facts.batch_queued = 0
            facts.batch_last = after.now
            facts.batch_queued += number
            facts.queued += number
            assert facts.batch_limit is None or facts.batch_queued <= facts.batch_limit, "a rate was exceeded"

    def _lives(self, before, after, cause):
        for name, facts in self.jobs.items():
            job = after.jobs.get(name)
            was = before.jobs.get(name)
            if job is None:
                assert facts.fate == "DELETED" or was is None
                continue
            if facts.began is None and job["started_at"] is not None:
                assert job["started_at"] == after.now
                assert self.phase(name, after.now) == "OPEN"
                assert not facts.paused
                facts.began = self.reached(name)
            if was is None or was["status"] not in ACTIVE:
                assert was is None or facts.fate == "DELETED" or job["status"] == was["status"], (
                    "a job came back"
                )
                continue
            self._end_of_life(facts, was, job, before, after, cause)

    def _end_of_life(self, facts, was, job, before, after, cause):
        name = job["id"]
        counts = Counter({status: job[status.lower()] for status in STATUSES})
        moved = any(was[status.lower()] != job[status.lower()] for status in STATUSES)
        met = aborts(facts.configs.abort, counts)
        if job["reason_code"] == "ABORT_CRITERIA_MET":
            assert met, "aborted early"
            assert job["status"] == "CANCELED" or facts.fate
            assert moved or cause == "update"
            facts.fate = facts.fate or "CANCELED"
        elif met and job["status"] in ACTIVE:
            raise AssertionError(f"{name} should have been aborted")
        if job["status"] == "CANCELED" and job["reason_code"] == "SCHEDULE_ENDED":
            behavior = facts.configs.schedule.end_behavior
            assert self.phase(name, after.now) == "ENDED"
            assert behavior in ("CANCEL", "FORCE_CANCEL")
            facts.fate, facts.forced = "CANCELED", behavior == "FORCE_CANCEL"
        if job["ended"] and not facts.stopped:
            assert self.phase(name, after.now) == "ENDED"
            assert facts.configs.schedule.end_behavior in (None, "STOP_ROLLOUT")
            before_end = facts.configs.schedule.end_at - 1
            held = facts.paused or was["held"] == 1 or self.phase(name, before_end) != "OPEN"
            facts.stopped, facts.paused, facts.held_at_end = True, False, held
        if job["status"] == "CANCELED":
            assert facts.fate == "CANCELED", cause
        if job["status"] == "COMPLETED":
            assert not any(row.pending for row in after.of(name)), "completed too early"
            assert job["completed_at"] == after.now
            assert facts.selection == "SNAPSHOT" or facts.stopped

    def _notified(self, before, after, told):
        old, new = before.lists(), after.lists()
        expected = []
        for thing in set(old) | set(new):
            was = [(row.job, row.number, row.id) for row in old.get(thing, [])]
            now = [(row.job, row.number, row.id) for row in new.get(thing, [])]
            flags = (set(was) != set(now), was[:1] != now[:1])
            if any(flags):
                expected.append((thing, *flags))
        assert sorted(told) == sorted(expected), (told, expected)

    def _events(self, before, after, events):
        expected = Counter()
        for key, row in before.executions.items():
            now = after.executions.get(key)
            if now is None:
                expected[f"jobExecution/{row.job}/deleted"] += 1
            elif now.status != row.status and now.status in TERMINAL:
                expected[f"jobExecution/{row.job}/{now.status.lower()}"] += 1
        for name, facts in self.jobs.items():
            was, now = before.jobs.get(name), after.jobs.get(name)
            for event in _job_events(was, now, facts):
                expected[f"job/{name}/{event}"] += 1
        heard = Counter(topic.removeprefix("$aws/events/") for topic, _ in events)
        assert heard == expected, (heard, expected)
        assert all(json.loads(payload)["timestamp"] == after.now // 1000 for _, payload in events)

    def joined(self, thing, group):
        """The last batch made the thing a member: continuous jobs that have begun queue it, unless it is waiting there."""
        above = {group, self.parents[group]}
        for name, facts in self.jobs.items():
            job = self.before.jobs.get(name)
            if facts.fate or facts.stopped or facts.selection != "CONTINUOUS" or not above & set(facts.aims):
                continue
            if facts.began is None or self.phase(name, self.state.now) == "ENDED" or job is None:
                continue
            rows = [row for row in self.state.of(name) if row.thing == thing]
            assert any(row.pending for row in rows), f"{thing} joined {name} and got nothing"
            newest = max(rows, key=lambda row: row.number)
            was_waiting = any(row.pending for row in self.before.of(name) if row.thing == thing)
            assert was_waiting == (newest.id in self.before.executions)
            assert was_waiting or newest.queued_by == JOINED

    # At rest

    def rest(self):
        """No background work is left, and what was due has fired."""
        state = self.state
        for name, facts in self.jobs.items():
            job = state.jobs.get(name)
            assert (job is None) == (facts.fate == "DELETED"), name
            if job is None:
                continue
            rows = state.of(name)
            assert job["status"] == self._status(name, facts, rows, job), name
            assert job["work"] is None
            waiting = [row for row in rows if row.status == "QUEUED"]
            if facts.fate == "CANCELED":
                assert not waiting
                assert not facts.forced or not any(row.pending for row in rows)
            elif job["status"] in ACTIVE:
                self._going(name, facts, job, rows, waiting)
        for row in state.executions.values():
            assert row.expires_at is None or row.expires_at > state.now, "a timer is overdue"
        self.jobs = {name: facts for name, facts in self.jobs.items() if facts.fate != "DELETED"}

    def _status(self, name, facts, rows, job):
        if facts.fate:
            return facts.fate
        phase = self.phase(name, self.state.now)
        assert phase != "ENDED" or facts.stopped or job["status"] == "COMPLETED", "its end was missed"
        if not any(row.pending for row in rows):
            if facts.stopped:
                return "COMPLETED"
            if (
                facts.selection == "SNAPSHOT"
                and facts.began is not None
                and not self._left(name, facts, rows)
            ):
                # Which holes the others left is its own affair: it may have to look for more.
                return (
                    "COMPLETED" if not job["rolling"] else "IN_PROGRESS" if phase == "OPEN" else "SCHEDULED"
                )
        return "IN_PROGRESS" if phase == "OPEN" or facts.stopped else "SCHEDULED"

    def _left(self, name, facts, rows):
        """Who still waits for the rollout."""
        began = self.reached(name) if facts.selection == "CONTINUOUS" else facts.began
        return (began & self.reached(name)) - {row.thing for row in rows} - facts.gone

    def _going(self, name, facts, job, rows, waiting):
        now = self.state.now
        held = not facts.stopped and (facts.paused or self.phase(name, now) != "OPEN")
        assert {row.held for row in waiting} <= {held}, (name, "held" if held else "not held")
        assert job["held"] == held
        if facts.stopped:
            assert not (facts.held_at_end and waiting), "what is held back at the end waits for nothing"
            return
        assert held or facts.began is not None, f"{name} should have begun"
        left = set() if facts.began is None else self._left(name, facts, rows)
        if not held and left:
            assert job["rolling"], f"{left} are left out of {name}"
            # A rate that was lifted holds until its minute is over.
            assert facts.batch_limit is not None or now - facts.changed_at < MINUTE
            assert now - max(facts.batch_last or 0, facts.changed_at) < MINUTE, (
                f"the rollout of {name} starves"
            )
        if not held and job["rolling"]:
            assert job["due_at"] is not None
            assert now < job["due_at"] <= now + MINUTE
        change = None if facts.configs.schedule is None else next_change(facts.configs.schedule, now)
        if change is not None:
            assert job["due_at"] is not None, f"nobody will look at {name} again"
            assert now < job["due_at"] <= change


def _job_events(was, now, facts):
    if was is None and now is None:
        return
    if now is None:
        if was["status"] != "DELETION_IN_PROGRESS":
            yield "deletion_in_progress"
        yield "deleted"
        return
    entered = was is None or was["status"] != now["status"]
    if now["status"] == "CANCELED":
        was_busy = was is not None and was["status"] == "CANCELED" and was["work"] == "CANCEL"
        begins = entered or (facts.again and not was_busy)
        if begins:
            yield "cancellation_in_progress"
        if (begins or was_busy) and now["work"] != "CANCEL":
            yield "canceled"
    elif entered and now["status"] in ("COMPLETED", "DELETION_IN_PROGRESS"):
        yield now["status"].lower()
