-- Retained messages.

-- name: retained_page
SELECT topic, payload, qos, properties, stored_at, expires_at FROM retained_messages
WHERE topic > :after ORDER BY topic LIMIT :limit;

-- name: retained_upsert
INSERT INTO retained_messages (topic, payload, qos, properties, stored_at, expires_at)
VALUES (:topic, :payload, :qos, :properties, :stored_at, :expires_at)
ON CONFLICT (topic) DO UPDATE SET payload = excluded.payload, qos = excluded.qos, properties = excluded.properties,
    stored_at = excluded.stored_at, expires_at = excluded.expires_at;

-- name: retained_delete
DELETE FROM retained_messages WHERE topic = :topic;
