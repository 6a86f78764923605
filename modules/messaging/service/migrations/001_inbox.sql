-- A message to a person. No personal data: titles and texts name things, not people.
CREATE TABLE inbox_message (
    id ID PRIMARY KEY,
    person_id ID NOT NULL,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    link TEXT,
    created_at INSTANT NOT NULL,
    read_at INSTANT
);
CREATE INDEX inbox_message_of ON inbox_message (person_id, created_at, id);
CREATE INDEX inbox_message_unread ON inbox_message (person_id) WHERE read_at IS NULL;

-- Whose messages follow to whom: messages to a guest can still be on their way at the login.
CREATE TABLE inbox_merge (
    from_person ID PRIMARY KEY,
    to_person ID NOT NULL
);
