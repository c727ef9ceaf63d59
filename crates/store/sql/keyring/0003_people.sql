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
-- Of what changes hands, such as a number: since when it is known to be whose it is, and whose it was before.
ALTER TABLE lookup ADD COLUMN told_ms bigint;
ALTER TABLE lookup ADD COLUMN previous_id bytea;

GRANT SELECT, INSERT, UPDATE ON merged TO tidings_keyring_router;
GRANT SELECT ON kept_apart TO tidings_keyring_router;
GRANT SELECT ON merged, kept_apart TO tidings_keyring_opener;
GRANT SELECT, INSERT, UPDATE, DELETE ON merged, kept_apart TO tidings_keyring_keeper;

-- Numbers change hands, and what a site calls its visitors, and nothing else does: what was told later stands.
CREATE FUNCTION pass_on(tenant text, digests bytea[], heir bytea, at_ms bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    -- Whoever is being forgotten keeps theirs: it becomes a tombstone.
    SELECT FROM subject s JOIN lookup l USING (tenant_id, subject_id)
        WHERE l.tenant_id = tenant AND l.digest = ANY(digests) ORDER BY s.subject_id FOR KEY SHARE OF s;
    UPDATE lookup SET subject_id = heir, previous_id = subject_id, told_ms = at_ms
        WHERE tenant_id = tenant AND digest = ANY(digests) AND kind IN ('phone', 'user_ref') AND subject_id <> heir
          AND coalesce(told_ms, at_ms) <= at_ms;
$$;
REVOKE ALL ON FUNCTION pass_on FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pass_on TO tidings_keyring_router, tidings_keyring_keeper;
