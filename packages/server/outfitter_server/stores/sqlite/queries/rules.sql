-- name: topic_rule_by_name
SELECT name, sql, topic_filter, description, actions, error_action, disabled, created_at
FROM topic_rules WHERE name = :name;

-- name: topic_rules_page
SELECT name, sql, topic_filter, description, actions, error_action, disabled, created_at
FROM topic_rules WHERE name > :after ORDER BY name LIMIT :limit;

-- name: topic_rules_count
-- Bounded by :limit, so that it costs the same however many there are.
SELECT count(*) AS rules FROM (SELECT name FROM topic_rules WHERE name > '' LIMIT :limit);

-- name: topic_rule_put
INSERT INTO topic_rules (name, sql, topic_filter, description, actions, error_action, disabled, created_at)
VALUES (:name, :sql, :topic_filter, :description, :actions, :error_action, :disabled, :created_at)
ON CONFLICT (name) DO UPDATE SET
    sql = excluded.sql,
    topic_filter = excluded.topic_filter,
    description = excluded.description,
    actions = excluded.actions,
    error_action = excluded.error_action,
    disabled = excluded.disabled;

-- name: topic_rule_switch
UPDATE topic_rules SET disabled = :disabled WHERE name = :name;

-- name: topic_rule_delete
DELETE FROM topic_rules WHERE name = :name;
