-- Transfers are history: whoever wants to undo one books another.
CREATE TRIGGER ledger_transfer_no_update BEFORE UPDATE ON ledger_transfer
BEGIN SELECT RAISE(ABORT, 'a booked transfer never changes'); END;
CREATE TRIGGER ledger_transfer_no_delete BEFORE DELETE ON ledger_transfer
BEGIN SELECT RAISE(ABORT, 'a booked transfer never changes'); END;
-- The shop's own accounts, so that somebody who reads the tables knows their names. They keep no
-- balance: every order books on them, and a row that every order updates is a queue.
INSERT INTO ledger_account (id, kind, unit) VALUES
    (x'2cc7aa76e01380168ba16a7666bb843f', 'coin_issuer', 'coin'),
    (x'a485b3ab120487bbb058f35e4b8502e3', 'coin_redeemed', 'coin'),
    (x'24a1570880c186b2a8f8964760c7b7db', 'coin_expired', 'coin'),
    (x'817378dd09038c0f863e8dea549e60af', 'cod_receivable', 'paise'),
    (x'ce4c82e313778788b09e9ba1cd0c171b', 'gateway_receivable', 'paise'),
    (x'e04eb29020ea8961a99d3162635e9fe9', 'sales', 'paise'),
    (x'4fdc1db8ceef8064b9b8aa6f7c60cdc4', 'refunds', 'paise');
