-- Whose certificates are trusted, and how devices get their own: certificate authorities, provisioning templates, claims.

-- mode is DEFAULT or SNI_ONLY; an anchored certificate is trusted by itself, since no trusted authority vouches for it.
ALTER TABLE certificates ADD COLUMN mode TEXT NOT NULL DEFAULT 'DEFAULT';
ALTER TABLE certificates ADD COLUMN anchored INTEGER NOT NULL DEFAULT 0;
CREATE INDEX certificates_anchored ON certificates (id) WHERE anchored = 1;
CREATE INDEX certificates_by_issuer ON certificates (issuer_id, created_at, id);

-- subject is its name in DER, hex: by it the issuer of a certificate is found.
CREATE TABLE ca_certificates (
    id TEXT NOT NULL PRIMARY KEY,
    pem TEXT NOT NULL,
    subject TEXT NOT NULL,
    status TEXT NOT NULL,
    mode TEXT NOT NULL,
    auto_registration INTEGER NOT NULL,
    template TEXT,
    template_body TEXT,
    role_arn TEXT,
    generation_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    tags TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT;
CREATE INDEX ca_certificates_by_subject ON ca_certificates (subject, id);
CREATE INDEX ca_certificates_by_creation ON ca_certificates (created_at, id);

-- One row: what a verification certificate must name.
CREATE TABLE registration_code (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    code TEXT NOT NULL
) STRICT;

CREATE TABLE provisioning_templates (
    name TEXT NOT NULL PRIMARY KEY,
    description TEXT,
    type TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    role_arn TEXT NOT NULL,
    hook_arn TEXT,
    hook_payload TEXT,
    default_version INTEGER NOT NULL,
    last_version INTEGER NOT NULL,
    tags TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE provisioning_template_versions (
    template TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (template, version)
) STRICT, WITHOUT ROWID;

-- Certificates of CreateProvisioningClaim, which are in no listing; document is the policy that they have.
CREATE TABLE provisioning_claims (
    id TEXT NOT NULL PRIMARY KEY,
    template TEXT NOT NULL,
    document TEXT NOT NULL,
    subject TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX provisioning_claims_by_expiry ON provisioning_claims (expires_at);

-- Who holds a token (its SHA-256 is kept) may register a thing with the certificate, which goes when nobody has in time.
CREATE TABLE ownership_tokens (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    digest TEXT NOT NULL UNIQUE,
    certificate TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX ownership_tokens_by_expiry ON ownership_tokens (expires_at);
