-- What jobs install: the document before the catalogue filled it in, what runs where, and whether that is recorded.

-- as the caller gave it, when that differs from stored
ALTER TABLE job_documents ADD COLUMN raw TEXT;

-- the client token of the last update, so that its retry is nothing to do
ALTER TABLE package_versions ADD COLUMN update_token TEXT;

-- versionUpdateByJobsConfig (one row)
CREATE TABLE package_configuration (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    enabled INTEGER NOT NULL DEFAULT 0,
    role_arn TEXT
) STRICT;
INSERT INTO package_configuration (id) VALUES (1);

-- The version of each package that a thing is known to run.
CREATE TABLE installed_packages (
    thing TEXT NOT NULL,
    package TEXT NOT NULL,
    version TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (thing, package)
) STRICT, WITHOUT ROWID;
CREATE INDEX installed_packages_by_version ON installed_packages (package, version, thing);

-- How often the above changed for a thing: the version of its shadow $package.
CREATE TABLE package_shadows (
    thing TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
