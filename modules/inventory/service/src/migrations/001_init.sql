CREATE TABLE location (
    id ID PRIMARY KEY,
    name TEXT NOT NULL,
    gstin TEXT NOT NULL,
    state_code TEXT NOT NULL,
    address TEXT NOT NULL,
    pincode TEXT NOT NULL,
    created_at INSTANT NOT NULL
);

-- The check is the last line of defence against overselling: no code path can get round it.
CREATE TABLE stock (
    variant_id ID NOT NULL,
    location_id ID NOT NULL,
    on_hand BIGINT NOT NULL,
    reserved BIGINT NOT NULL,
    PRIMARY KEY (variant_id, location_id),
    CONSTRAINT stock_enough CHECK (reserved >= 0 AND reserved <= on_hand)
) WITHOUT ROWID;

-- One row per order, so that it is claimed, released or lapses as a whole: two transactions can
-- never each get a part of it. `lines` is [[variant, quantity], …].
CREATE TABLE reservation (
    order_id ID PRIMARY KEY,
    location_id ID NOT NULL,
    lines JSON NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('held', 'claimed', 'shipped', 'released')),
    expires_at INSTANT
);
CREATE INDEX reservation_lapsing ON reservation (expires_at) WHERE state = 'held';
