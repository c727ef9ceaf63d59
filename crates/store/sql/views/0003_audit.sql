-- The audit view: one hash chain per tenant, `_platform` for what concerns no tenant.

CREATE TABLE audit_entry (
    tenant_id text NOT NULL,
    sequence bigint NOT NULL,
    control_offset bigint NOT NULL,
    at_ms bigint NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (tenant_id, sequence)
);

CREATE TABLE audit_head (
    tenant_id text PRIMARY KEY,
    sequence bigint NOT NULL,
    hash bytea NOT NULL,
    public_key bytea NOT NULL,
    signature bytea NOT NULL
);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['audit_entry', 'audit_head'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY projector ON %I TO tidings_projector USING (true) WITH CHECK (true)', name);
        -- Which chains there are is no secret; what is in them is read chain by chain.
        EXECUTE format('CREATE POLICY reader ON %I FOR SELECT TO tidings_reader USING (tenant_id = current_setting(''app.tenant''))', name);
        EXECUTE format('GRANT SELECT ON %I TO tidings_reader', name);
    END LOOP;
END $$;
GRANT SELECT, INSERT ON audit_entry TO tidings_projector;
GRANT SELECT, INSERT, UPDATE ON audit_head TO tidings_projector;
