-- name: authority_by_id
SELECT id, pem, subject, status, mode, auto_registration, template, template_body, role_arn, generation_id, version,
       not_before, not_after, created_at, modified_at
FROM ca_certificates WHERE id = :id;

-- name: authorities_by_subject
-- Bounded: so many authorities of one name are registered at most.
SELECT id, pem, subject, status, mode, auto_registration, template, template_body, role_arn, generation_id, version,
       not_before, not_after, created_at, modified_at
FROM ca_certificates WHERE subject = :subject ORDER BY id;

-- name: authority_insert
INSERT INTO ca_certificates
    (id, pem, subject, status, mode, auto_registration, template, template_body, role_arn, generation_id, version, tags,
     not_before, not_after, created_at, modified_at)
VALUES
    (:id, :pem, :subject, :status, :mode, :auto_registration, :template, :template_body, :role_arn, :generation_id, 1,
     :tags, :not_before, :not_after, :now, :now);

-- name: authority_update
UPDATE ca_certificates
SET status = :status, auto_registration = :auto_registration, template = :template, template_body = :template_body,
    role_arn = :role_arn, version = version + 1, modified_at = :now
WHERE id = :id;

-- name: authority_delete
DELETE FROM ca_certificates WHERE id = :id;

-- name: authorities_newest_page
SELECT id, status, created_at FROM ca_certificates
WHERE (created_at, id) < (:created_at, :id) AND (:template IS NULL OR template = :template)
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: authorities_oldest_page
SELECT id, status, created_at FROM ca_certificates
WHERE (created_at, id) > (:created_at, :id) AND (:template IS NULL OR template = :template)
ORDER BY created_at, id LIMIT :limit;

-- name: authorities_beyond
-- Bounded: as many as may be registered.
SELECT id FROM ca_certificates WHERE created_at >= 0 ORDER BY created_at LIMIT 1 OFFSET :count;

-- name: authority_pems_page
SELECT id, pem FROM ca_certificates WHERE id > :after ORDER BY id LIMIT :limit;

-- name: anchored_pems_page
SELECT id, pem FROM certificates WHERE anchored = 1 AND id > :after ORDER BY id LIMIT :limit;

-- name: anchored_beyond
-- Bounded: as many as may be trusted by themselves.
SELECT id FROM certificates WHERE anchored = 1 AND id > '' ORDER BY id LIMIT 1 OFFSET :count;

-- name: certificates_of_authority_anchor
UPDATE certificates SET anchored = 1 WHERE issuer_id = :id;

-- name: certificates_of_authority_beyond
-- Bounded: as many as may be trusted by themselves.
SELECT id FROM certificates WHERE issuer_id = :issuer ORDER BY created_at, id LIMIT 1 OFFSET :count;

-- name: certificates_of_authority_newest_page
SELECT id, status, created_at, mode FROM certificates
WHERE issuer_id = :issuer AND (created_at, id) < (:created_at, :id) ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: certificates_of_authority_oldest_page
SELECT id, status, created_at, mode FROM certificates
WHERE issuer_id = :issuer AND (created_at, id) > (:created_at, :id) ORDER BY created_at, id LIMIT :limit;

-- name: registration_code
SELECT code FROM registration_code WHERE one = 1;

-- name: registration_code_insert
INSERT INTO registration_code (one, code) VALUES (1, :code);

-- name: registration_code_delete
DELETE FROM registration_code WHERE one = 1;
