CREATE TABLE category (
    id ID PRIMARY KEY,
    parent_id ID REFERENCES category (id),
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    name_hi TEXT,
    position BIGINT NOT NULL
);
CREATE UNIQUE INDEX category_slug ON category (slug);

-- doc is the whole product; the other columns and tables are projections of it for look-ups.
CREATE TABLE product (
    id ID PRIMARY KEY,
    sku TEXT NOT NULL,
    slug TEXT NOT NULL,
    name_hi TEXT,
    active BOOL NOT NULL,
    version BIGINT NOT NULL,
    -- Hash of the imported source; NULL if staff made the product.
    source_hash BYTES,
    doc JSON NOT NULL
);
CREATE UNIQUE INDEX product_sku ON product (sku);
CREATE UNIQUE INDEX product_slug ON product (slug);

CREATE TABLE variant (
    id ID PRIMARY KEY,
    product_id ID NOT NULL REFERENCES product (id),
    sku TEXT NOT NULL,
    name TEXT NOT NULL,
    price BIGINT NOT NULL CHECK (price > 0),
    mrp BIGINT NOT NULL,
    hsn TEXT NOT NULL,
    weight_g BIGINT NOT NULL CHECK (weight_g > 0),
    active BOOL NOT NULL,
    -- Stock that the last import named, so that importing it again does not undo sales.
    source_stock BIGINT,
    CONSTRAINT variant_mrp CHECK (mrp >= price)
);
CREATE UNIQUE INDEX variant_sku ON variant (sku);
CREATE INDEX variant_product ON variant (product_id);

CREATE TABLE media (
    id ID PRIMARY KEY,
    -- SHA-256 of the original, which names its blob.
    original TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'ready', 'failed')),
    -- Why it failed.
    reason TEXT,
    renditions JSON NOT NULL
);

CREATE TABLE product_media (
    media_id ID NOT NULL REFERENCES media (id),
    product_id ID NOT NULL REFERENCES product (id),
    PRIMARY KEY (media_id, product_id)
) WITHOUT ROWID;
CREATE INDEX product_media_product ON product_media (product_id);

CREATE TABLE review (
    id ID PRIMARY KEY,
    product_id ID NOT NULL REFERENCES product (id),
    stars BIGINT NOT NULL CHECK (stars BETWEEN 1 AND 5),
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    created_at INSTANT NOT NULL
);
CREATE INDEX review_newest ON review (product_id, created_at, id);
