-- name: indexing
SELECT things, connectivity, named_shadows, shadow_names FROM indexing WHERE id = 1;

-- name: indexing_update
UPDATE indexing SET things = :things, connectivity = :connectivity, named_shadows = :named_shadows,
    shadow_names = :shadow_names
WHERE id = 1;

-- name: dynamic_group_by_name
SELECT seq, name, query, status, phase, cursor FROM dynamic_groups WHERE name = :name;

-- name: dynamic_group_insert
INSERT INTO dynamic_groups (name, query, status, phase) VALUES (:name, :query, :status, :phase);

-- name: dynamic_group_rebuild
UPDATE dynamic_groups SET query = :query, status = :status, phase = :phase, cursor = NULL WHERE name = :name;

-- name: dynamic_group_progress
UPDATE dynamic_groups SET status = :status, phase = :phase, cursor = :cursor WHERE name = :name;

-- name: dynamic_group_delete
DELETE FROM dynamic_groups WHERE name = :name;

-- name: dynamic_groups_count
-- Bounded: there are at most a hundred.
SELECT count(*) AS groups FROM dynamic_groups WHERE seq > 0;

-- name: dynamic_groups_all
-- Oldest first; at most a hundred.
SELECT seq, name, query, status, phase, cursor FROM dynamic_groups WHERE seq > 0 ORDER BY seq;

-- name: dynamic_groups_of_fields
-- Those that a change of the fields can concern; at most a hundred.
SELECT DISTINCT g.seq, g.name, g.query, g.status, g.phase, g.cursor
FROM json_each(:fields) AS k CROSS JOIN dynamic_group_fields AS f ON f.field = k.value
CROSS JOIN dynamic_groups AS g ON g.name = f.group_name;

-- name: dynamic_groups_with_work
-- Bounded: there are at most a hundred.
SELECT seq, name FROM dynamic_groups WHERE phase IS NOT NULL AND seq > 0 ORDER BY seq;

-- name: dynamic_group_field_insert
INSERT INTO dynamic_group_fields (field, group_name) VALUES (:field, :group);

-- name: dynamic_group_fields_delete
DELETE FROM dynamic_group_fields WHERE group_name = :group;

-- name: dynamic_group_fields_begin
-- Whether a query asks one of the fields that begin so.
SELECT group_name FROM dynamic_group_fields WHERE field >= :beginning AND field < :end LIMIT 1;

-- name: group_is_target
SELECT 1 FROM job_targets WHERE kind = 'thinggroup' AND name = :group LIMIT 1;

-- name: memberships_of_thing
-- With the order of creation when the group is dynamic. Bounded: a thing is in at most ten groups.
SELECT m.group_name, g.seq FROM group_members AS m LEFT JOIN dynamic_groups AS g ON g.name = m.group_name
WHERE m.thing = :thing ORDER BY m.group_name;

-- name: static_groups_of_things
-- Bounded: a thing is in at most ten groups.
SELECT m.thing, m.group_name FROM json_each(:things) AS k CROSS JOIN group_members AS m ON m.thing = k.value
WHERE NOT EXISTS (SELECT 1 FROM dynamic_groups AS g WHERE g.name = m.group_name);

-- name: membership_counts
-- Of each thing: in how many groups it is, and whether in this one.
SELECT k.value AS thing,
    (SELECT count(*) FROM group_members AS m WHERE m.thing = k.value) AS groups,
    EXISTS (SELECT 1 FROM group_members AS m WHERE m.group_name = :group AND m.thing = k.value) AS member
FROM json_each(:things) AS k;

-- name: group_member_in_many
-- Whether a member is in as many groups as this or more; walks the members until one is.
SELECT m.thing FROM group_members AS m
WHERE m.group_name = :group AND (SELECT count(*) FROM group_members AS o WHERE o.thing = m.thing) >= :groups LIMIT 1;

