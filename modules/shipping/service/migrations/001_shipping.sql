-- One parcel per order. Who receives it is not kept here: that is the order's, sealed.
CREATE TABLE parcel (
    order_id ID PRIMARY KEY,
    order_number TEXT NOT NULL,
    state TEXT NOT NULL,
    awb TEXT,
    courier TEXT,
    tracking_url TEXT,
    created_at INSTANT NOT NULL,
    pushed_at INSTANT,
    moved_at INSTANT NOT NULL,
    next_check_at INSTANT
);
CREATE UNIQUE INDEX parcel_number ON parcel (order_number);
CREATE INDEX parcel_due ON parcel (next_check_at) WHERE next_check_at IS NOT NULL;

-- Every scan that the courier ever reported.
CREATE TABLE parcel_scan (
    order_id ID NOT NULL REFERENCES parcel (order_id),
    at INSTANT NOT NULL,
    code TEXT NOT NULL,
    text TEXT NOT NULL,
    place TEXT,
    PRIMARY KEY (order_id, at, code)
);

-- That webhooks came and how much they nudged; what they say is not believed and not kept.
CREATE TABLE shipway_webhook (
    id ID PRIMARY KEY,
    body_sha256 BYTES NOT NULL,
    entries BIGINT NOT NULL,
    nudged BIGINT NOT NULL,
    received_at INSTANT NOT NULL
);
CREATE INDEX shipway_webhook_received ON shipway_webhook (received_at);
