-- Sessions of the message broker that outlive their connections. They are read when the server starts, and written otherwise.

-- name: mqtt_sessions_page
SELECT client_id, expiry_seconds, left_at, identifier FROM mqtt_sessions WHERE client_id > :after ORDER BY client_id LIMIT :limit;

-- name: mqtt_subscriptions_of
SELECT filter, qos, identifier, as_published, revision FROM mqtt_subscriptions WHERE client_id = :client_id;

-- name: mqtt_messages_of
SELECT sequence, packet_id, topic, payload, retain, properties, expires_at FROM mqtt_messages
WHERE client_id = :client_id ORDER BY sequence;

-- name: mqtt_session_upsert
INSERT INTO mqtt_sessions (client_id, expiry_seconds, left_at, identifier)
VALUES (:client_id, :expiry_seconds, :left_at, :identifier)
ON CONFLICT (client_id) DO UPDATE
SET expiry_seconds = excluded.expiry_seconds, left_at = excluded.left_at, identifier = excluded.identifier;

-- name: mqtt_session_delete
DELETE FROM mqtt_sessions WHERE client_id = :client_id;

-- name: mqtt_subscriptions_delete
DELETE FROM mqtt_subscriptions WHERE client_id = :client_id;

-- name: mqtt_messages_delete
DELETE FROM mqtt_messages WHERE client_id = :client_id;

-- name: mqtt_subscription_upsert
INSERT INTO mqtt_subscriptions (client_id, filter, qos, identifier, as_published, revision)
VALUES (:client_id, :filter, :qos, :identifier, :as_published, :revision)
ON CONFLICT (client_id, filter) DO UPDATE SET qos = excluded.qos, identifier = excluded.identifier,
    as_published = excluded.as_published, revision = excluded.revision;

-- name: mqtt_subscription_delete
DELETE FROM mqtt_subscriptions WHERE client_id = :client_id AND filter = :filter;

-- name: mqtt_subscription_told
UPDATE mqtt_subscriptions SET revision = :revision WHERE client_id = :client_id AND filter = :filter;

-- name: mqtt_message_insert
INSERT OR REPLACE INTO mqtt_messages (client_id, sequence, packet_id, topic, payload, retain, properties, expires_at)
VALUES (:client_id, :sequence, :packet_id, :topic, :payload, :retain, :properties, :expires_at);

-- name: mqtt_message_sent
UPDATE mqtt_messages SET packet_id = :packet_id WHERE client_id = :client_id AND sequence = :sequence;

-- name: mqtt_message_delete
DELETE FROM mqtt_messages WHERE client_id = :client_id AND sequence = :sequence;

-- name: mqtt_wills_page
SELECT client_id, topic, payload, qos, retain, properties, delay_seconds, due_at FROM mqtt_wills
WHERE client_id > :after ORDER BY client_id LIMIT :limit;

-- name: mqtt_will_upsert
INSERT OR REPLACE INTO mqtt_wills (client_id, topic, payload, qos, retain, properties, delay_seconds, due_at)
VALUES (:client_id, :topic, :payload, :qos, :retain, :properties, :delay_seconds, :due_at);

-- name: mqtt_will_delete
DELETE FROM mqtt_wills WHERE client_id = :client_id;
