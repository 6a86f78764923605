-- Transfers are history: whoever wants to undo one books another.
CREATE FUNCTION ledger_transfer_frozen() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'a booked transfer never changes'; END $$;
CREATE TRIGGER ledger_transfer_frozen BEFORE UPDATE OR DELETE ON ledger_transfer
FOR EACH STATEMENT EXECUTE FUNCTION ledger_transfer_frozen();
-- The shop's own accounts, so that somebody who reads the tables knows their names. They keep no
-- balance: every order books on them, and a row that every order updates is a queue.
INSERT INTO ledger_account (id, kind, unit) VALUES
    ('2cc7aa76-e013-8016-8ba1-6a7666bb843f', 'coin_issuer', 'coin'),
    ('a485b3ab-1204-87bb-b058-f35e4b8502e3', 'coin_redeemed', 'coin'),
    ('24a15708-80c1-86b2-a8f8-964760c7b7db', 'coin_expired', 'coin'),
    ('817378dd-0903-8c0f-863e-8dea549e60af', 'cod_receivable', 'paise'),
    ('ce4c82e3-1377-8788-b09e-9ba1cd0c171b', 'gateway_receivable', 'paise'),
    ('e04eb290-20ea-8961-a99d-3162635e9fe9', 'sales', 'paise'),
    ('4fdc1db8-ceef-8064-b9b8-aa6f7c60cdc4', 'refunds', 'paise');
