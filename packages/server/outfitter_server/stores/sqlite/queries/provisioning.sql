-- name: provisioning_template_by_name
SELECT t.name, t.description, t.type, t.enabled, t.role_arn, t.hook_arn, t.hook_payload, t.default_version,
       t.last_version, t.created_at, t.modified_at, v.body
FROM provisioning_templates AS t
CROSS JOIN provisioning_template_versions AS v ON v.template = t.name AND v.version = t.default_version
WHERE t.name = :name;

-- name: provisioning_template_insert
INSERT INTO provisioning_templates
    (name, description, type, enabled, role_arn, hook_arn, hook_payload, default_version, last_version, tags,
     created_at, modified_at)
VALUES (:name, :description, :type, :enabled, :role_arn, :hook_arn, :hook_payload, 1, 1, :tags, :now, :now);

-- name: provisioning_template_update
UPDATE provisioning_templates
SET description = :description, enabled = :enabled, role_arn = :role_arn, hook_arn = :hook_arn,
    hook_payload = :hook_payload, default_version = :default_version, modified_at = :now
WHERE name = :name;

-- name: provisioning_template_delete
DELETE FROM provisioning_templates WHERE name = :name;

-- name: provisioning_templates_page
SELECT name, description, type, enabled, created_at, modified_at FROM provisioning_templates
WHERE name > :after ORDER BY name LIMIT :limit;

-- name: provisioning_template_new_version
UPDATE provisioning_templates SET last_version = :version, modified_at = :now WHERE name = :name;

-- name: provisioning_version_insert
INSERT INTO provisioning_template_versions (template, version, body, created_at)
VALUES (:template, :version, :body, :now);

-- name: provisioning_version
SELECT v.version, v.body, v.created_at, t.default_version
FROM provisioning_template_versions AS v CROSS JOIN provisioning_templates AS t ON t.name = v.template
WHERE v.template = :template AND v.version = :version;

-- name: provisioning_versions
-- Bounded: a template has at most five versions.
SELECT v.version, v.created_at, t.default_version
FROM provisioning_template_versions AS v CROSS JOIN provisioning_templates AS t ON t.name = v.template
WHERE v.template = :template ORDER BY v.version;

-- name: provisioning_version_delete
DELETE FROM provisioning_template_versions WHERE template = :template AND version = :version;

-- name: provisioning_versions_delete
DELETE FROM provisioning_template_versions WHERE template = :template;

-- name: claim_by_id
SELECT id, template, document, subject, expires_at FROM provisioning_claims WHERE id = :id;

-- name: claim_insert
INSERT INTO provisioning_claims (id, template, document, subject, expires_at)
VALUES (:id, :template, :document, :subject, :expires_at);

-- name: claims_expired
SELECT id FROM provisioning_claims WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit;

-- name: claim_delete
DELETE FROM provisioning_claims WHERE id = :id;

-- name: token_by_digest
SELECT certificate, expires_at FROM ownership_tokens WHERE digest = :digest;

-- name: token_insert
INSERT INTO ownership_tokens (digest, certificate, expires_at) VALUES (:digest, :certificate, :expires_at);

-- name: token_delete
DELETE FROM ownership_tokens WHERE digest = :digest;

-- name: tokens_expired
SELECT digest, certificate FROM ownership_tokens WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit;

-- name: tokens_span
-- Two probes of the key: how many were made since the oldest that is still there.
SELECT (SELECT min(seq) FROM ownership_tokens) AS first, (SELECT max(seq) FROM ownership_tokens) AS last;

-- name: claims_beyond
-- Bounded: as many as may be open, which expire within minutes.
SELECT id FROM provisioning_claims WHERE expires_at > 0 ORDER BY expires_at LIMIT 1 OFFSET :count;

-- name: certificate_delete_pending
DELETE FROM certificates WHERE id = :id AND status = 'PENDING_ACTIVATION';
