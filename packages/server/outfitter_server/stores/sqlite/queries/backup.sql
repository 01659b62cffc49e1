-- name: backup_blobs
-- Every blob that a row names, with its length: asked of a private copy of the state, by a backup or a restore.
SELECT blob, size FROM objects
UNION SELECT blob, size FROM upload_parts
UNION SELECT code_blob, code_size FROM functions;
