-- Jobs, documents and targets.

-- name: job_insert
INSERT INTO jobs (id, status, selection, description, document_source, role_arn, url_expires_seconds,
                  created_at, updated_at, configs, tags, rolling)
VALUES (:id, :status, :selection, :description, :document_source, :role_arn, :url_expires_seconds,
        :now, :now, :configs, :tags, 1);

-- name: job_work
UPDATE jobs SET work = :work WHERE id = :id;

-- name: job_document_insert
INSERT INTO job_documents (job, stored, delivered, raw) VALUES (:job, :stored, :delivered, :raw);

-- name: job_target_insert
INSERT INTO job_targets (job, position, kind, name, open) VALUES (:job, :position, :kind, :name, :open);

-- name: job_by_id
SELECT * FROM jobs WHERE id = :id;

-- name: jobs_by_ids
SELECT jobs.* FROM json_each(:ids) AS k CROSS JOIN jobs ON jobs.id = k.value;

-- name: job_head
SELECT jobs.id, job_documents.delivered, jobs.role_arn, jobs.url_expires_seconds, jobs.configs
FROM jobs CROSS JOIN job_documents ON job_documents.job = jobs.id
WHERE jobs.id = :id;

-- name: job_document_stored
SELECT stored, coalesce(raw, stored) AS raw FROM job_documents WHERE job = :job;

-- name: job_targets
SELECT position, kind, name, cursor_group, cursor_thing, done FROM job_targets WHERE job = :job ORDER BY position;

-- name: job_targets_named
-- The continuous jobs that target a group and have begun; nobody joins those past their end time, but things leave them.
SELECT jobs.seq, jobs.id AS job, jobs.held, jobs.ended FROM job_targets CROSS JOIN jobs ON jobs.id = job_targets.job
WHERE job_targets.kind = :kind AND job_targets.name = :name AND job_targets.open = 1 AND jobs.selection = 'CONTINUOUS'
  AND jobs.status IN ('IN_PROGRESS', 'SCHEDULED') AND jobs.started_at IS NOT NULL
ORDER BY jobs.seq;

-- name: job_target_progress
UPDATE job_targets SET cursor_group = :cursor_group, cursor_thing = :cursor_thing, done = :done
WHERE job = :job AND position = :position;

-- name: snapshot_take
UPDATE snapshots_taken SET number = number + 1 WHERE id = 1 RETURNING number;

-- name: job_targets_done
UPDATE job_targets SET done = 1 WHERE job = :job AND done = 0;

-- name: job_targets_stop
UPDATE job_targets SET done = 1, open = 0 WHERE job = :job;

-- name: job_write
UPDATE jobs SET description = :description, role_arn = :role_arn, url_expires_seconds = :url_expires_seconds,
       configs = :configs, status = :status, updated_at = :updated_at, completed_at = :completed_at, comment = :comment,
       reason_code = :reason_code, force_canceled = :force_canceled, work = :work, queued = :queued,
       in_progress = :in_progress, succeeded = :succeeded, failed = :failed, rejected = :rejected,
       timed_out = :timed_out, removed = :removed, canceled = :canceled, rolling = :rolling, started_at = :started_at, snapshot = :snapshot,
       paused = :paused, held = :held, ended = :ended, rolled_out = :rolled_out, batch_left = :batch_left,
       next_batch_at = :next_batch_at, due_at = :due_at
WHERE id = :id;

-- name: job_delete
DELETE FROM jobs WHERE id = :id;

-- name: job_document_delete
DELETE FROM job_documents WHERE job = :job;

-- name: job_targets_delete
DELETE FROM job_targets WHERE job = :job;

-- name: job_step_insert
INSERT INTO job_steps (job, step, at, number, first_id, last_id)
SELECT :job, coalesce(max(step), 0) + 1, :at, :number, :first, :last FROM job_steps WHERE job = :job;

-- name: job_steps_trim
DELETE FROM job_steps WHERE job = :job AND step <= (SELECT max(step) FROM job_steps WHERE job = :job) - :kept;

-- name: job_steps_delete
DELETE FROM job_steps WHERE job = :job;

-- name: job_step_of
-- The step that queued an execution: ids rise from step to step.
SELECT step, at, number FROM job_steps WHERE job = :job AND first_id <= :id AND last_id >= :id ORDER BY step LIMIT 1;

-- name: jobs_rolling_towards_thing
-- Jobs that may still queue an execution on a thing: a snapshot does not for who joined after it was taken.
SELECT DISTINCT jobs.* FROM (
    SELECT 'thing' AS kind, :thing AS name, 0 AS joined_after
    UNION SELECT 'thinggroup', t.ancestor, m.joined_after
    FROM group_members AS m CROSS JOIN group_tree AS t ON t.descendant = m.group_name WHERE m.thing = :thing
) AS reach
CROSS JOIN job_targets AS r ON r.kind = reach.kind AND r.name = reach.name AND r.done = 0
CROSS JOIN jobs ON jobs.id = r.job AND jobs.status IN ('IN_PROGRESS', 'SCHEDULED') AND jobs.ended = 0
  AND (jobs.selection = 'CONTINUOUS' OR jobs.snapshot IS NULL OR reach.joined_after < jobs.snapshot)
LIMIT :limit;

-- name: jobs_due
SELECT id FROM jobs WHERE due_at <= :now ORDER BY due_at LIMIT :limit;

-- name: jobs_waiting
SELECT * FROM jobs
WHERE due_at IS NOT NULL AND (due_at, seq) > (:after_at, :after_seq) ORDER BY due_at, seq LIMIT :limit;

-- name: jobs_next_due
SELECT min(due_at) AS at FROM jobs WHERE due_at IS NOT NULL;

-- name: jobs_with_work
SELECT id, seq FROM jobs WHERE work IS NOT NULL AND seq > :after ORDER BY seq LIMIT :limit;

-- name: jobs_being_deleted
SELECT count(*) AS number FROM jobs WHERE status = 'DELETION_IN_PROGRESS';

-- name: jobs_page
-- Newest first.
SELECT * FROM jobs
WHERE seq < :before AND (:selection IS NULL OR selection = :selection)
ORDER BY seq DESC LIMIT :limit;

-- name: jobs_page_by_status
SELECT * FROM jobs
WHERE status = :status AND seq < :before AND (:selection IS NULL OR selection = :selection)
ORDER BY seq DESC LIMIT :limit;

-- name: jobs_page_by_group
SELECT jobs.* FROM job_targets CROSS JOIN jobs ON jobs.id = job_targets.job
WHERE job_targets.kind = 'thinggroup' AND job_targets.name = :name AND job_targets.job > :after
  AND (:status IS NULL OR jobs.status = :status) AND (:selection IS NULL OR jobs.selection = :selection)
ORDER BY job_targets.job LIMIT :limit;

-- name: thing_group_by_id
SELECT id, name FROM thing_groups WHERE id = :id;

-- name: job_first_group
SELECT thing_groups.id FROM job_targets CROSS JOIN thing_groups ON thing_groups.name = job_targets.name
WHERE job_targets.job = :job AND job_targets.kind = 'thinggroup'
ORDER BY job_targets.position LIMIT 1;
