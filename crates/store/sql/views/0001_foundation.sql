-- Roles, and how far each projection has come.

DO $$ BEGIN
    CREATE ROLE tidings_projector NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
    CREATE ROLE tidings_reader NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
    GRANT tidings_projector, tidings_reader TO CURRENT_USER;
EXCEPTION WHEN OTHERS THEN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = CURRENT_USER) THEN RAISE; END IF;
END $$;
GRANT USAGE ON SCHEMA public TO tidings_projector, tidings_reader;
GRANT SELECT ON schema_version TO tidings_projector, tidings_reader;

CREATE TABLE projection_offset (
    projection text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next bigint NOT NULL,
    PRIMARY KEY (projection, topic, partition)
);
GRANT SELECT, INSERT, UPDATE ON projection_offset TO tidings_projector;
GRANT SELECT ON projection_offset TO tidings_reader;
