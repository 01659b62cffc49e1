-- name: certificate_by_id
SELECT id, pem, status, subject, issuer_id, generation_id, version, not_before, not_after, created_at, modified_at, mode,
       anchored
FROM certificates WHERE id = :id;

-- name: certificate_insert
INSERT INTO certificates
    (id, pem, status, subject, issuer_id, generation_id, version, not_before, not_after, created_at, modified_at, mode,
     anchored)
VALUES
    (:id, :pem, :status, :subject, :issuer_id, :generation_id, 1, :not_before, :not_after, :now, :now, :mode, :anchored);

-- name: certificate_status
UPDATE certificates SET status = :status, version = version + 1, modified_at = :now WHERE id = :id;

-- name: certificate_delete
DELETE FROM certificates WHERE id = :id;

-- name: certificates_newest_page
SELECT id, status, created_at, mode FROM certificates
WHERE (created_at, id) < (:created_at, :id) ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: certificates_oldest_page
SELECT id, status, created_at, mode FROM certificates
WHERE (created_at, id) > (:created_at, :id) ORDER BY created_at, id LIMIT :limit;

-- name: principal_attach
INSERT INTO thing_principals (thing, certificate, exclusive) VALUES (:thing, :certificate, :exclusive);

-- name: principal_detach
DELETE FROM thing_principals WHERE thing = :thing AND certificate = :certificate;

-- name: principal_of_thing
SELECT exclusive FROM thing_principals WHERE thing = :thing AND certificate = :certificate;

-- name: principals_of_thing_count
-- Bounded: a thing has at most a hundred certificates.
SELECT count(*) AS attached FROM thing_principals WHERE thing = :thing;

-- name: certificates_of_thing
SELECT certificate FROM thing_principals WHERE thing = :thing ORDER BY certificate;

-- name: certificates_of_thing_page
SELECT certificate, exclusive FROM thing_principals
WHERE thing = :thing AND certificate > :after ORDER BY certificate LIMIT :limit;

-- name: things_of_certificate
-- Bounded: a certificate has at most a hundred things.
SELECT thing, exclusive FROM thing_principals WHERE certificate = :certificate ORDER BY thing;

-- name: things_of_certificate_page
SELECT thing, exclusive FROM thing_principals
WHERE certificate = :certificate AND thing > :after ORDER BY thing LIMIT :limit;

-- name: identity_by_id
-- Read at each connect; its things and documents follow by their own keys.
SELECT status, subject FROM certificates WHERE id = :id;

-- name: documents_of_certificate
-- The default versions of every policy on the certificate, on a group of one of its things, or on a group above that.
SELECT DISTINCT v.document
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
