-- Each person's data key, wrapped under the master key with this id. A destroyed key keeps its row,
-- without the key, as the proof that the person was erased and when.
CREATE TABLE person_key (
    person_id ID PRIMARY KEY,
    wrapped BYTES NOT NULL,
    master_id TEXT NOT NULL,
    created_at INSTANT NOT NULL,
    destroyed_at INSTANT
);

-- The keys that sign access tokens; the private half is sealed under the master key.
CREATE TABLE signing_key (
    kid TEXT PRIMARY KEY,
    public BYTES NOT NULL,
    sealed_private BYTES NOT NULL,
    master_id TEXT NOT NULL,
    created_at INSTANT NOT NULL,
    retired_at INSTANT
);
