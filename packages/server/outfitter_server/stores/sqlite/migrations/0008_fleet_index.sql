-- The fleet index: what is indexed, dynamic groups with their queries, and what the language needs to be answered quickly.
-- Values are compared without regard to case, and numbers as numbers; names and values are ASCII.

CREATE INDEX things_by_folded_name ON things (lower(name));
CREATE INDEX thing_attributes_by_folded_value ON thing_attributes (name, lower(value), thing);
CREATE INDEX thing_attributes_by_number ON thing_attributes (name, CAST(value AS REAL), thing)
WHERE value GLOB '[-0-9]*';
CREATE INDEX thing_types_by_folded_name ON thing_types (lower(name));
CREATE INDEX thing_groups_by_folded_name ON thing_groups (lower(name));

-- The row of thing_groups with the same name has the rest. seq is the order of creation.
-- phase: what is left of building it (MEMBERS: look whether they still match; THINGS: look who else does), and how far that is:
-- cursor is the position of a keyset walk, as JSON.
CREATE TABLE dynamic_groups (
    seq INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    query TEXT NOT NULL,
    status TEXT NOT NULL,
    phase TEXT,
    cursor TEXT
) STRICT;
CREATE INDEX dynamic_groups_by_work ON dynamic_groups (seq) WHERE phase IS NOT NULL;

-- Which groups a change of a field can concern; '*' stands for every field.
CREATE TABLE dynamic_group_fields (
    field TEXT NOT NULL,
    group_name TEXT NOT NULL,
    PRIMARY KEY (field, group_name)
) STRICT, WITHOUT ROWID;
CREATE INDEX dynamic_group_fields_by_group ON dynamic_group_fields (group_name, field);

-- When things were last seen to leave, and why; who is connected is known by the gateway alone.
CREATE TABLE thing_disconnections (
    thing TEXT NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row; shadow_names is a JSON list of the named shadows that are indexed.
CREATE TABLE indexing (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    things TEXT NOT NULL,
    connectivity TEXT NOT NULL,
    named_shadows TEXT NOT NULL,
    shadow_names TEXT NOT NULL
) STRICT;
INSERT INTO indexing (id, things, connectivity, named_shadows, shadow_names)
VALUES (1, 'REGISTRY', 'STATUS', 'ON', '["$package"]');
