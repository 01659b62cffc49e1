-- Job templates.

-- name: job_template_by_id
SELECT id, description, created_at, document_source, role_arn, url_expires_seconds, configs, document
FROM job_templates WHERE id = :id;

-- name: job_template_insert
INSERT INTO job_templates (id, description, created_at, document_source, role_arn, url_expires_seconds, configs, tags,
                           document)
VALUES (:id, :description, :created_at, :document_source, :role_arn, :url_expires_seconds, :configs, :tags, :document);

-- name: job_template_delete
DELETE FROM job_templates WHERE id = :id;

-- name: job_templates_page
-- Without the documents, which may be large.
SELECT id, description, created_at FROM job_templates WHERE id > :after ORDER BY id LIMIT :limit;
