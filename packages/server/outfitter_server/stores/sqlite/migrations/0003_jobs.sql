-- Jobs, their documents apart (a counter that moves must not rewrite a document), targets and executions.

CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    selection TEXT NOT NULL,
    description TEXT,
    document_source TEXT,
    role_arn TEXT,
    url_expires_seconds INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    completed_at INTEGER,
    comment TEXT,
    reason_code TEXT,
    force_canceled INTEGER NOT NULL DEFAULT 0,
    -- background work still to be done: ROLLOUT, CANCEL or DELETE
    work TEXT,
    queued INTEGER NOT NULL DEFAULT 0,
    in_progress INTEGER NOT NULL DEFAULT 0,
    succeeded INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0,
    timed_out INTEGER NOT NULL DEFAULT 0,
    removed INTEGER NOT NULL DEFAULT 0,
    canceled INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX jobs_by_status ON jobs (status, seq);
CREATE INDEX jobs_by_work ON jobs (seq) WHERE work IS NOT NULL;

CREATE TABLE job_documents (
    job TEXT PRIMARY KEY,
    -- as the caller gave it, and compact without null members as devices get it
    stored TEXT NOT NULL,
    delivered TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE job_targets (
    job TEXT NOT NULL,
    position INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    -- how far the rollout has come: the group (targets reach child groups) and the last thing in it
    cursor_group TEXT NOT NULL DEFAULT '',
    cursor_thing TEXT NOT NULL DEFAULT '',
    done INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, position)
) WITHOUT ROWID;
CREATE INDEX job_targets_by_name ON job_targets (kind, name, job);

-- status: 0 IN_PROGRESS, 1 QUEUED, 2 and above terminal: the pending list of a thing is one range of an index.
CREATE TABLE executions (
    id INTEGER PRIMARY KEY,
    thing TEXT NOT NULL,
    job TEXT NOT NULL,
    number INTEGER NOT NULL,
    status INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    started_at INTEGER,
    version INTEGER NOT NULL,
    details TEXT,
    attempt INTEGER NOT NULL DEFAULT 0,
    force_canceled INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX executions_by_thing_job ON executions (thing, job, number);
CREATE INDEX executions_by_thing_status ON executions (thing, status, id);
CREATE INDEX executions_by_job_status ON executions (job, status, updated_at, id);

-- Revisions of a thing's pending list and of its front; rows outlive their thing so that a revision never repeats.
CREATE TABLE pending_revisions (
    thing TEXT PRIMARY KEY,
    pending_revision INTEGER NOT NULL,
    next_revision INTEGER NOT NULL
) WITHOUT ROWID;
