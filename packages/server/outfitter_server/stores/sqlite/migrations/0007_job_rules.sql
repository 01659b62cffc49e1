-- Rollout rates, abort, timeouts, retries, schedules: what a job was told, and how far it has come.

-- configs: JSON, see jobs/configs.py.
ALTER TABLE jobs ADD COLUMN configs TEXT NOT NULL DEFAULT '{}';
ALTER TABLE jobs ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';
-- targets remain to be rolled out
ALTER TABLE jobs ADD COLUMN rolling INTEGER NOT NULL DEFAULT 0;
-- when its rollout began: from then on who joins a target of a continuous job gets an execution, and a snapshot is of then
ALTER TABLE jobs ADD COLUMN started_at INTEGER;
-- paused by its operator; held: paused, or between windows, so that nothing may begin; ended: past its end time
ALTER TABLE jobs ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;
-- executions that its rollout queued, what the batch under way may still queue, and when the next may begin
ALTER TABLE jobs ADD COLUMN rolled_out INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN batch_left INTEGER;
ALTER TABLE jobs ADD COLUMN next_batch_at INTEGER;
-- when to look at the job again, whatever happens until then
ALTER TABLE jobs ADD COLUMN due_at INTEGER;
CREATE INDEX jobs_by_due ON jobs (due_at) WHERE due_at IS NOT NULL;
UPDATE jobs SET started_at = created_at;
UPDATE jobs SET rolling = 1 WHERE work = 'ROLLOUT';
UPDATE jobs SET rolled_out = queued + in_progress + succeeded + failed + rejected + timed_out + removed + canceled;

-- status 8: QUEUED and held back, out of the pending list's range of the index.
-- deadline_at: when the in-progress timeout is over; expires_at: that or the step timer, whichever is first.
ALTER TABLE executions ADD COLUMN deadline_at INTEGER;
ALTER TABLE executions ADD COLUMN expires_at INTEGER;
-- retries of this chain that followed a FAILED (the others followed a TIMED_OUT)
ALTER TABLE executions ADD COLUMN failed_retries INTEGER NOT NULL DEFAULT 0;
-- why it was queued (0 rollout, 1 joined, 2 retried); why it ended, when not by its device: see services/records.py
ALTER TABLE executions ADD COLUMN queued_by INTEGER NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN ended_by INTEGER;
CREATE INDEX executions_by_expiry ON executions (expires_at) WHERE expires_at IS NOT NULL;

-- A snapshot is of the members that a group had when the job was made.
-- Which was first is counted, not timed: clocks are set back. joined_after: how many snapshots had been taken by then;
-- snapshot: which one the job's was (NULL until it is taken). A member is part of it when joined_after < snapshot.
CREATE TABLE snapshots_taken (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL) STRICT;
INSERT INTO snapshots_taken (id, number) VALUES (1, 0);
ALTER TABLE group_members ADD COLUMN joined_after INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN snapshot INTEGER;

CREATE UNIQUE INDEX thing_groups_by_id ON thing_groups (id);

-- Targets that a rollout has not come to the end of.
CREATE INDEX job_targets_rolling ON job_targets (kind, name, job) WHERE done = 0;

-- What each step of a rollout queued: the executions from first_id to last_id.
CREATE TABLE job_steps (
    job TEXT NOT NULL,
    step INTEGER NOT NULL,
    at INTEGER NOT NULL,
    number INTEGER NOT NULL,
    first_id INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    PRIMARY KEY (job, step)
) STRICT, WITHOUT ROWID;

-- Lifecycle events that wait to be published; written in the deciding transaction, gone once they are out.
CREATE TABLE event_outbox (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT;

-- Which events are published (one row).
CREATE TABLE event_switches (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    job INTEGER NOT NULL DEFAULT 0,
    job_execution INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER,
    modified_at INTEGER
) STRICT;
INSERT INTO event_switches (id) VALUES (1);
