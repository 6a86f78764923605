-- One payment collects one amount for one order. `captured` is what arrived, `refunded` what is
-- going back or went back. `kept` marks the payment that pays the order: at most one per order.
CREATE TABLE payment (
    id ID PRIMARY KEY,
    order_id ID NOT NULL,
    order_number TEXT NOT NULL,
    person_id ID NOT NULL,
    method TEXT NOT NULL,
    state TEXT NOT NULL,
    amount BIGINT NOT NULL,
    captured BIGINT NOT NULL,
    refunded BIGINT NOT NULL,
    kept BOOL NOT NULL,
    gateway_order_id TEXT,
    gateway_payment_id TEXT,
    failure TEXT,
    created_at INSTANT NOT NULL,
    updated_at INSTANT NOT NULL,
    next_check_at INSTANT,
    CONSTRAINT payment_amounts CHECK (
        amount >= 0 AND captured >= 0 AND captured <= amount AND refunded >= 0 AND refunded <= captured
    )
);
CREATE INDEX payment_order ON payment (order_id);
CREATE UNIQUE INDEX payment_gateway_order ON payment (gateway_order_id) WHERE gateway_order_id IS NOT NULL;
CREATE UNIQUE INDEX payment_gateway_payment ON payment (gateway_payment_id) WHERE gateway_payment_id IS NOT NULL;
CREATE UNIQUE INDEX payment_keeps ON payment (order_id) WHERE kept;
CREATE INDEX payment_due ON payment (next_check_at) WHERE next_check_at IS NOT NULL;

-- `surplus`: of money that arrived beside the payment (a second one for the same order); such a
-- refund does not count towards payment.refunded.
CREATE TABLE refund (
    id ID PRIMARY KEY,
    payment_id ID NOT NULL REFERENCES payment (id),
    gateway_payment_id TEXT NOT NULL,
    amount BIGINT NOT NULL,
    surplus BOOL NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    gateway_refund_id TEXT,
    failure TEXT,
    created_at INSTANT NOT NULL,
    updated_at INSTANT NOT NULL,
    next_check_at INSTANT,
    CONSTRAINT refund_amount CHECK (amount > 0)
);
CREATE INDEX refund_payment ON refund (payment_id);
CREATE UNIQUE INDEX refund_gateway ON refund (gateway_refund_id) WHERE gateway_refund_id IS NOT NULL;
CREATE INDEX refund_due ON refund (next_check_at) WHERE next_check_at IS NOT NULL;

-- What a webhook said, without the personal data that its body holds; the hash is of the raw body.
CREATE TABLE payment_webhook (
    gateway TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event TEXT NOT NULL,
    facts JSON NOT NULL,
    body_sha256 BYTES NOT NULL,
    received_at INSTANT NOT NULL,
    processed_at INSTANT,
    outcome TEXT,
    PRIMARY KEY (gateway, event_id)
);
CREATE INDEX payment_webhook_received ON payment_webhook (received_at);
