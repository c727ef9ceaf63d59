-- The loss equation by tenant: how many items became a tenant's events, and how many of them were applied.

-- The bits of `routed` that the last write to this row set and no earlier one had: what that write may count.
ALTER TABLE coverage ADD COLUMN fresh varbit NOT NULL DEFAULT '';

CREATE FUNCTION beyond(new varbit, known varbit) RETURNS varbit LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN length(new) = length(known) THEN new & ~known ELSE new END
$$;

CREATE TABLE coverage_tenant (
    tenant_id text NOT NULL,
    -- As in `coverage`.
    view smallint NOT NULL,
    -- The partition of `events` that was read: each is counted in rows of its own, so none waits for another.
    source integer NOT NULL,
    items bigint NOT NULL,
    PRIMARY KEY (tenant_id, view, source)
) WITH (fillfactor = 50);

ALTER TABLE coverage_tenant ENABLE ROW LEVEL SECURITY;
ALTER TABLE coverage_tenant FORCE ROW LEVEL SECURITY;
CREATE POLICY projector ON coverage_tenant TO tidings_projector USING (true) WITH CHECK (true);
-- Counts only: an operator who names no tenant sees every tenant's.
CREATE POLICY reader ON coverage_tenant FOR SELECT TO tidings_reader
    USING (coalesce(current_setting('app.tenant', true), '') IN ('', tenant_id));
GRANT SELECT, INSERT, UPDATE, DELETE ON coverage_tenant TO tidings_projector;
GRANT SELECT ON coverage_tenant TO tidings_reader;

-- How rows leave `coverage` without a lock: see `coverage_fold.rs`. Below `safe` every transaction knows the watermark; the
-- barrier is the first transaction that surely does.
ALTER TABLE coverage_total ADD COLUMN safe bigint NOT NULL DEFAULT 0, ADD COLUMN barrier xid8;
UPDATE coverage_total SET safe = watermark;
INSERT INTO coverage (view, partition, raw_offset, whole, routed, parked, quarantined)
SELECT 1, c.partition, c.raw_offset, 0, none, none, none
FROM coverage c JOIN coverage_total t ON t.partition = c.partition AND c.view = 0 AND c.raw_offset < t.watermark,
     LATERAL (SELECT repeat('0', length(c.routed))::varbit AS none) n
ON CONFLICT DO NOTHING;
