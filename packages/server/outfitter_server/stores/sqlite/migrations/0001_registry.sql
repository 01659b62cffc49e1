-- The registry: things, their types and groups, certificates, policies, the catalogue of packages.
-- Times are milliseconds since the epoch. Maps and lists that are only ever read whole are JSON text.

CREATE TABLE thing_types (
    name TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    description TEXT,
    searchable_attributes TEXT NOT NULL,
    tags TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    deprecated_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE things (
    name TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    type TEXT,
    attributes TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX things_by_type ON things (type, name) WHERE type IS NOT NULL;

-- One row an attribute of a thing: the index behind ListThings with an attribute filter.
CREATE TABLE thing_attributes (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    thing TEXT NOT NULL,
    PRIMARY KEY (name, value, thing)
) STRICT, WITHOUT ROWID;

-- parent is fixed for life, so root and depth (1 at the root) never change.
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
CREATE INDEX thing_groups_by_parent ON thing_groups (parent, name);

-- Every group with itself and with each group below it, so that "in this group or below" is one indexed join.
CREATE TABLE group_tree (
    ancestor TEXT NOT NULL,
    descendant TEXT NOT NULL,
    PRIMARY KEY (ancestor, descendant)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_tree_by_descendant ON group_tree (descendant, ancestor);

CREATE TABLE group_members (
    group_name TEXT NOT NULL,
    thing TEXT NOT NULL,
    PRIMARY KEY (group_name, thing)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_members_by_thing ON group_members (thing, group_name);

-- id is the SHA-256 of the certificate's DER form in hex; subject is a JSON object of its name's attributes.
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
) STRICT;
CREATE INDEX certificates_by_creation ON certificates (created_at, id);

CREATE TABLE thing_principals (
    thing TEXT NOT NULL,
    certificate TEXT NOT NULL,
    exclusive INTEGER NOT NULL,
    PRIMARY KEY (thing, certificate)
) STRICT, WITHOUT ROWID;
CREATE INDEX thing_principals_by_certificate ON thing_principals (certificate, thing);

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

CREATE TABLE policy_versions (
    policy TEXT NOT NULL,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (policy, version)
) STRICT, WITHOUT ROWID;

-- target is the last part of its ARN: cert/{id} or thinggroup/{name}.
CREATE TABLE policy_targets (
    target TEXT NOT NULL,
    policy TEXT NOT NULL,
    PRIMARY KEY (target, policy)
) STRICT, WITHOUT ROWID;
CREATE INDEX policy_targets_by_policy ON policy_targets (policy, target);

-- client_token is the one of the creation, so that a retry of it finds its own work.
CREATE TABLE packages (
    name TEXT NOT NULL PRIMARY KEY,
    description TEXT,
    default_version TEXT,
    tags TEXT NOT NULL,
    client_token TEXT,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
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
    modified_at INTEGER NOT NULL,
    PRIMARY KEY (package, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX package_versions_by_status ON package_versions (package, status, name);
