-- What the message broker keeps: retained messages, and the sessions that outlive their connections.
-- Properties are the property block of MQTT 5. Times are milliseconds since the epoch.

CREATE TABLE retained_messages (
    topic TEXT NOT NULL PRIMARY KEY,
    payload BLOB NOT NULL,
    qos INTEGER NOT NULL,
    properties BLOB NOT NULL,
    stored_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;

-- left_at is NULL while its client is connected; a start of the server takes the place of a departure that was not seen.
CREATE TABLE mqtt_sessions (
    client_id TEXT NOT NULL PRIMARY KEY,
    expiry_seconds INTEGER NOT NULL,
    left_at INTEGER
) STRICT, WITHOUT ROWID;

-- revision is the newest that was acknowledged, of a filter for notifications that are computed.
CREATE TABLE mqtt_subscriptions (
    client_id TEXT NOT NULL,
    filter TEXT NOT NULL,
    qos INTEGER NOT NULL,
    identifier INTEGER NOT NULL,
    as_published INTEGER NOT NULL,
    revision INTEGER,
    PRIMARY KEY (client_id, filter)
) STRICT, WITHOUT ROWID;

-- packet_id is 0 for what was not sent yet; sequence is the order of arrival.
CREATE TABLE mqtt_messages (
    client_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    packet_id INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    retain INTEGER NOT NULL,
    properties BLOB NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (client_id, sequence)
) STRICT, WITHOUT ROWID;
