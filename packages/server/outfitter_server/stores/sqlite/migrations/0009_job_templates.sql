-- Job templates: jobs without targets. configs and tags are JSON, as a job's.

CREATE TABLE job_templates (
    id TEXT NOT NULL PRIMARY KEY,
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    document_source TEXT,
    role_arn TEXT,
    url_expires_seconds INTEGER,
    configs TEXT NOT NULL,
    tags TEXT NOT NULL,
    -- as the caller gave it
    document TEXT NOT NULL
) STRICT;
