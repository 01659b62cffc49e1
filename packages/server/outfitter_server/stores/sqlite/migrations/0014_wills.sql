-- What is published when a client is lost. due_at is NULL while it is connected, and set while its will waits for its delay.
-- Properties are the property block of MQTT 5. Times are milliseconds since the epoch.
CREATE TABLE mqtt_wills (
    client_id TEXT NOT NULL PRIMARY KEY,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    qos INTEGER NOT NULL,
    retain INTEGER NOT NULL,
    properties BLOB NOT NULL,
    delay_seconds INTEGER NOT NULL,
    due_at INTEGER
) STRICT, WITHOUT ROWID;
