-- Functions: what they are, who may call them, their URLs, and the events that wait for them.

CREATE TABLE functions (
    name TEXT PRIMARY KEY,
    runtime TEXT NOT NULL,
    handler TEXT NOT NULL,
    role TEXT NOT NULL,
    description TEXT NOT NULL,
    timeout_seconds INTEGER NOT NULL,
    memory_mb INTEGER NOT NULL,
    environment TEXT NOT NULL,
    code_blob TEXT NOT NULL,
    code_sha256 TEXT NOT NULL,
    code_size INTEGER NOT NULL,
    revision TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX functions_by_blob ON functions (code_blob);

CREATE TABLE function_permissions (
    function TEXT NOT NULL,
    id TEXT NOT NULL,
    action TEXT NOT NULL,
    principal TEXT NOT NULL,
    source_arn TEXT,
    source_account TEXT,
    url_auth_type TEXT,
    via_url INTEGER,
    PRIMARY KEY (function, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE function_urls (
    id TEXT PRIMARY KEY,
    function TEXT NOT NULL UNIQUE,
    auth_type TEXT NOT NULL,
    cors TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE function_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    function TEXT NOT NULL,
    request_id TEXT NOT NULL,
    payload BLOB NOT NULL,
    client_context TEXT,
    queued_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    refusals INTEGER NOT NULL
) STRICT;

CREATE INDEX function_events_by_due ON function_events (due_at, seq);
CREATE INDEX function_events_by_function ON function_events (function);
