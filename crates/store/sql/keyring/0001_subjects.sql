-- People as random subjects, found by keyed hashes of the identifiers seen for them. No identifier stands here in clear.

CREATE TABLE tenant_key (
    tenant_id text PRIMARY KEY,
    -- Sealed with the root key. The id-key never rotates: event ids hang on it.
    id_key text NOT NULL,
    pepper text NOT NULL
);

CREATE TABLE subject (
    tenant_id text NOT NULL,
    subject_id bytea NOT NULL CHECK (length(subject_id) = 16),
    PRIMARY KEY (tenant_id, subject_id)
);

CREATE TABLE lookup (
    tenant_id text NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    subject_id bytea NOT NULL,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, subject_id) REFERENCES subject ON DELETE CASCADE
);
CREATE INDEX lookup_by_subject ON lookup (tenant_id, subject_id);
