-- What stands until something newer is said: who answers in a conversation, calls, what people want, the address book, how
-- accounts, numbers and templates are, who is one person. One row for each thing; content is sealed as everywhere.

CREATE TABLE standing (
    tenant_id text NOT NULL,
    -- thread, call, preference, address_book, asset, person.
    side text NOT NULL,
    -- The conversation, call, person or asset.
    holder bytea NOT NULL,
    -- Which of its things: a preference's category, a template.
    item text NOT NULL,
    -- The higher rank stands, then the later: a call that ended does not ring.
    rank smallint NOT NULL,
    at_ms bigint NOT NULL,
    event_id bytea NOT NULL,
    -- The kind of that event.
    kind text NOT NULL,
    conversation_id bytea,
    -- NULL: about nobody, sealed for the tenant itself.
    subject_id bytea,
    content bytea NOT NULL,
    PRIMARY KEY (tenant_id, side, holder, item)
) WITH (fillfactor = 85);
CREATE INDEX standing_by_subject ON standing (tenant_id, subject_id);
CREATE INDEX standing_by_conversation ON standing (tenant_id, conversation_id) WHERE conversation_id IS NOT NULL;

ALTER TABLE standing ENABLE ROW LEVEL SECURITY;
ALTER TABLE standing FORCE ROW LEVEL SECURITY;
CREATE POLICY projector ON standing TO tidings_projector USING (true) WITH CHECK (true);
CREATE POLICY reader ON standing FOR SELECT TO tidings_reader USING (tenant_id = current_setting('app.tenant'));
CREATE POLICY keeper ON standing TO tidings_keeper USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON standing TO tidings_projector;
GRANT SELECT ON standing TO tidings_reader;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON standing TO tidings_keeper;

-- Another app answers: the live copy of a message stands before this one, this one before an imported one.
ALTER TABLE message ADD COLUMN standby boolean NOT NULL DEFAULT false;
