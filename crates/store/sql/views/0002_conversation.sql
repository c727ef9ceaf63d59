-- The conversation view. Content is bytes: JSON now, ciphertext once subjects have keys. Times are Unix milliseconds.

CREATE TABLE conversation (
    tenant_id text NOT NULL,
    conversation_id bytea NOT NULL,
    channel text NOT NULL,
    asset text NOT NULL,
    -- NULL while nobody was named, zeros once several were: a group.
    subject_id bytea,
    last_at_ms bigint NOT NULL,
    PRIMARY KEY (tenant_id, conversation_id)
) WITH (fillfactor = 75);

CREATE TABLE contact (
    tenant_id text NOT NULL,
    subject_id bytea NOT NULL,
    at_ms bigint NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (tenant_id, subject_id)
) WITH (fillfactor = 85);

CREATE TABLE message (
    tenant_id text NOT NULL,
    message_id bytea NOT NULL,
    conversation_id bytea NOT NULL,
    event_id bytea NOT NULL,
    direction text NOT NULL,
    kind text NOT NULL,
    imported boolean NOT NULL,
    at_ms bigint NOT NULL,
    -- Empty once the message was deleted.
    content bytea NOT NULL,
    PRIMARY KEY (tenant_id, message_id)
);
CREATE INDEX message_in_order ON message (tenant_id, conversation_id, at_ms, event_id);

CREATE TABLE message_edit (
    tenant_id text NOT NULL,
    message_id bytea NOT NULL,
    revision bigint NOT NULL,
    at_ms bigint NOT NULL,
    event_id bytea NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (tenant_id, message_id)
);

CREATE TABLE message_deletion (
    tenant_id text NOT NULL,
    message_id bytea NOT NULL,
    at_ms bigint NOT NULL,
    PRIMARY KEY (tenant_id, message_id)
);

CREATE TABLE reaction (
    tenant_id text NOT NULL,
    message_id bytea NOT NULL,
    -- The person's subject; empty for the business.
    actor bytea NOT NULL,
    direction text NOT NULL,
    at_ms bigint NOT NULL,
    event_id bytea NOT NULL,
    -- NULL once it was removed.
    content bytea,
    PRIMARY KEY (tenant_id, message_id, actor)
);

CREATE TABLE status (
    tenant_id text NOT NULL,
    message_id bytea NOT NULL,
    -- 0 none, 1 sent, 2 delivered, 3 read, 4 played: only rises.
    rank smallint NOT NULL,
    failed boolean NOT NULL,
    PRIMARY KEY (tenant_id, message_id)
) WITH (fillfactor = 75);

CREATE TABLE watermark (
    tenant_id text NOT NULL,
    conversation_id bytea NOT NULL,
    -- As in status: 2 delivered, 3 read.
    rank smallint NOT NULL,
    at_ms bigint NOT NULL,
    PRIMARY KEY (tenant_id, conversation_id, rank)
);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['conversation', 'contact', 'message', 'message_edit', 'message_deletion', 'reaction', 'status', 'watermark'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY projector ON %I TO tidings_projector USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY reader ON %I FOR SELECT TO tidings_reader USING (tenant_id = current_setting(''app.tenant''))', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO tidings_projector', name);
        EXECUTE format('GRANT SELECT ON %I TO tidings_reader', name);
    END LOOP;
END $$;
