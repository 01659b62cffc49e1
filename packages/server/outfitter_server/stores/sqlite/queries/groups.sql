-- name: group_by_name
SELECT name, id, parent, root, depth, description, attributes, tags, version, created_at
FROM thing_groups WHERE name = :name;

-- name: group_insert
INSERT INTO thing_groups (name, id, parent, root, depth, description, attributes, tags, version, created_at)
VALUES (:name, :id, :parent, :root, :depth, :description, :attributes, :tags, :version, :created_at);

-- name: group_tree_insert
-- Under itself and under everything its parent is under.
INSERT INTO group_tree (ancestor, descendant)
SELECT ancestor, :name FROM group_tree WHERE descendant = :parent
UNION ALL SELECT :name, :name;

-- name: group_update
UPDATE thing_groups SET description = :description, attributes = :attributes, version = :version WHERE name = :name;

-- name: group_delete
DELETE FROM thing_groups WHERE name = :name;

-- name: group_tree_delete
DELETE FROM group_tree WHERE descendant = :name;

-- name: group_children_count
-- Bounded: a group has at most a hundred direct children.
SELECT count(*) AS children FROM thing_groups WHERE parent = :name;

-- name: group_ancestors
-- From the root down, without the group itself; at most seven levels.
SELECT g.name FROM group_tree AS t CROSS JOIN thing_groups AS g ON g.name = t.ancestor
WHERE t.descendant = :name AND t.ancestor <> :name ORDER BY g.depth;

-- name: groups_page
SELECT name FROM thing_groups
WHERE name > :after AND name >= :prefix AND name < :prefix_end ORDER BY name LIMIT :limit;

-- name: groups_at_root_page
SELECT name FROM thing_groups
WHERE parent IS NULL AND name > :after AND name >= :prefix AND name < :prefix_end ORDER BY name LIMIT :limit;

-- name: groups_of_parent_page
SELECT name FROM thing_groups
WHERE parent = :parent AND name > :after AND name >= :prefix AND name < :prefix_end ORDER BY name LIMIT :limit;

-- name: groups_below_page
SELECT descendant AS name FROM group_tree
WHERE ancestor = :parent AND descendant <> :parent
  AND descendant > :after AND descendant >= :prefix AND descendant < :prefix_end
ORDER BY descendant LIMIT :limit;

-- name: member_insert
INSERT INTO group_members (group_name, thing, joined_after) SELECT :group, :thing, number FROM snapshots_taken WHERE id = 1;

-- name: member_delete
DELETE FROM group_members WHERE group_name = :group AND thing = :thing;

-- name: member_exists
SELECT 1 FROM group_members WHERE group_name = :group AND thing = :thing;

-- name: members_delete
DELETE FROM group_members WHERE group_name = :group;

-- name: memberships_of_thing_delete
DELETE FROM group_members WHERE thing = :thing;

-- name: groups_of_thing
-- Bounded: a thing is in at most ten groups.
SELECT m.group_name, g.root FROM group_members AS m CROSS JOIN thing_groups AS g ON g.name = m.group_name
WHERE m.thing = :thing ORDER BY m.group_name;

-- name: members_page
SELECT thing FROM group_members WHERE group_name = :group AND thing > :after ORDER BY thing LIMIT :limit;

-- name: members_below_page
-- Groups after :after_group at or below :group, in order of group and thing. A thing is in one group of a hierarchy only,
-- so none comes twice.
SELECT m.group_name, m.thing FROM group_tree AS t CROSS JOIN group_members AS m ON m.group_name = t.descendant
WHERE t.ancestor = :group AND t.descendant > :after_group
ORDER BY t.descendant, m.thing LIMIT :limit;
