-- Lifecycle events.

-- name: event_switches
SELECT job, job_execution, created_at, modified_at FROM event_switches WHERE id = 1;

-- name: event_switches_write
UPDATE event_switches SET job = :job, job_execution = :job_execution, created_at = coalesce(created_at, :now),
       modified_at = :now
WHERE id = 1;

-- name: event_outbox_insert
INSERT INTO event_outbox (topic, payload) VALUES (:topic, :payload);

-- name: event_outbox_first
SELECT id, topic, payload FROM event_outbox WHERE id > :after ORDER BY id LIMIT :limit;

-- name: event_outbox_span
-- Both ends: how many wait, as ids have no gaps but those of refused requests.
SELECT (SELECT min(id) FROM event_outbox) AS first, (SELECT max(id) FROM event_outbox) AS last;

-- name: event_outbox_delete
DELETE FROM event_outbox WHERE id <= :last;
