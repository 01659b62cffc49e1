-- The schema after all migrations. Written by `make schema`; a test refuses it when it is stale.

CREATE TABLE buckets (
    name TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    policy TEXT,
    cors TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE ca_certificates (
    id TEXT NOT NULL PRIMARY KEY,
    pem TEXT NOT NULL,
    subject TEXT NOT NULL,
    status TEXT NOT NULL,
    mode TEXT NOT NULL,
    auto_registration INTEGER NOT NULL,
    template TEXT,
    template_body TEXT,
    role_arn TEXT,
    generation_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    tags TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT;

CREATE INDEX ca_certificates_by_creation ON ca_certificates (created_at, id);

CREATE INDEX ca_certificates_by_subject ON ca_certificates (subject, id);

CREATE TABLE certificates (
    id TEXT NOT NULL PRIMARY KEY,
    pem TEXT NOT NULL,
    status TEXT NOT NULL,
    subject TEXT NOT NULL,
    issuer_id TEXT,
    generation_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
, mode TEXT NOT NULL DEFAULT 'DEFAULT', anchored INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE INDEX certificates_anchored ON certificates (id) WHERE anchored = 1;

CREATE INDEX certificates_by_creation ON certificates (created_at, id);

CREATE INDEX certificates_by_issuer ON certificates (issuer_id, created_at, id);

CREATE TABLE dynamic_group_fields (
    field TEXT NOT NULL,
    group_name TEXT NOT NULL,
    PRIMARY KEY (field, group_name)
) STRICT, WITHOUT ROWID;

CREATE INDEX dynamic_group_fields_by_group ON dynamic_group_fields (group_name, field);

CREATE TABLE dynamic_groups (
    seq INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    query TEXT NOT NULL,
    status TEXT NOT NULL,
    phase TEXT,
    cursor TEXT
) STRICT;

CREATE INDEX dynamic_groups_by_work ON dynamic_groups (seq) WHERE phase IS NOT NULL;

CREATE TABLE event_outbox (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT;

CREATE TABLE event_switches (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    job INTEGER NOT NULL DEFAULT 0,
    job_execution INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER,
    modified_at INTEGER
) STRICT;

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
, deadline_at INTEGER, expires_at INTEGER, failed_retries INTEGER NOT NULL DEFAULT 0, queued_by INTEGER NOT NULL DEFAULT 0, ended_by INTEGER);

CREATE INDEX executions_by_expiry ON executions (expires_at) WHERE expires_at IS NOT NULL;

CREATE INDEX executions_by_job_status ON executions (job, status, updated_at, id);

CREATE UNIQUE INDEX executions_by_thing_job ON executions (thing, job, number);

CREATE INDEX executions_by_thing_status ON executions (thing, status, id);

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

CREATE TABLE group_members (
    group_name TEXT NOT NULL,
    thing TEXT NOT NULL, joined_after INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (group_name, thing)
) STRICT, WITHOUT ROWID;

CREATE INDEX group_members_by_thing ON group_members (thing, group_name);

CREATE TABLE group_tree (
    ancestor TEXT NOT NULL,
    descendant TEXT NOT NULL,
    PRIMARY KEY (ancestor, descendant)
) STRICT, WITHOUT ROWID;

CREATE INDEX group_tree_by_descendant ON group_tree (descendant, ancestor);

CREATE TABLE indexing (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    things TEXT NOT NULL,
    connectivity TEXT NOT NULL,
    named_shadows TEXT NOT NULL,
    shadow_names TEXT NOT NULL
) STRICT;

CREATE TABLE installed_packages (
    thing TEXT NOT NULL,
    package TEXT NOT NULL,
    version TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (thing, package)
) STRICT, WITHOUT ROWID;

CREATE INDEX installed_packages_by_version ON installed_packages (package, version, thing);

CREATE TABLE job_documents (
    job TEXT PRIMARY KEY,
    -- as the caller gave it, and compact without null members as devices get it
    stored TEXT NOT NULL,
    delivered TEXT NOT NULL
, raw TEXT) WITHOUT ROWID;

CREATE TABLE job_steps (
    job TEXT NOT NULL,
    step INTEGER NOT NULL,
    at INTEGER NOT NULL,
    number INTEGER NOT NULL,
    first_id INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    PRIMARY KEY (job, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_targets (
    job TEXT NOT NULL,
    position INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    -- how far the rollout has come: the group (targets reach child groups) and the last thing in it
    cursor_group TEXT NOT NULL DEFAULT '',
    cursor_thing TEXT NOT NULL DEFAULT '',
    done INTEGER NOT NULL DEFAULT 0, open INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (job, position)
) WITHOUT ROWID;

CREATE INDEX job_targets_by_name ON job_targets (kind, name, job);

CREATE INDEX job_targets_open ON job_targets (kind, name, job) WHERE open = 1;

CREATE INDEX job_targets_rolling ON job_targets (kind, name, job) WHERE done = 0;

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
, configs TEXT NOT NULL DEFAULT '{}', tags TEXT NOT NULL DEFAULT '{}', rolling INTEGER NOT NULL DEFAULT 0, started_at INTEGER, paused INTEGER NOT NULL DEFAULT 0, held INTEGER NOT NULL DEFAULT 0, ended INTEGER NOT NULL DEFAULT 0, rolled_out INTEGER NOT NULL DEFAULT 0, batch_left INTEGER, next_batch_at INTEGER, due_at INTEGER, snapshot INTEGER);

CREATE INDEX jobs_by_due ON jobs (due_at) WHERE due_at IS NOT NULL;

CREATE INDEX jobs_by_status ON jobs (status, seq);

CREATE INDEX jobs_by_work ON jobs (seq) WHERE work IS NOT NULL;

CREATE TABLE mqtt_messages (
    client_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    packet_id INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    retain INTEGER NOT NULL,
    properties BLOB NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (client_id, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE mqtt_sessions (
    client_id TEXT NOT NULL PRIMARY KEY,
    expiry_seconds INTEGER NOT NULL,
    left_at INTEGER
, identifier TEXT NOT NULL DEFAULT '') STRICT, WITHOUT ROWID;

CREATE TABLE mqtt_subscriptions (
    client_id TEXT NOT NULL,
    filter TEXT NOT NULL,
    qos INTEGER NOT NULL,
    identifier INTEGER NOT NULL,
    as_published INTEGER NOT NULL,
    revision INTEGER,
    PRIMARY KEY (client_id, filter)
) STRICT, WITHOUT ROWID;

CREATE TABLE mqtt_wills (
    client_id TEXT NOT NULL PRIMARY KEY,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    qos INTEGER NOT NULL,
    retain INTEGER NOT NULL,
    properties BLOB NOT NULL,
    delay_seconds INTEGER NOT NULL,
    due_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE objects (
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    blob TEXT NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified_at INTEGER NOT NULL,
    headers TEXT NOT NULL,
    checksum TEXT,
    PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX objects_by_blob ON objects (blob);

CREATE TABLE ownership_tokens (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    digest TEXT NOT NULL UNIQUE,
    certificate TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX ownership_tokens_by_expiry ON ownership_tokens (expires_at);

CREATE TABLE package_configuration (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    enabled INTEGER NOT NULL DEFAULT 0,
    role_arn TEXT
) STRICT;

CREATE TABLE package_shadows (
    thing TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE package_versions (
    package TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    attributes TEXT NOT NULL,
    artifact_bucket TEXT,
    artifact_key TEXT,
    artifact_version TEXT,
    recipe TEXT,
    status TEXT NOT NULL,
    tags TEXT NOT NULL,
    client_token TEXT,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL, update_token TEXT,
    PRIMARY KEY (package, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX package_versions_by_status ON package_versions (package, status, name);

CREATE TABLE packages (
    name TEXT NOT NULL PRIMARY KEY,
    description TEXT,
    default_version TEXT,
    tags TEXT NOT NULL,
    client_token TEXT,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE pending_revisions (
    thing TEXT PRIMARY KEY,
    pending_revision INTEGER NOT NULL,
    next_revision INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE policies (
    name TEXT NOT NULL PRIMARY KEY,
    generation_id TEXT NOT NULL,
    default_version INTEGER NOT NULL,
    last_version INTEGER NOT NULL,
    tags TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX policies_by_creation ON policies (created_at, name);

CREATE TABLE policy_targets (
    target TEXT NOT NULL,
    policy TEXT NOT NULL,
    PRIMARY KEY (target, policy)
) STRICT, WITHOUT ROWID;

CREATE INDEX policy_targets_by_policy ON policy_targets (policy, target);

CREATE TABLE policy_versions (
    policy TEXT NOT NULL,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (policy, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE provisioning_claims (
    id TEXT NOT NULL PRIMARY KEY,
    template TEXT NOT NULL,
    document TEXT NOT NULL,
    subject TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX provisioning_claims_by_expiry ON provisioning_claims (expires_at);

CREATE TABLE provisioning_template_versions (
    template TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (template, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE provisioning_templates (
    name TEXT NOT NULL PRIMARY KEY,
    description TEXT,
    type TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    role_arn TEXT NOT NULL,
    hook_arn TEXT,
    hook_payload TEXT,
    default_version INTEGER NOT NULL,
    last_version INTEGER NOT NULL,
    tags TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE registration_code (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    code TEXT NOT NULL
) STRICT;

CREATE TABLE retained_messages (
    topic TEXT NOT NULL PRIMARY KEY,
    payload BLOB NOT NULL,
    qos INTEGER NOT NULL,
    properties BLOB NOT NULL,
    stored_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshots_taken (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL) STRICT;

CREATE TABLE sqlite_sequence(name,seq);

CREATE TABLE thing_attributes (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    thing TEXT NOT NULL,
    PRIMARY KEY (name, value, thing)
) STRICT, WITHOUT ROWID;

CREATE INDEX thing_attributes_by_folded_value ON thing_attributes (name, lower(value), thing);

CREATE INDEX thing_attributes_by_number ON thing_attributes (name, CAST(value AS REAL), thing)
WHERE value GLOB '[-0-9]*';

CREATE TABLE thing_disconnections (
    thing TEXT NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE thing_groups (
    name TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    parent TEXT,
    root TEXT NOT NULL,
    depth INTEGER NOT NULL,
    description TEXT,
    attributes TEXT NOT NULL,
    tags TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX thing_groups_by_folded_name ON thing_groups (lower(name));

CREATE UNIQUE INDEX thing_groups_by_id ON thing_groups (id);

CREATE INDEX thing_groups_by_parent ON thing_groups (parent, name);

CREATE TABLE thing_principals (
    thing TEXT NOT NULL,
    certificate TEXT NOT NULL,
    exclusive INTEGER NOT NULL,
    PRIMARY KEY (thing, certificate)
) STRICT, WITHOUT ROWID;

CREATE INDEX thing_principals_by_certificate ON thing_principals (certificate, thing);

CREATE TABLE thing_types (
    name TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    description TEXT,
    searchable_attributes TEXT NOT NULL,
    tags TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    deprecated_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX thing_types_by_folded_name ON thing_types (lower(name));

CREATE TABLE things (
    name TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    type TEXT,
    attributes TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX things_by_folded_name ON things (lower(name));

CREATE INDEX things_by_type ON things (type, name) WHERE type IS NOT NULL;

CREATE TABLE topic_rules (
    name TEXT NOT NULL PRIMARY KEY,
    sql TEXT NOT NULL,
    topic_filter TEXT NOT NULL,
    description TEXT,
    actions TEXT NOT NULL,
    error_action TEXT,
    disabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE upload_parts (
    upload TEXT NOT NULL,
    number INTEGER NOT NULL,
    blob TEXT NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified_at INTEGER NOT NULL,
    checksum TEXT,
    PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX upload_parts_by_blob ON upload_parts (blob);

CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    headers TEXT NOT NULL,
    algorithm TEXT,
    checksum_type TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX uploads_by_key ON uploads (bucket, key, id);
