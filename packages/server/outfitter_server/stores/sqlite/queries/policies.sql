-- name: policy_by_name
SELECT p.name, p.generation_id, p.default_version, p.last_version, p.created_at, p.modified_at, v.document
FROM policies AS p CROSS JOIN policy_versions AS v ON v.policy = p.name AND v.version = p.default_version
WHERE p.name = :name;

-- name: policy_insert
INSERT INTO policies (name, generation_id, default_version, last_version, tags, created_at, modified_at)
VALUES (:name, :generation_id, 1, 1, :tags, :now, :now);

-- name: policy_delete
DELETE FROM policies WHERE name = :name;

-- name: policy_new_version
UPDATE policies SET last_version = :version, modified_at = :now WHERE name = :name;

-- name: policy_default
UPDATE policies SET default_version = :version, modified_at = :now WHERE name = :name;

-- name: policies_newest_page
SELECT name, created_at FROM policies
WHERE (created_at, name) < (:created_at, :name) ORDER BY created_at DESC, name DESC LIMIT :limit;

-- name: policies_oldest_page
SELECT name, created_at FROM policies
WHERE (created_at, name) > (:created_at, :name) ORDER BY created_at, name LIMIT :limit;

-- name: policy_version_insert
INSERT INTO policy_versions (policy, version, document, created_at) VALUES (:policy, :version, :document, :now);

-- name: policy_version_delete
DELETE FROM policy_versions WHERE policy = :policy AND version = :version;

-- name: policy_versions_delete
DELETE FROM policy_versions WHERE policy = :policy;

-- name: policy_version
SELECT v.version, v.document, v.created_at, p.default_version, p.modified_at, p.generation_id
FROM policy_versions AS v CROSS JOIN policies AS p ON p.name = v.policy
WHERE v.policy = :policy AND v.version = :version;

-- name: policy_versions
-- Bounded: a policy has at most five versions.
SELECT v.version, v.created_at, p.default_version
FROM policy_versions AS v CROSS JOIN policies AS p ON p.name = v.policy
WHERE v.policy = :policy ORDER BY v.version DESC;

-- name: policy_target_insert
INSERT INTO policy_targets (target, policy) VALUES (:target, :policy);

-- name: policy_target_delete
DELETE FROM policy_targets WHERE target = :target AND policy = :policy;

-- name: policy_targets_delete
DELETE FROM policy_targets WHERE target = :target;

-- name: policies_of_target
-- Bounded: a target has at most ten policies.
SELECT a.policy, p.created_at FROM policy_targets AS a CROSS JOIN policies AS p ON p.name = a.policy
WHERE a.target = :target ORDER BY a.policy;

-- name: policies_of_group_and_above
-- Bounded: ten policies on each of at most seven levels.
SELECT DISTINCT a.policy
FROM group_tree AS t CROSS JOIN policy_targets AS a ON a.target = 'thinggroup/' || t.ancestor
WHERE t.descendant = :group ORDER BY a.policy;

-- name: targets_of_policy_page
SELECT target FROM policy_targets WHERE policy = :policy AND target > :after ORDER BY target LIMIT :limit;

-- name: policies_effective_of_certificate
-- What decides for the certificate: documents_of_certificate, with names.
SELECT DISTINCT y.name, v.document
FROM (
    SELECT 'cert/' || :id AS name
    UNION
    SELECT 'thinggroup/' || t.ancestor
    FROM thing_principals AS p
    CROSS JOIN group_members AS m ON m.thing = p.thing
    CROSS JOIN group_tree AS t ON t.descendant = m.group_name
    WHERE p.certificate = :id
) AS target
CROSS JOIN policy_targets AS a ON a.target = target.name
CROSS JOIN policies AS y ON y.name = a.policy
CROSS JOIN policy_versions AS v ON v.policy = y.name AND v.version = y.default_version;

-- name: policies_effective_of_thing
-- Bounded: ten policies on each group of the thing and on those above.
SELECT DISTINCT y.name, v.document
FROM group_members AS m
CROSS JOIN group_tree AS t ON t.descendant = m.group_name
CROSS JOIN policy_targets AS a ON a.target = 'thinggroup/' || t.ancestor
CROSS JOIN policies AS y ON y.name = a.policy
CROSS JOIN policy_versions AS v ON v.policy = y.name AND v.version = y.default_version
WHERE m.thing = :thing;
