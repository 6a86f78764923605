-- A cart is one document. `lines` is [[variant, quantity], …]; the address is sealed under the key
-- of `key_person`, which for a cart without an owner is a guest made for it.
CREATE TABLE cart (
    id ID PRIMARY KEY,
    person_id ID,
    key_person ID,
    lines JSON NOT NULL,
    address BYTES,
    pincode TEXT,
    coupon TEXT,
    coins BIGINT NOT NULL,
    version BIGINT NOT NULL,
    order_id ID,
    updated_at INSTANT NOT NULL
);
CREATE INDEX cart_open ON cart (person_id, updated_at) WHERE order_id IS NULL AND person_id IS NOT NULL;
CREATE INDEX cart_idle ON cart (updated_at) WHERE order_id IS NULL;

-- What was sold never changes; state, history and what hangs on them do, under the row's lock.
CREATE TABLE customer_order (
    id ID PRIMARY KEY,
    number TEXT NOT NULL,
    cart_id ID NOT NULL,
    key_scope ID NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_hash BYTES NOT NULL,
    person_id ID NOT NULL,
    sealed_by ID NOT NULL,
    address BYTES NOT NULL,
    pincode TEXT NOT NULL,
    state_code TEXT NOT NULL,
    location_id ID NOT NULL,
    supplier_gstin TEXT NOT NULL,
    supplier_state TEXT NOT NULL,
    method TEXT NOT NULL,
    totals JSON NOT NULL,
    charges JSON NOT NULL,
    coupon TEXT,
    payment_id ID NOT NULL,
    state TEXT NOT NULL,
    history JSON NOT NULL,
    weight_g BIGINT NOT NULL,
    placed_at INSTANT NOT NULL,
    expires_at INSTANT,
    parcel_at INSTANT,
    invoice_number TEXT,
    invoiced_at INSTANT,
    invoice_blob TEXT,
    announced_at INSTANT,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX customer_order_cart ON customer_order (cart_id);
CREATE UNIQUE INDEX customer_order_number ON customer_order (number);
CREATE UNIQUE INDEX customer_order_key ON customer_order (key_scope, idempotency_key);
CREATE UNIQUE INDEX customer_order_invoice ON customer_order (supplier_gstin, invoice_number)
    WHERE invoice_number IS NOT NULL;
CREATE INDEX customer_order_person ON customer_order (person_id, id);
CREATE INDEX customer_order_state ON customer_order (state, id);
CREATE INDEX customer_order_waiting ON customer_order (expires_at) WHERE state = 'pending_payment';

CREATE TABLE order_line (
    order_id ID NOT NULL,
    position BIGINT NOT NULL,
    id ID NOT NULL,
    variant_id ID NOT NULL,
    product_id ID NOT NULL,
    sku TEXT NOT NULL,
    name TEXT NOT NULL,
    name_hi TEXT,
    hsn TEXT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    unit_price BIGINT NOT NULL,
    discount BIGINT NOT NULL,
    total BIGINT NOT NULL,
    rate_bp BIGINT NOT NULL,
    taxable BIGINT NOT NULL,
    cgst BIGINT NOT NULL,
    sgst BIGINT NOT NULL,
    igst BIGINT NOT NULL,
    PRIMARY KEY (order_id, position),
    CONSTRAINT order_line_sums CHECK (taxable + cgst + sgst + igst = total
        AND unit_price * quantity - discount = total)
) WITHOUT ROWID;

-- The last number of each series. A row is only ever changed in the transaction that confirms an
-- order, so a number is used if and only if it is counted.
CREATE TABLE invoice_counter (
    gstin TEXT NOT NULL,
    series TEXT NOT NULL,
    year BIGINT NOT NULL,
    last BIGINT NOT NULL,
    PRIMARY KEY (gstin, series, year)
) WITHOUT ROWID;

CREATE TABLE coupon (
    code TEXT PRIMARY KEY,
    percent_bp BIGINT,
    amount BIGINT,
    min_subtotal BIGINT NOT NULL,
    max_uses BIGINT,
    max_uses_per_person BIGINT,
    uses BIGINT NOT NULL,
    starts_at INSTANT NOT NULL,
    ends_at INSTANT,
    CONSTRAINT coupon_uses CHECK (uses >= 0)
);
CREATE TABLE coupon_use (
    code TEXT NOT NULL,
    person_id ID NOT NULL,
    uses BIGINT NOT NULL CHECK (uses >= 0),
    PRIMARY KEY (code, person_id)
) WITHOUT ROWID;
