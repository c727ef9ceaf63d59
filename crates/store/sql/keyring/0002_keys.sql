-- Keys beside people: a tenant's key seals its people's keys, a person's key seals what they wrote. Forgetting a person is
-- deleting their row here.

ALTER TABLE tenant_key ADD COLUMN created_ms bigint NOT NULL DEFAULT 0;

-- A tenant's key, sealed with the root key. The newest generation seals; the others open what they sealed.
CREATE TABLE tenant_key_generation (
    tenant_id text NOT NULL REFERENCES tenant_key ON DELETE CASCADE,
    generation smallint NOT NULL CHECK (generation > 0),
    sealed text NOT NULL,
    PRIMARY KEY (tenant_id, generation)
);

-- A person's key, sealed with the tenant's key of that generation.
CREATE TABLE subject_key (
    tenant_id text NOT NULL,
    subject_id bytea NOT NULL,
    generation smallint NOT NULL CHECK (generation > 0),
    sealed bytea NOT NULL,
    PRIMARY KEY (tenant_id, subject_id, generation),
    FOREIGN KEY (tenant_id, subject_id) REFERENCES subject ON DELETE CASCADE
);

-- What kind of identifier it is, for an operator who asks what is known.
ALTER TABLE lookup ADD COLUMN kind text NOT NULL DEFAULT 'unknown';

-- Something that may lead to a person but does not make them who they are, such as a user name.
CREATE TABLE hint (
    tenant_id text NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    subject_id bytea NOT NULL,
    PRIMARY KEY (tenant_id, digest, subject_id),
    FOREIGN KEY (tenant_id, subject_id) REFERENCES subject ON DELETE CASCADE
);
CREATE INDEX hint_by_subject ON hint (tenant_id, subject_id);

-- An identifier whose person was forgotten then: what happened before it is a repeat, and is dropped.
CREATE TABLE tombstone (
    tenant_id text NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    erased_ms bigint NOT NULL,
    PRIMARY KEY (tenant_id, digest)
);
CREATE INDEX tombstone_by_age ON tombstone (erased_ms);

-- Access tokens of assets, sealed with the tenant's key of that generation.
CREATE TABLE asset_token (
    tenant_id text NOT NULL,
    asset text NOT NULL,
    sealed bytea NOT NULL,
    at_ms bigint NOT NULL,
    PRIMARY KEY (tenant_id, asset)
);

-- Who remembers keys, and up to which offset of control it has forgotten what it had to.
CREATE TABLE holder (
    holder text PRIMARY KEY,
    seen_ms bigint NOT NULL,
    evicted bigint NOT NULL
);

-- Who may do what: the router makes people, openers only read keys, the keeper destroys them.
DO $$ BEGIN
    CREATE ROLE tidings_keyring_router NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
    CREATE ROLE tidings_keyring_opener NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
    CREATE ROLE tidings_keyring_keeper NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
    GRANT tidings_keyring_router, tidings_keyring_opener, tidings_keyring_keeper TO CURRENT_USER;
EXCEPTION WHEN OTHERS THEN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = CURRENT_USER) THEN RAISE; END IF;
END $$;
GRANT USAGE ON SCHEMA public TO tidings_keyring_router, tidings_keyring_opener, tidings_keyring_keeper;
GRANT SELECT ON schema_version TO tidings_keyring_router, tidings_keyring_opener, tidings_keyring_keeper;
GRANT SELECT, INSERT, UPDATE, DELETE ON holder TO tidings_keyring_router, tidings_keyring_opener, tidings_keyring_keeper;
GRANT SELECT, INSERT ON tenant_key, tenant_key_generation, subject_key, hint TO tidings_keyring_router;
GRANT SELECT, INSERT ON subject, lookup TO tidings_keyring_router;
-- It takes back people of its own that another process met first: those that its transaction has just made, and no others.
CREATE FUNCTION take_back(tenants text[], ours bytea[], theirs bytea[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE lookup l SET subject_id = a.theirs
        FROM unnest(tenants, ours, theirs) AS a (tenant_id, ours, theirs)
        JOIN subject s ON s.tenant_id = a.tenant_id AND s.subject_id = a.ours AND s.xmin = pg_current_xact_id()::xid
        WHERE l.tenant_id = a.tenant_id AND l.subject_id = a.ours;
    DELETE FROM subject s USING unnest(tenants, ours) AS a (tenant_id, ours)
        WHERE s.tenant_id = a.tenant_id AND s.subject_id = a.ours AND s.xmin = pg_current_xact_id()::xid;
$$;
REVOKE ALL ON FUNCTION take_back FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_back TO tidings_keyring_router, tidings_keyring_keeper;
GRANT SELECT ON tombstone TO tidings_keyring_router;
GRANT SELECT ON tenant_key, tenant_key_generation, subject, subject_key, lookup, hint, tombstone, asset_token TO tidings_keyring_opener;
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_key, tenant_key_generation, subject, subject_key, lookup, hint, tombstone, asset_token TO tidings_keyring_keeper;
