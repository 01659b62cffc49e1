-- Executions, pending lists and revisions. json_each CROSS JOIN probes an index; other shapes scan (see ARCHITECTURE).

-- name: executions_latest
-- keys: [[thing, job], …]
SELECT e.* FROM json_each(:keys) AS k CROSS JOIN executions AS e ON e.id = (
    SELECT x.id FROM executions AS x WHERE x.thing = k.value ->> 0 AND x.job = k.value ->> 1
    ORDER BY x.number DESC LIMIT 1);

-- name: executions_pending
-- things: [thing, …]; at most :limit executions of each, front first within a thing.
SELECT e.* FROM json_each(:things) AS k CROSS JOIN executions AS e ON e.id IN (
    SELECT x.id FROM executions AS x WHERE x.thing = k.value AND x.status < 2 ORDER BY x.status, x.id LIMIT :limit);

-- name: executions_pending_few
--- things: [thing, …]; all executions of each, and no more than :limit of all together: whoever gets so many does not have all.
SELECT e.* FROM json_each(:things) AS k CROSS JOIN executions AS e ON e.thing = k.value AND e.status < 2 LIMIT :limit;

-- name: execution_latest
SELECT * FROM executions WHERE thing = :thing AND job = :job ORDER BY number DESC LIMIT 1;

-- name: execution_numbered
SELECT * FROM executions WHERE thing = :thing AND job = :job AND number = :number;

-- name: execution_insert
INSERT INTO executions (thing, job, number, status, queued_at, updated_at, version, attempt, failed_retries, queued_by)
VALUES (:thing, :job, :number, :status, :now, :now, 1, :attempt, :failed_retries, :queued_by) RETURNING id;

-- name: execution_write
UPDATE executions SET status = :status, started_at = :started_at, updated_at = :updated_at, version = :version,
       details = :details, force_canceled = :force_canceled, deadline_at = :deadline_at, expires_at = :expires_at,
       ended_by = :ended_by
WHERE id = :id;

-- name: execution_progress
-- The same for an execution whose status stays: leaves the index of pending lists alone, a third of what such a write costs
-- when requests fall on many things.
UPDATE executions SET started_at = :started_at, updated_at = :updated_at, version = :version, details = :details,
       force_canceled = :force_canceled, deadline_at = :deadline_at, expires_at = :expires_at, ended_by = :ended_by
WHERE id = :id;

-- name: execution_delete
DELETE FROM executions WHERE id = :id;

-- name: executions_last_id
SELECT coalesce(max(id), 0) AS id FROM executions;

-- name: executions_queue_members
-- One chunk of a rollout: the members of a group up to :last, of the moment of a snapshot, that have no execution of
-- this job.
INSERT INTO executions (thing, job, number, status, queued_at, updated_at, version, attempt)
SELECT m.thing, :job, 1, 1, :now, :now, 1, 0
FROM group_members AS m
WHERE m.group_name = :group AND m.thing > :after AND m.thing <= :last AND m.joined_after < :snapshot
  AND NOT EXISTS (SELECT 1 FROM executions AS e WHERE e.thing = m.thing AND e.job = :job)
ORDER BY m.thing;

-- name: revisions_raise_queued
-- The rows that the chunk above added raise their things' revisions; the front changes where nothing else was pending.
INSERT INTO pending_revisions (thing, pending_revision, next_revision)
SELECT e.thing, 1, NOT EXISTS (
    SELECT 1 FROM executions AS p WHERE p.thing = e.thing AND p.status < 2 AND p.id <> e.id)
FROM executions AS e WHERE e.id > :after
ON CONFLICT (thing) DO UPDATE SET pending_revision = pending_revision + 1,
                                  next_revision = next_revision + excluded.next_revision;

-- name: executions_added
SELECT thing FROM executions WHERE id > :after;

-- name: group_members_chunk_end
-- The last thing of the chunk, and how many it has.
SELECT max(thing) AS last, count(*) AS number
FROM (SELECT thing FROM group_members WHERE group_name = :group AND thing > :after ORDER BY thing LIMIT :limit);

-- name: group_with_descendants
SELECT descendant AS name FROM group_tree WHERE ancestor = :group AND descendant >= :beginning
ORDER BY descendant LIMIT :limit;

-- name: group_with_ancestors
SELECT ancestor AS name FROM group_tree WHERE descendant = :group;

-- name: groups_reaching_thing_without
-- Every group that a job may target to reach this thing, one of its direct groups left out.
SELECT DISTINCT t.ancestor AS name
FROM group_members AS m CROSS JOIN group_tree AS t ON t.descendant = m.group_name
WHERE m.thing = :thing AND m.group_name <> :group;

-- name: group_members_after
SELECT thing FROM group_members WHERE group_name = :group AND thing > :after ORDER BY thing LIMIT :limit;

-- name: thing_exists
SELECT 1 FROM things WHERE name = :name;

-- name: thing_group_exists
SELECT 1 FROM thing_groups WHERE name = :name;

-- name: revision_raise
INSERT INTO pending_revisions (thing, pending_revision, next_revision) VALUES (:thing, :pending, :next)
ON CONFLICT (thing) DO UPDATE SET pending_revision = pending_revision + excluded.pending_revision,
                                  next_revision = next_revision + excluded.next_revision;

-- name: revisions_of_things
SELECT r.* FROM json_each(:things) AS k CROSS JOIN pending_revisions AS r ON r.thing = k.value;

-- name: executions_of_job_in_status
-- Newest update first, the order of ListJobExecutionsForJob.
SELECT * FROM executions
WHERE job = :job AND status = :status AND (updated_at, id) < (:before_time, :before_id)
ORDER BY updated_at DESC, id DESC LIMIT :limit;

-- name: executions_of_thing_in_status
-- Newest first.
SELECT * FROM executions WHERE thing = :thing AND status = :status AND id < :before
ORDER BY id DESC LIMIT :limit;

-- name: executions_of_thing_and_job
SELECT * FROM executions
WHERE thing = :thing AND job = :job AND number < :before
  AND (:status IS NULL OR status = :status OR (:status = 1 AND status = 8))
ORDER BY number DESC LIMIT :limit;

-- name: executions_due
SELECT * FROM executions WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit;

-- name: executions_next_due
SELECT min(expires_at) AS at FROM executions WHERE expires_at IS NOT NULL;

-- name: executions_with_timers
SELECT * FROM executions
WHERE expires_at IS NOT NULL AND (expires_at, id) > (:after_at, :after_id) ORDER BY expires_at, id LIMIT :limit;

-- name: executions_of_job_any
SELECT * FROM executions WHERE job = :job LIMIT :limit;

-- name: executions_of_thing_any
SELECT * FROM executions WHERE thing = :thing LIMIT :limit;
