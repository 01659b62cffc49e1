-- Topic rules. Actions are JSON: they are read whole, and only when a rule changes or the server starts.

CREATE TABLE topic_rules (
    name TEXT NOT NULL PRIMARY KEY,
    sql TEXT NOT NULL,
    topic_filter TEXT NOT NULL,
    description TEXT,
    actions TEXT NOT NULL,
    error_action TEXT,
    disabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
