-- One writer at a time: the order of seq is the order of commits.
CREATE TABLE outbox (
    seq BIGINT PRIMARY KEY,
    id ID NOT NULL,
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    payload JSON NOT NULL,
    at INSTANT NOT NULL,
    claimed_until INSTANT,
    done_at INSTANT
);
CREATE INDEX outbox_open ON outbox (seq) WHERE done_at IS NULL;
CREATE INDEX outbox_done ON outbox (done_at) WHERE done_at IS NOT NULL;

CREATE TABLE outbox_retry (
    seq BIGINT NOT NULL,
    consumer TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    -- NULL: given up, waits for a replay.
    next_at INSTANT,
    last_error TEXT NOT NULL,
    PRIMARY KEY (seq, consumer)
) WITHOUT ROWID;
CREATE INDEX outbox_retry_next ON outbox_retry (next_at);
