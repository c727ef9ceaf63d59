-- What became of each item of each raw delivery. Positions and bits only: nothing of a tenant or a person.

CREATE TABLE coverage (
    -- 0: what reached the output topics; 1: what the conversation projection applied.
    view smallint NOT NULL,
    partition integer NOT NULL,
    raw_offset bigint NOT NULL,
    -- 0 nothing, 1 the delivery holds no item, 2 the whole delivery is in quarantine.
    whole smallint NOT NULL,
    -- A bit an item, all of the same length.
    routed varbit NOT NULL,
    parked varbit NOT NULL,
    quarantined varbit NOT NULL,
    PRIMARY KEY (view, partition, raw_offset)
) WITH (fillfactor = 85);

-- Deliveries below the watermark are all accounted for; those of which every item became an event and was applied have left
-- `coverage`, in both views, and are counted here.
CREATE TABLE coverage_total (
    partition integer PRIMARY KEY,
    watermark bigint NOT NULL,
    items bigint NOT NULL
);

CREATE TABLE quarantine (
    partition integer NOT NULL,
    raw_offset bigint NOT NULL,
    reason text NOT NULL,
    attempts integer NOT NULL,
    at_ms bigint NOT NULL,
    PRIMARY KEY (partition, raw_offset)
);

-- Bits of two looks at the same delivery; the longer one counts when an earlier look could not tell how many there are.
CREATE FUNCTION either(a varbit, b varbit) RETURNS varbit LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN length(a) = length(b) THEN a | b WHEN length(a) > length(b) THEN a ELSE b END
$$;

GRANT SELECT, INSERT, UPDATE, DELETE ON coverage, coverage_total, quarantine TO tidings_projector;
GRANT SELECT ON coverage, coverage_total, quarantine TO tidings_reader;
