-- Subjects that turned out to be one person, and those that an operator said are not. A person is named by the smallest of
-- their subjects; lookups stay with the subject they were made for, so that a person can be taken apart again.

CREATE TABLE merged (
    tenant_id text NOT NULL,
    subject_id bytea NOT NULL,
    -- The person's smallest subject, which has no row itself.
    into_id bytea NOT NULL,
    PRIMARY KEY (tenant_id, subject_id),
    CHECK (into_id < subject_id),
    FOREIGN KEY (tenant_id, subject_id) REFERENCES subject ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, into_id) REFERENCES subject ON DELETE CASCADE
);
CREATE INDEX merged_by_into ON merged (tenant_id, into_id);

-- No payload makes these one person again; an operator may.
CREATE TABLE kept_apart (
    tenant_id text NOT NULL,
    one_id bytea NOT NULL,
    other_id bytea NOT NULL,
    PRIMARY KEY (tenant_id, one_id, other_id),
    CHECK (one_id < other_id),
    FOREIGN KEY (tenant_id, one_id) REFERENCES subject ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, other_id) REFERENCES subject ON DELETE CASCADE
);
CREATE INDEX kept_apart_by_other ON kept_apart (tenant_id, other_id);

-- Within which a person has one identifier of this kind, as a digest: two in one scope are two people.
ALTER TABLE lookup ADD COLUMN scope bytea CHECK (length(scope) = 32);
-- Of a number that somebody else has now: when that was told last.
ALTER TABLE lookup ADD COLUMN passed_ms bigint;

GRANT SELECT, INSERT, UPDATE ON merged TO tidings_keyring_router;
GRANT SELECT ON kept_apart TO tidings_keyring_router;
GRANT SELECT ON merged, kept_apart TO tidings_keyring_opener;
GRANT SELECT, INSERT, UPDATE, DELETE ON merged, kept_apart TO tidings_keyring_keeper;

-- Numbers change hands, and nothing else does: what was told later stands.
CREATE FUNCTION pass_on(tenant text, digests bytea[], heir bytea, told_ms bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE lookup SET subject_id = heir, passed_ms = told_ms
        WHERE tenant_id = tenant AND digest = ANY(digests) AND kind = 'phone' AND subject_id <> heir
          AND coalesce(passed_ms, told_ms) <= told_ms;
$$;
REVOKE ALL ON FUNCTION pass_on FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pass_on TO tidings_keyring_router, tidings_keyring_keeper;
