-- An account. Only a person's coins keep a balance here; it can never be overdrawn.
CREATE TABLE ledger_account (
    id ID PRIMARY KEY,
    kind TEXT NOT NULL,
    unit TEXT NOT NULL,
    person_id ID,
    balance BIGINT,
    held BIGINT,
    -- A guest who logged in: coins that still arrive follow to this person.
    merged_into ID,
    CONSTRAINT ledger_account_covered CHECK (kind <> 'coins' OR (held >= 0 AND balance >= held)),
    CONSTRAINT ledger_account_kept CHECK (
        kind = 'coins' AND person_id IS NOT NULL AND balance IS NOT NULL AND held IS NOT NULL
        OR kind <> 'coins' AND person_id IS NULL AND balance IS NULL AND held IS NULL)
);

-- One balanced movement, chosen id, never changed.
CREATE TABLE ledger_transfer (
    id ID PRIMARY KEY,
    from_account ID NOT NULL,
    to_account ID NOT NULL,
    unit TEXT NOT NULL,
    amount BIGINT NOT NULL,
    code TEXT NOT NULL,
    reference ID NOT NULL,
    at INSTANT NOT NULL,
    CONSTRAINT ledger_transfer_positive CHECK (amount > 0),
    CONSTRAINT ledger_transfer_moves CHECK (from_account <> to_account)
);

-- For statements of persons; money movements are many more and need none.
CREATE INDEX ledger_transfer_gains ON ledger_transfer (to_account, at, id) WHERE unit = 'coin';
CREATE INDEX ledger_transfer_losses ON ledger_transfer (from_account, at, id) WHERE unit = 'coin';

-- Coins set aside. state: open, redeemed, released, lapsed.
CREATE TABLE ledger_hold (
    id ID PRIMARY KEY,
    account_id ID NOT NULL,
    person_id ID NOT NULL,
    amount BIGINT NOT NULL,
    reference ID NOT NULL,
    state TEXT NOT NULL,
    created_at INSTANT NOT NULL,
    expires_at INSTANT NOT NULL,
    CONSTRAINT ledger_hold_positive CHECK (amount > 0)
);

CREATE INDEX ledger_hold_open_until ON ledger_hold (expires_at) WHERE state = 'open';
CREATE INDEX ledger_hold_open_of ON ledger_hold (account_id) WHERE state = 'open';
