-- What runs where, and whether that is recorded.

-- name: package_configuration
SELECT enabled, role_arn FROM package_configuration WHERE id = 1;

-- name: package_configuration_update
UPDATE package_configuration SET enabled = :enabled, role_arn = :role_arn WHERE id = 1;

-- name: installed_package_set
INSERT INTO installed_packages (thing, package, version, updated_at) VALUES (:thing, :package, :version, :now)
ON CONFLICT (thing, package) DO UPDATE SET version = excluded.version, updated_at = excluded.updated_at
WHERE version <> excluded.version;

-- name: package_shadow_changed
INSERT INTO package_shadows (thing, version, updated_at) VALUES (:thing, 1, :now)
ON CONFLICT (thing) DO UPDATE SET version = version + 1, updated_at = excluded.updated_at;

-- name: package_shadow
SELECT version, updated_at FROM package_shadows WHERE thing = :thing;

-- name: installed_packages_of_thing
SELECT installed_packages.package, installed_packages.version, installed_packages.updated_at, package_versions.attributes
FROM installed_packages LEFT JOIN package_versions
  ON package_versions.package = installed_packages.package AND package_versions.name = installed_packages.version
WHERE installed_packages.thing = :thing ORDER BY installed_packages.package;

-- name: installed_packages_of_things
-- (thing, package, version) of each of these things.
SELECT installed_packages.thing, installed_packages.package, installed_packages.version
FROM json_each(:things) AS k CROSS JOIN installed_packages ON installed_packages.thing = k.value;

-- name: things_running_page
SELECT thing FROM installed_packages
WHERE package = :package AND version = :version AND thing > :after ORDER BY thing LIMIT :limit;

-- name: things_with_package_page
-- Things that run any version of a package, by version and name.
SELECT version, thing FROM installed_packages
WHERE package = :package AND (version, thing) > (:after_version, :after) ORDER BY version, thing LIMIT :limit;

-- name: installed_packages_delete
DELETE FROM installed_packages WHERE thing = :thing;

-- name: package_shadow_delete
DELETE FROM package_shadows WHERE thing = :thing;
