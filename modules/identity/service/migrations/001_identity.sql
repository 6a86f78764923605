-- Somebody who shops or plays. kind: guest, customer, merged (a guest who turned out to be a
-- customer). The number is found by its keyed hash; what can be read of it lies in the profile,
-- sealed under the person's own key.
CREATE TABLE person (
    id ID PRIMARY KEY,
    kind TEXT NOT NULL,
    phone_hash BYTES,
    profile BYTES,
    merged_into ID,
    created_at INSTANT NOT NULL,
    CONSTRAINT person_known CHECK (kind <> 'customer' OR (phone_hash IS NOT NULL AND profile IS NOT NULL)),
    CONSTRAINT person_unknown CHECK (kind = 'customer' OR (phone_hash IS NULL AND profile IS NULL))
);
CREATE UNIQUE INDEX person_phone ON person (phone_hash);

-- The one code that a number has at a time, as a keyed hash that is bound to the number.
CREATE TABLE otp (
    phone_hash BYTES PRIMARY KEY,
    code_hash BYTES NOT NULL,
    tries BIGINT NOT NULL,
    expires_at INSTANT NOT NULL
);
CREATE INDEX otp_expiry ON otp (expires_at);

-- When something limited happened last: recent holds instants of 8 bytes each, oldest first. The
-- subject (a number, a device, an address, an account) is a keyed hash.
CREATE TABLE auth_limit (
    subject BYTES PRIMARY KEY,
    recent BYTES NOT NULL,
    expires_at INSTANT NOT NULL
);
CREATE INDEX auth_limit_expiry ON auth_limit (expires_at);

-- A login. generation counts refreshes: only the token of the current one is good.
CREATE TABLE session (
    id ID PRIMARY KEY,
    person_id ID,
    staff_id ID,
    device TEXT,
    generation BIGINT NOT NULL,
    created_at INSTANT NOT NULL,
    expires_at INSTANT NOT NULL,
    revoked_at INSTANT,
    CONSTRAINT session_whose CHECK ((person_id IS NULL) <> (staff_id IS NULL))
);
CREATE INDEX session_person ON session (person_id) WHERE revoked_at IS NULL;
CREATE INDEX session_staff ON session (staff_id) WHERE revoked_at IS NULL;
CREATE INDEX session_revoked ON session (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX session_expiry ON session (expires_at);

-- The merchant's people. The log-in name is sealed like any personal data.
CREATE TABLE staff (
    id ID PRIMARY KEY,
    email_hash BYTES NOT NULL,
    email BYTES NOT NULL,
    password TEXT NOT NULL,
    role TEXT NOT NULL,
    active BOOL NOT NULL,
    created_at INSTANT NOT NULL,
    login_at INSTANT
);
CREATE UNIQUE INDEX staff_email ON staff (email_hash);
