-- Tags, a JSON object in a column of what they belong to.

-- name: job_tags
SELECT tags FROM jobs WHERE id = :name;

-- name: job_tags_write
UPDATE jobs SET tags = :tags WHERE id = :name;

-- name: job_template_tags
SELECT tags FROM job_templates WHERE id = :name;

-- name: job_template_tags_write
UPDATE job_templates SET tags = :tags WHERE id = :name;

-- name: thing_type_tags
SELECT tags FROM thing_types WHERE name = :name;

-- name: thing_type_tags_write
UPDATE thing_types SET tags = :tags WHERE name = :name;

-- name: thing_group_tags
SELECT tags FROM thing_groups WHERE name = :name;

-- name: thing_group_tags_write
UPDATE thing_groups SET tags = :tags WHERE name = :name;

-- name: policy_tags
SELECT tags FROM policies WHERE name = :name;

-- name: policy_tags_write
UPDATE policies SET tags = :tags WHERE name = :name;

-- name: package_tags
SELECT tags FROM packages WHERE name = :name;

-- name: package_tags_write
UPDATE packages SET tags = :tags WHERE name = :name;

-- name: package_version_tags
SELECT tags FROM package_versions WHERE package = :package AND name = :name;

-- name: package_version_tags_write
UPDATE package_versions SET tags = :tags WHERE package = :package AND name = :name;
