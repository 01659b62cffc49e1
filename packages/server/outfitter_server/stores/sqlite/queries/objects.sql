-- Statements of the file store (services/buckets.py, objects.py, uploads.py).

-- name: bucket_by_name
SELECT name, created_at, policy, cors FROM buckets WHERE name = :name

-- name: bucket_insert
INSERT INTO buckets (name, created_at) VALUES (:name, :created_at)

-- name: bucket_delete
DELETE FROM buckets WHERE name = :name

-- name: buckets_page
SELECT name, created_at FROM buckets WHERE name > :after ORDER BY name LIMIT :limit

-- name: bucket_set_policy
UPDATE buckets SET policy = :policy WHERE name = :name

-- name: bucket_set_cors
UPDATE buckets SET cors = :cors WHERE name = :name

-- name: bucket_holds_object
SELECT 1 FROM objects WHERE bucket = :bucket LIMIT 1

-- name: bucket_holds_upload
SELECT 1 FROM uploads WHERE bucket = :bucket LIMIT 1

-- name: object_by_key
SELECT bucket, key, blob, size, etag, modified_at, headers, checksum FROM objects WHERE bucket = :bucket AND key = :key

-- name: object_put
INSERT INTO objects (bucket, key, blob, size, etag, modified_at, headers, checksum)
VALUES (:bucket, :key, :blob, :size, :etag, :modified_at, :headers, :checksum)
ON CONFLICT (bucket, key) DO UPDATE SET
    blob = excluded.blob, size = excluded.size, etag = excluded.etag, modified_at = excluded.modified_at,
    headers = excluded.headers, checksum = excluded.checksum

-- name: object_delete
DELETE FROM objects WHERE bucket = :bucket AND key = :key

-- name: objects_from
-- A listing's seek: the index is in S3's order already.
SELECT key, size, etag, modified_at, checksum FROM objects
WHERE bucket = :bucket AND key >= :start ORDER BY key LIMIT :limit

-- name: blobs_named
-- Which of these blobs some row still names.
SELECT k.value AS blob FROM json_each(:blobs) AS k
WHERE EXISTS (SELECT 1 FROM objects WHERE objects.blob = k.value)
    OR EXISTS (SELECT 1 FROM upload_parts WHERE upload_parts.blob = k.value)
    OR EXISTS (SELECT 1 FROM functions WHERE functions.code_blob = k.value)

-- name: upload_insert
INSERT INTO uploads (id, bucket, key, created_at, headers, algorithm, checksum_type)
VALUES (:id, :bucket, :key, :created_at, :headers, :algorithm, :checksum_type)

-- name: upload_by_id
SELECT id, bucket, key, created_at, headers, algorithm, checksum_type FROM uploads WHERE id = :id

-- name: upload_delete
DELETE FROM uploads WHERE id = :id

-- name: uploads_from
-- Uploads behind (key, id) in their order; the caller stops at its prefix's end.
SELECT id, bucket, key, created_at, headers, algorithm, checksum_type FROM uploads
WHERE bucket = :bucket AND (key, id) > (:key, :id) ORDER BY key, id LIMIT :limit

-- name: part_put
INSERT INTO upload_parts (upload, number, blob, size, etag, modified_at, checksum)
VALUES (:upload, :number, :blob, :size, :etag, :modified_at, :checksum)
ON CONFLICT (upload, number) DO UPDATE SET
    blob = excluded.blob, size = excluded.size, etag = excluded.etag, modified_at = excluded.modified_at,
    checksum = excluded.checksum

-- name: part_by_number
SELECT blob FROM upload_parts WHERE upload = :upload AND number = :number

-- name: parts_page
SELECT number, blob, size, etag, modified_at, checksum FROM upload_parts
WHERE upload = :upload AND number > :after ORDER BY number LIMIT :limit

-- name: parts_delete
DELETE FROM upload_parts WHERE upload = :upload
