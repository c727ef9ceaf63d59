-- Content is sealed for its person: whoever shows a row needs to know whose it is and which event sealed it.
-- What was written before is in clear and goes: the projections make the rows again from the log.

DELETE FROM projection_offset WHERE projection = 'conversation';
TRUNCATE conversation, contact, message, message_edit, message_deletion, reaction, status, watermark;

-- NULL: about nobody, sealed for the tenant itself.
ALTER TABLE message ADD COLUMN subject_id bytea;
ALTER TABLE message_edit ADD COLUMN subject_id bytea;
ALTER TABLE reaction ADD COLUMN subject_id bytea;
-- Zeros: about several, as in conversation.
ALTER TABLE message_deletion ADD COLUMN subject_id bytea;
ALTER TABLE status ADD COLUMN subject_id bytea;
ALTER TABLE watermark ADD COLUMN subject_id bytea;
ALTER TABLE contact ADD COLUMN event_id bytea NOT NULL;
CREATE INDEX message_by_subject ON message (tenant_id, subject_id);
CREATE INDEX message_edit_by_subject ON message_edit (tenant_id, subject_id);
CREATE INDEX reaction_by_subject ON reaction (tenant_id, subject_id);
CREATE INDEX message_deletion_by_subject ON message_deletion (tenant_id, subject_id);
CREATE INDEX status_by_subject ON status (tenant_id, subject_id);
CREATE INDEX watermark_by_subject ON watermark (tenant_id, subject_id);
CREATE INDEX conversation_by_subject ON conversation (tenant_id, subject_id);

-- A file that a message names, and what became of it; either may be known first.
CREATE TABLE attachment (
    tenant_id text NOT NULL,
    attachment_id bytea NOT NULL,
    subject_id bytea,
    message_id bytea,
    -- Of the event that names it: its place there.
    event_id bytea,
    position smallint,
    kind text,
    -- 0 pending, 1 failed, 2 expired, 3 refused, 4 stored: only rises.
    rank smallint NOT NULL,
    bytes bigint,
    media_type text,
    reason text,
    at_ms bigint NOT NULL,
    PRIMARY KEY (tenant_id, attachment_id)
) WITH (fillfactor = 85);
CREATE INDEX attachment_by_message ON attachment (tenant_id, message_id);
CREATE INDEX attachment_by_subject ON attachment (tenant_id, subject_id);

-- Whose rows are gone and stay gone, whatever is projected again.
CREATE TABLE forgotten (
    tenant_id text NOT NULL,
    subject_id bytea NOT NULL,
    PRIMARY KEY (tenant_id, subject_id)
);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['attachment', 'forgotten'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY projector ON %I TO tidings_projector USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY reader ON %I FOR SELECT TO tidings_reader USING (tenant_id = current_setting(''app.tenant''))', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO tidings_projector', name);
        EXECUTE format('GRANT SELECT ON %I TO tidings_reader', name);
    END LOOP;
END $$;

-- Items of people who were forgotten since they happened: dropped for good.
ALTER TABLE coverage_total ADD COLUMN forgotten bigint NOT NULL DEFAULT 0;

-- The attachments worker's own queue. It sees nothing else here.
DO $$ BEGIN
    CREATE ROLE tidings_attachments NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
    GRANT tidings_attachments TO CURRENT_USER;
EXCEPTION WHEN OTHERS THEN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = CURRENT_USER) THEN RAISE; END IF;
END $$;
GRANT USAGE ON SCHEMA public TO tidings_attachments;
GRANT SELECT ON schema_version TO tidings_attachments;

CREATE TABLE attachment_job (
    tenant_id text NOT NULL,
    attachment_id bytea NOT NULL,
    subject_id bytea NOT NULL,
    message_id bytea NOT NULL,
    position smallint NOT NULL,
    -- The event that names it, as the log has it: what it says is sealed.
    event bytea NOT NULL,
    queued_ms bigint NOT NULL,
    due_ms bigint NOT NULL,
    expires_ms bigint NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, attachment_id)
);
CREATE INDEX attachment_job_due ON attachment_job (due_ms);
CREATE INDEX attachment_job_by_message ON attachment_job (tenant_id, message_id);
CREATE INDEX attachment_job_by_subject ON attachment_job (tenant_id, subject_id);
-- Messages that were taken back: their files are not fetched any more, whatever comes first.
CREATE TABLE attachment_unsent (
    tenant_id text NOT NULL,
    message_id bytea NOT NULL,
    at_ms bigint NOT NULL,
    PRIMARY KEY (tenant_id, message_id)
);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['attachment_job', 'attachment_unsent'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY worker ON %I TO tidings_attachments USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO tidings_attachments', name);
    END LOOP;
END $$;
-- It need not fetch for somebody who was forgotten.
GRANT SELECT ON forgotten TO tidings_attachments;
CREATE POLICY worker ON forgotten FOR SELECT TO tidings_attachments USING (true);

-- The keeper removes what is no longer to be kept, and copies everything into backups.
DO $$ BEGIN
    CREATE ROLE tidings_keeper NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
    GRANT tidings_keeper TO CURRENT_USER;
EXCEPTION WHEN OTHERS THEN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = CURRENT_USER) THEN RAISE; END IF;
END $$;
GRANT USAGE ON SCHEMA public TO tidings_keeper;
GRANT SELECT ON schema_version TO tidings_keeper;
DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['conversation', 'contact', 'message', 'message_edit', 'message_deletion', 'reaction', 'status', 'watermark',
            'attachment', 'forgotten', 'attachment_job', 'attachment_unsent', 'audit_entry', 'audit_head', 'coverage_tenant'] LOOP
        EXECUTE format('CREATE POLICY keeper ON %I TO tidings_keeper USING (true) WITH CHECK (true)', name);
    END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON conversation, contact, message, message_edit, message_deletion, reaction, status, watermark,
    attachment, forgotten, attachment_job, attachment_unsent, audit_entry, audit_head, coverage_tenant,
    coverage_mark, coverage, coverage_total, quarantine, projection_offset TO tidings_keeper;
