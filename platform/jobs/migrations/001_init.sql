-- A job that is done is deleted; a dead one waits for a replay.
CREATE TABLE job (
    id ID PRIMARY KEY,
    kind TEXT NOT NULL,
    payload JSON NOT NULL,
    run_at INSTANT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    -- Counts on for ever: whose lease it is.
    run BIGINT NOT NULL DEFAULT 0,
    locked_until INSTANT,
    last_error TEXT,
    state TEXT NOT NULL DEFAULT 'ready' CONSTRAINT job_state CHECK (state IN ('ready', 'dead')),
    unique_key TEXT
);
CREATE INDEX job_due ON job (run_at) WHERE state = 'ready';
CREATE INDEX job_dead ON job (id) WHERE state = 'dead';
CREATE UNIQUE INDEX job_unique_key ON job (unique_key) WHERE unique_key IS NOT NULL;

CREATE TABLE job_schedule (
    name TEXT PRIMARY KEY,
    next_at INSTANT NOT NULL
);
