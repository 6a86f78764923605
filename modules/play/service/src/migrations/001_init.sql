-- A match. `snapshot` is rewritten after every question, so that a match whose process died can
-- still be settled by what was scored; `lease_until` tells that its process is alive.
CREATE TABLE play_match (
    id ID PRIMARY KEY,
    game TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'finished')),
    snapshot JSON NOT NULL,
    started_at INSTANT NOT NULL,
    lease_until INSTANT NOT NULL
);
CREATE INDEX play_match_running ON play_match (lease_until) WHERE state = 'running';

-- What a person got out of a match; written once.
CREATE TABLE play_result (
    match_id ID NOT NULL REFERENCES play_match (id),
    person_id ID NOT NULL,
    game TEXT NOT NULL,
    score BIGINT NOT NULL,
    coins BIGINT NOT NULL,
    day TEXT NOT NULL,
    at INSTANT NOT NULL,
    PRIMARY KEY (match_id, person_id)
);
CREATE INDEX play_result_day ON play_result (person_id, day);

-- Sums of points; `span` is `all` or the Monday that a week starts with.
CREATE TABLE play_score (
    game TEXT NOT NULL,
    span TEXT NOT NULL,
    person_id ID NOT NULL,
    score BIGINT NOT NULL,
    reached_at INSTANT NOT NULL,
    PRIMARY KEY (game, span, person_id)
);
CREATE INDEX play_score_rank ON play_score (game, span, score, reached_at, person_id);

-- The public name of a player; deleted with the person.
CREATE TABLE play_nickname (
    person_id ID PRIMARY KEY,
    nickname TEXT NOT NULL
);
