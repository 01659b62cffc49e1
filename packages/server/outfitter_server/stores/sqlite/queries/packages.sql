-- name: package_by_name
SELECT name, description, default_version, tags, client_token, created_at, modified_at FROM packages WHERE name = :name;

-- name: package_insert
INSERT INTO packages (name, description, default_version, tags, client_token, created_at, modified_at)
VALUES (:name, :description, :default_version, :tags, :client_token, :created_at, :modified_at);

-- name: package_update
UPDATE packages SET description = :description, default_version = :default_version, modified_at = :modified_at
WHERE name = :name;

-- name: package_delete
DELETE FROM packages WHERE name = :name;

-- name: packages_page
SELECT name, description, default_version, tags, created_at, modified_at FROM packages
WHERE name > :after ORDER BY name LIMIT :limit;

-- name: package_version
SELECT package, name, description, attributes, artifact_bucket, artifact_key, artifact_version, recipe, status, tags,
    client_token, created_at, modified_at
FROM package_versions WHERE package = :package AND name = :name;

-- name: package_version_insert
INSERT INTO package_versions (package, name, description, attributes, artifact_bucket, artifact_key, artifact_version,
    recipe, status, tags, client_token, created_at, modified_at)
VALUES (:package, :name, :description, :attributes, :artifact_bucket, :artifact_key, :artifact_version,
    :recipe, :status, :tags, :client_token, :created_at, :modified_at);

-- name: package_version_update
UPDATE package_versions SET description = :description, attributes = :attributes, artifact_bucket = :artifact_bucket,
    artifact_key = :artifact_key, artifact_version = :artifact_version, recipe = :recipe, status = :status,
    modified_at = :modified_at, update_token = :update_token
WHERE package = :package AND name = :name;

-- name: package_version_update_token
SELECT update_token FROM package_versions WHERE package = :package AND name = :name;

-- name: package_version_delete
DELETE FROM package_versions WHERE package = :package AND name = :name;

-- name: package_versions_page
SELECT name, status, created_at, modified_at FROM package_versions
WHERE package = :package AND name > :after ORDER BY name LIMIT :limit;

-- name: package_versions_of_status_page
SELECT name, status, created_at, modified_at FROM package_versions
WHERE package = :package AND status = :status AND name > :after ORDER BY name LIMIT :limit;