-- name: members_insert
INSERT INTO group_members (group_name, thing, joined_after)
SELECT :group, k.value, s.number FROM snapshots_taken AS s CROSS JOIN json_each(:things) AS k WHERE s.id = 1;

-- name: disconnection_upsert
-- Of things only; other clients come and go unrecorded.
INSERT INTO thing_disconnections (thing, at, reason)
SELECT name, :at, :reason FROM things WHERE name = :thing
ON CONFLICT (thing) DO UPDATE SET at = excluded.at, reason = excluded.reason;

-- name: disconnection_delete
DELETE FROM thing_disconnections WHERE thing = :thing;

-- name: disconnections_of_things
SELECT d.thing, d.at, d.reason
FROM json_each(:things) AS k CROSS JOIN thing_disconnections AS d ON d.thing = k.value;

-- name: things_spelled_page
-- Names are compared in lower case; few differ in nothing else.
SELECT lower(name) AS key, name, id, type, attributes, version, created_at FROM things
WHERE lower(name) = :key AND name > :after ORDER BY name LIMIT :limit;

-- name: things_spelled_after
SELECT lower(name) AS key, name, id, type, attributes, version, created_at FROM things
WHERE lower(name) > :key AND lower(name) <= :high ORDER BY lower(name), name LIMIT :limit;

-- name: things_with_text_page
SELECT lower(a.value) AS key, t.name, t.id, t.type, t.attributes, t.version, t.created_at
FROM thing_attributes AS a CROSS JOIN things AS t ON t.name = a.thing
WHERE a.name = :attribute AND lower(a.value) = :key AND a.thing > :after ORDER BY a.thing LIMIT :limit;

-- name: things_with_text_after
SELECT lower(a.value) AS key, t.name, t.id, t.type, t.attributes, t.version, t.created_at
FROM thing_attributes AS a CROSS JOIN things AS t ON t.name = a.thing
WHERE a.name = :attribute AND lower(a.value) > :key AND lower(a.value) <= :high
ORDER BY lower(a.value), a.thing LIMIT :limit;

-- name: things_with_number_page
SELECT CAST(a.value AS REAL) AS key, t.name, t.id, t.type, t.attributes, t.version, t.created_at
FROM thing_attributes AS a CROSS JOIN things AS t ON t.name = a.thing
WHERE a.name = :attribute AND a.value GLOB '[-0-9]*' AND CAST(a.value AS REAL) = :key AND a.thing > :after
ORDER BY a.thing LIMIT :limit;

-- name: things_with_number_after
SELECT CAST(a.value AS REAL) AS key, t.name, t.id, t.type, t.attributes, t.version, t.created_at
FROM thing_attributes AS a CROSS JOIN things AS t ON t.name = a.thing
WHERE a.name = :attribute AND a.value GLOB '[-0-9]*'
  AND CAST(a.value AS REAL) > :key AND CAST(a.value AS REAL) <= :high
ORDER BY CAST(a.value AS REAL), a.thing LIMIT :limit;

-- name: types_spelled
SELECT name FROM thing_types WHERE lower(name) = :folded AND name >= :beginning ORDER BY name;

-- name: groups_spelled
SELECT name FROM thing_groups WHERE lower(name) = :folded AND name >= :beginning ORDER BY name;

-- name: things_of_group_page
SELECT t.name, t.id, t.type, t.attributes, t.version, t.created_at
FROM group_members AS m CROSS JOIN things AS t ON t.name = m.thing
WHERE m.group_name = :key AND m.thing > :after ORDER BY m.thing LIMIT :limit;

-- name: installed_version_after
-- The next version of a package that some thing runs.
SELECT version FROM installed_packages WHERE package = :package AND version > :version ORDER BY version LIMIT 1;

-- name: things_of_package_page
SELECT t.name, t.id, t.type, t.attributes, t.version, t.created_at
FROM installed_packages AS i CROSS JOIN things AS t ON t.name = i.thing
WHERE i.package = :package AND i.version = :key AND i.thing > :after ORDER BY i.thing LIMIT :limit;
