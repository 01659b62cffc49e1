-- name: thing_by_name
SELECT name, id, type, attributes, version, created_at FROM things WHERE name = :name;

-- name: thing_insert
INSERT INTO things (name, id, type, attributes, version, created_at)
VALUES (:name, :id, :type, :attributes, :version, :created_at);

-- name: thing_update
UPDATE things SET type = :type, attributes = :attributes, version = :version WHERE name = :name;

-- name: thing_delete
DELETE FROM things WHERE name = :name;

-- name: thing_attribute_insert
INSERT INTO thing_attributes (name, value, thing) VALUES (:name, :value, :thing);

-- name: thing_attribute_delete
DELETE FROM thing_attributes WHERE name = :name AND value = :value AND thing = :thing;

-- name: things_page
SELECT name, id, type, attributes, version, created_at FROM things
WHERE name > :after ORDER BY name LIMIT :limit;

-- name: things_named
SELECT t.name, t.id, t.type, t.attributes, t.version, t.created_at
FROM json_each(:names) AS n CROSS JOIN things AS t ON t.name = n.value;

-- name: things_of_type_page
SELECT name, id, type, attributes, version, created_at FROM things
WHERE type = :type AND name > :after ORDER BY name LIMIT :limit;

-- name: things_with_attribute_page
SELECT t.name, t.id, t.type, t.attributes, t.version, t.created_at
FROM thing_attributes AS a CROSS JOIN things AS t ON t.name = a.thing
WHERE a.name = :attribute AND a.value = :value AND a.thing > :after AND (:type IS NULL OR t.type = :type)
ORDER BY a.thing LIMIT :limit;

-- name: things_with_attribute_prefix_page
-- In the order of the values, so that the index gives the pages; the position is a value and a thing.
SELECT t.name, t.id, t.type, t.attributes, t.version, t.created_at, a.value
FROM thing_attributes AS a CROSS JOIN things AS t ON t.name = a.thing
WHERE a.name = :attribute AND (a.value, a.thing) > (:after_value, :after) AND a.value < :value_end
  AND (:type IS NULL OR t.type = :type)
ORDER BY a.value, a.thing LIMIT :limit;

-- name: thing_has_principal
SELECT certificate FROM thing_principals WHERE thing = :thing LIMIT 1;

-- name: thing_of_type
SELECT name FROM things WHERE type = :type LIMIT 1;

-- name: thing_type_by_name
SELECT name, id, description, searchable_attributes, tags, created_at, deprecated_at FROM thing_types WHERE name = :name;

-- name: thing_type_insert
INSERT INTO thing_types (name, id, description, searchable_attributes, tags, created_at, deprecated_at)
VALUES (:name, :id, :description, :searchable_attributes, :tags, :created_at, :deprecated_at);

-- name: thing_type_deprecate
UPDATE thing_types SET deprecated_at = :deprecated_at WHERE name = :name;

-- name: thing_type_delete
DELETE FROM thing_types WHERE name = :name;

-- name: thing_types_page
SELECT name, id, description, searchable_attributes, tags, created_at, deprecated_at FROM thing_types
WHERE name > :after ORDER BY name LIMIT :limit;
