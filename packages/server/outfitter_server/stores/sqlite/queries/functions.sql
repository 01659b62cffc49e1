-- Statements of functions (services/functions.py, function_permissions.py, function_urls.py, event_queue.py).

-- name: function_by_name
SELECT name, runtime, handler, role, description, timeout_seconds, memory_mb, environment, code_blob, code_sha256,
    code_size, revision, created_at, modified_at
FROM functions WHERE name = :name

-- name: functions_page
SELECT name, runtime, handler, role, description, timeout_seconds, memory_mb, environment, code_blob, code_sha256,
    code_size, revision, created_at, modified_at
FROM functions WHERE name > :after ORDER BY name LIMIT :limit

-- name: function_put
INSERT INTO functions (name, runtime, handler, role, description, timeout_seconds, memory_mb, environment, code_blob,
    code_sha256, code_size, revision, created_at, modified_at)
VALUES (:name, :runtime, :handler, :role, :description, :timeout_seconds, :memory_mb, :environment, :code_blob,
    :code_sha256, :code_size, :revision, :created_at, :modified_at)
ON CONFLICT (name) DO UPDATE SET
    runtime = excluded.runtime, handler = excluded.handler, role = excluded.role,
    description = excluded.description, timeout_seconds = excluded.timeout_seconds,
    memory_mb = excluded.memory_mb, environment = excluded.environment, code_blob = excluded.code_blob,
    code_sha256 = excluded.code_sha256, code_size = excluded.code_size, revision = excluded.revision,
    modified_at = excluded.modified_at

-- name: function_delete
DELETE FROM functions WHERE name = :name

-- name: function_permissions_of
SELECT id, action, principal, source_arn, source_account, url_auth_type, via_url
FROM function_permissions WHERE function = :function ORDER BY id

-- name: function_permission_insert
INSERT INTO function_permissions (function, id, action, principal, source_arn, source_account, url_auth_type, via_url)
VALUES (:function, :id, :action, :principal, :source_arn, :source_account, :url_auth_type, :via_url)

-- name: function_permission_delete
DELETE FROM function_permissions WHERE function = :function AND id = :id

-- name: function_permissions_delete
DELETE FROM function_permissions WHERE function = :function

-- name: function_url_by_id
SELECT id, function, auth_type, cors, created_at, modified_at FROM function_urls WHERE id = :id

-- name: function_url_of
SELECT id, function, auth_type, cors, created_at, modified_at FROM function_urls WHERE function = :function

-- name: function_url_put
INSERT INTO function_urls (id, function, auth_type, cors, created_at, modified_at)
VALUES (:id, :function, :auth_type, :cors, :created_at, :modified_at)
ON CONFLICT (id) DO UPDATE SET
    auth_type = excluded.auth_type, cors = excluded.cors, modified_at = excluded.modified_at

-- name: function_url_delete
DELETE FROM function_urls WHERE function = :function

-- name: function_event_insert
INSERT INTO function_events (function, request_id, payload, client_context, queued_at, due_at, failures, refusals)
VALUES (:function, :request_id, :payload, :client_context, :queued_at, :queued_at, 0, 0)

-- name: function_events_due
-- Those under way are skipped by the caller, who asks for as many more.
SELECT seq, function, request_id, payload, client_context, queued_at, failures, refusals
FROM function_events WHERE due_at <= :now ORDER BY due_at, seq LIMIT :limit

-- name: function_events_next
SELECT due_at FROM function_events WHERE due_at > :now ORDER BY due_at LIMIT 1

-- name: function_events_span
-- Both ends of the queue: an upper bound of its length without counting it.
SELECT (SELECT min(seq) FROM function_events) AS first, (SELECT max(seq) FROM function_events) AS last

-- name: function_event_delay
UPDATE function_events SET due_at = :due_at, failures = :failures, refusals = :refusals WHERE seq = :seq

-- name: function_event_delete
DELETE FROM function_events WHERE seq = :seq

-- name: function_events_delete
DELETE FROM function_events WHERE function = :function
