-- What became of each item of each raw delivery. Positions and flags only: nothing of a person.

-- What a batch said of deliveries, one row a batch, until it is folded into the tables below (`coverage_mark.rs`). Batches of
-- many partitions come in side by side and never meet; one process folds (`coverage_fold.rs`).
CREATE TABLE coverage_mark (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- 0: what reached the output topics; 1: what the conversation projection applied.
    view smallint NOT NULL,
    marks bytea NOT NULL
);

-- Deliveries that are not settled: some item is nowhere yet, parked, in quarantine or not applied; or one before them is.
CREATE TABLE coverage (
    partition integer NOT NULL,
    raw_offset bigint NOT NULL,
    -- Every item is somewhere.
    accounted boolean NOT NULL,
    -- Items, or the whole delivery, that are in quarantine and nowhere else.
    quarantined integer NOT NULL,
    -- Flags an item (`coverage_state.rs`).
    state bytea NOT NULL,
    PRIMARY KEY (partition, raw_offset)
) WITH (fillfactor = 85);

-- Sums over all deliveries. Those below the watermark are accounted for; what is not in `coverage` of them is settled.
CREATE TABLE coverage_total (
    partition integer PRIMARY KEY,
    watermark bigint NOT NULL,
    items bigint NOT NULL,
    routed bigint NOT NULL,
    unroutable bigint NOT NULL,
    quarantined bigint NOT NULL,
    projected bigint NOT NULL
);

-- The same by tenant: items that became its events, and those that were applied.
CREATE TABLE coverage_tenant (
    tenant_id text PRIMARY KEY,
    routed bigint NOT NULL,
    projected bigint NOT NULL
);
ALTER TABLE coverage_tenant ENABLE ROW LEVEL SECURITY;
ALTER TABLE coverage_tenant FORCE ROW LEVEL SECURITY;
CREATE POLICY projector ON coverage_tenant TO tidings_projector USING (true) WITH CHECK (true);
-- Counts only: an operator who names no tenant sees every tenant's.
CREATE POLICY reader ON coverage_tenant FOR SELECT TO tidings_reader
    USING (coalesce(current_setting('app.tenant', true), '') IN ('', tenant_id));

CREATE TABLE quarantine (
    partition integer NOT NULL,
    raw_offset bigint NOT NULL,
    reason text NOT NULL,
    attempts integer NOT NULL,
    at_ms bigint NOT NULL,
    PRIMARY KEY (partition, raw_offset)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON coverage_mark, coverage, coverage_total, coverage_tenant, quarantine TO tidings_projector;
GRANT SELECT ON coverage_mark, coverage, coverage_total, coverage_tenant, quarantine TO tidings_reader;
