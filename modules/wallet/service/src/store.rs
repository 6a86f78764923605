//! All SQL of the ledger.

use std::collections::{BTreeMap, HashMap, HashSet};

use mela_base::ids::{AccountId, HoldId, PersonId, TransferId};
use mela_base::{Id, Timestamp};
use mela_db::{DbError, Query, Row, Sql, Tx, Value, params};
use mela_wallet_api::{Account, Balance, Entry, Hold, Transfer, TransferCode, Unit};

const TRANSFERS_INSERT: Sql = Sql::new(
    "wallet.transfers_insert",
    "INSERT INTO ledger_transfer (id, from_account, to_account, unit, amount, code, reference, at)
     VALUES {rows} ON CONFLICT (id) DO NOTHING RETURNING id",
);
const TRANSFERS_BY_ID: Sql = Sql::new(
    "wallet.transfers_by_id",
    "SELECT id, from_account, to_account, amount, code, reference FROM ledger_transfer
     WHERE id IN {list}",
);
const COINS_ADD: Sql = Sql::new(
    "wallet.coins_add",
    "INSERT INTO ledger_account (id, kind, unit, person_id, balance, held)
     VALUES (?1, 'coins', 'coin', ?2, ?3, 0)
     ON CONFLICT (id) DO UPDATE SET balance = ledger_account.balance + excluded.balance
     RETURNING merged_into",
);
const COINS_TAKE: Sql = Sql::new(
    "wallet.coins_take",
    "UPDATE ledger_account SET balance = balance - ?2 WHERE id = ?1 AND balance - held >= ?2",
);
const BALANCE: Sql =
    Sql::new("wallet.balance", "SELECT balance, held FROM ledger_account WHERE id = ?1");
const HOLD_INSERT: Sql = Sql::new(
    "wallet.hold_insert",
    "INSERT INTO ledger_hold
         (id, account_id, person_id, amount, reference, state, created_at, expires_at)
     VALUES (?1, ?2, ?3, ?4, ?5, 'open', ?6, ?7) ON CONFLICT (id) DO NOTHING",
);
const HOLD_BY_ID: Sql =
    Sql::new("wallet.hold_by_id", "SELECT amount, reference FROM ledger_hold WHERE id = ?1");
const HOLD_REDEEMED: Sql = Sql::new(
    "wallet.hold_redeemed",
    "SELECT id FROM ledger_hold WHERE id = ?1 AND state = 'redeemed'",
);
const HELD_ADD: Sql = Sql::new(
    "wallet.held_add",
    "UPDATE ledger_account SET held = held + ?2 WHERE id = ?1 AND balance - held >= ?2",
);
const HOLD_REDEEM: Sql = Sql::new(
    "wallet.hold_redeem",
    "UPDATE ledger_hold SET state = 'redeemed'
     WHERE id = ?1 AND state = 'open' AND expires_at > ?2
     RETURNING account_id, person_id, amount, reference",
);
const HOLD_RELEASE: Sql = Sql::new(
    "wallet.hold_release",
    "UPDATE ledger_hold SET state = 'released' WHERE id = ?1 AND state = 'open'
     RETURNING account_id, person_id, amount, reference",
);
const HOLDS_LAPSE: Sql = Sql::new(
    "wallet.holds_lapse",
    "UPDATE ledger_hold SET state = 'lapsed'
     WHERE state = 'open' AND id IN (
         SELECT id FROM ledger_hold WHERE state = 'open' AND expires_at <= ?1
         ORDER BY expires_at LIMIT ?2)
     RETURNING account_id, person_id, amount, reference",
);
const HELD_TAKE: Sql =
    Sql::new("wallet.held_take", "UPDATE ledger_account SET held = held - ?2 WHERE id = ?1");
const HELD_SPEND: Sql = Sql::new(
    "wallet.held_spend",
    "UPDATE ledger_account SET held = held - ?2, balance = balance - ?2 WHERE id = ?1",
);
const MERGE_MARK: Sql = Sql::new(
    "wallet.merge_mark",
    "INSERT INTO ledger_account (id, kind, unit, person_id, balance, held, merged_into)
     VALUES (?1, 'coins', 'coin', ?2, 0, 0, ?3)
     ON CONFLICT (id) DO UPDATE SET merged_into = excluded.merged_into
     RETURNING balance",
);
const MERGE_HOLDS: Sql = Sql::new(
    "wallet.merge_holds",
    "UPDATE ledger_hold SET account_id = ?2, person_id = ?3
     WHERE account_id = ?1 AND state = 'open' RETURNING amount",
);
const ENTRIES: Sql = Sql::new(
    "wallet.entries",
    "SELECT id, amount, code, reference, at FROM (
         SELECT id, amount, code, reference, at FROM (
             SELECT id, amount, code, reference, at FROM ledger_transfer
             WHERE unit = 'coin' AND to_account = ?1 AND (at, id) < (?2, ?3)
             ORDER BY at DESC, id DESC LIMIT ?4) AS gains
         UNION ALL
         SELECT id, -amount AS amount, code, reference, at FROM (
             SELECT id, amount, code, reference, at FROM ledger_transfer
             WHERE unit = 'coin' AND from_account = ?1 AND (at, id) < (?2, ?3)
             ORDER BY at DESC, id DESC LIMIT ?4) AS losses) AS both_sides
     ORDER BY at DESC, id DESC LIMIT ?4",
);
// Kept balances, and for the accounts that keep none what their transfers say: an error in a kept
// balance shows as a sum that is not 0.
const CHECK_SUMS: Sql = Sql::new(
    "wallet.check_sums",
    "SELECT u.unit,
            CAST(COALESCE((SELECT SUM(balance) FROM ledger_account a WHERE a.unit = u.unit), 0)
               + COALESCE((SELECT SUM(t.amount) FROM ledger_transfer t WHERE t.unit = u.unit
                   AND t.to_account NOT IN (SELECT id FROM ledger_account WHERE kind = 'coins')), 0)
               - COALESCE((SELECT SUM(t.amount) FROM ledger_transfer t WHERE t.unit = u.unit
                   AND t.from_account NOT IN (SELECT id FROM ledger_account WHERE kind = 'coins')), 0)
               AS BIGINT),
            (SELECT COUNT(id) FROM ledger_transfer t WHERE t.unit = u.unit)
     FROM (SELECT 'coin' AS unit UNION ALL SELECT 'paise') AS u",
);
const CHECK_ACCOUNTS: Sql = Sql::new(
    "wallet.check_accounts",
    "SELECT a.id FROM ledger_account a
     LEFT JOIN (SELECT to_account AS id, SUM(amount) AS total FROM ledger_transfer
                WHERE unit = 'coin' GROUP BY to_account) AS g ON g.id = a.id
     LEFT JOIN (SELECT from_account AS id, SUM(amount) AS total FROM ledger_transfer
                WHERE unit = 'coin' GROUP BY from_account) AS l ON l.id = a.id
     LEFT JOIN (SELECT account_id AS id, SUM(amount) AS total FROM ledger_hold
                WHERE state = 'open' GROUP BY account_id) AS h ON h.id = a.id
     WHERE a.kind = 'coins' AND (a.balance <> COALESCE(g.total, 0) - COALESCE(l.total, 0)
                                 OR a.held <> COALESCE(h.total, 0))
     ORDER BY a.id",
);

/// Every statement, for the test that prepares them on both engines.
pub const STATEMENTS: &[&Sql] = &[
    &TRANSFERS_INSERT,
    &TRANSFERS_BY_ID,
    &COINS_ADD,
    &COINS_TAKE,
    &BALANCE,
    &HOLD_INSERT,
    &HOLD_BY_ID,
    &HOLD_REDEEMED,
    &HELD_ADD,
    &HOLD_REDEEM,
    &HOLD_RELEASE,
    &HOLDS_LAPSE,
    &HELD_TAKE,
    &HELD_SPEND,
    &MERGE_MARK,
    &MERGE_HOLDS,
    &ENTRIES,
    &CHECK_SUMS,
    &CHECK_ACCOUNTS,
];

/// A transfer as it was booked.
#[derive(PartialEq, Eq)]
pub(crate) struct Booked {
    from: AccountId,
    to: AccountId,
    amount: i64,
    code: String,
    reference: Id,
}

impl Booked {
    pub(crate) fn is(&self, t: &Transfer) -> bool {
        self.from == t.from.id()
            && self.to == t.to.id()
            && self.amount == t.amount
            && self.code == t.code.as_str()
            && self.reference == t.reference
    }
}

/// Books what is not booked yet; returns the ids of what was.
pub(crate) fn insert_transfers(
    tx: &mut Tx<'_>,
    transfers: &BTreeMap<TransferId, &Transfer>,
    now: Timestamp,
) -> Result<HashSet<TransferId>, DbError> {
    let rows: Vec<Vec<Value>> = transfers
        .values()
        .map(|t| {
            let unit = match t.from.unit() {
                Unit::Coin => "coin",
                Unit::Paise => "paise",
            };
            params![t.id, t.from.id(), t.to.id(), unit, t.amount, t.code.as_str(), t.reference, now]
                .into()
        })
        .collect();
    tx.all_rows(&TRANSFERS_INSERT, &[], &rows)?.iter().map(|r| r.get(0)).collect()
}

pub(crate) fn booked(
    q: &mut Query<'_>,
    ids: &[TransferId],
) -> Result<HashMap<TransferId, Booked>, DbError> {
    let list: Vec<Value> = ids.iter().map(|id| Value::from(*id)).collect();
    q.all_in(&TRANSFERS_BY_ID, &[], &list)?
        .iter()
        .map(|r| {
            let booked = Booked {
                from: r.get(1)?,
                to: r.get(2)?,
                amount: r.get(3)?,
                code: r.get(4)?,
                reference: r.get(5)?,
            };
            Ok((r.get(0)?, booked))
        })
        .collect()
}

/// Returns to whom the coins must follow, if the person was a guest and has logged in.
pub(crate) fn add_coins(
    tx: &mut Tx<'_>,
    person: PersonId,
    amount: i64,
) -> Result<Option<PersonId>, DbError> {
    tx.all(&COINS_ADD, &params![Account::Coins(person).id(), person, amount])?
        .first()
        .ok_or(DbError::NotOne(COINS_ADD.name))?
        .get(0)
}

/// False if there are not that many coins.
pub(crate) fn take_coins(tx: &mut Tx<'_>, person: PersonId, amount: i64) -> Result<bool, DbError> {
    Ok(tx.exec(&COINS_TAKE, &params![Account::Coins(person).id(), amount])? == 1)
}

pub(crate) fn balance(q: &mut Query<'_>, person: PersonId) -> Result<Balance, DbError> {
    let Some(row) = q.opt(&BALANCE, &params![Account::Coins(person).id()])? else {
        return Ok(Balance::default());
    };
    let (balance, held): (i64, i64) = (row.get(0)?, row.get(1)?);
    Ok(Balance { available: balance - held, held })
}

/// False if there is a hold of this id already.
pub(crate) fn insert_hold(tx: &mut Tx<'_>, hold: &Hold, now: Timestamp) -> Result<bool, DbError> {
    let account = Account::Coins(hold.person).id();
    let params =
        params![hold.id, account, hold.person, hold.amount, hold.reference, now, hold.expires_at];
    Ok(tx.exec(&HOLD_INSERT, &params)? == 1)
}

/// Amount and reference.
pub(crate) fn hold(q: &mut Query<'_>, id: HoldId) -> Result<Option<(i64, Id)>, DbError> {
    q.opt(&HOLD_BY_ID, &params![id])?.map(|r| Ok((r.get(0)?, r.get(1)?))).transpose()
}

/// Whether the hold was turned into a spending before.
pub(crate) fn is_redeemed(q: &mut Query<'_>, id: HoldId) -> Result<bool, DbError> {
    Ok(q.opt(&HOLD_REDEEMED, &params![id])?.is_some())
}

/// False if there are not that many coins.
pub(crate) fn add_held(tx: &mut Tx<'_>, person: PersonId, amount: i64) -> Result<bool, DbError> {
    Ok(tx.exec(&HELD_ADD, &params![Account::Coins(person).id(), amount])? == 1)
}

/// A hold that has just ended.
pub(crate) struct Ended {
    pub(crate) account: AccountId,
    pub(crate) person: PersonId,
    pub(crate) amount: i64,
    pub(crate) reference: Id,
}

fn ended(row: &Row) -> Result<Ended, DbError> {
    Ok(Ended {
        account: row.get(0)?,
        person: row.get(1)?,
        amount: row.get(2)?,
        reference: row.get(3)?,
    })
}

pub(crate) fn redeem_hold(
    tx: &mut Tx<'_>,
    id: HoldId,
    now: Timestamp,
) -> Result<Option<Ended>, DbError> {
    tx.opt(&HOLD_REDEEM, &params![id, now])?.as_ref().map(ended).transpose()
}

pub(crate) fn release_hold(tx: &mut Tx<'_>, id: HoldId) -> Result<Option<Ended>, DbError> {
    tx.opt(&HOLD_RELEASE, &params![id])?.as_ref().map(ended).transpose()
}

pub(crate) fn lapse_holds(
    tx: &mut Tx<'_>,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Ended>, DbError> {
    tx.all(&HOLDS_LAPSE, &params![now, limit])?.iter().map(ended).collect()
}

/// Held coins can be spent again.
pub(crate) fn take_held(tx: &mut Tx<'_>, account: AccountId, amount: i64) -> Result<(), DbError> {
    tx.exec(&HELD_TAKE, &params![account, amount]).map(drop)
}

/// Held coins are gone.
pub(crate) fn spend_held(tx: &mut Tx<'_>, account: AccountId, amount: i64) -> Result<(), DbError> {
    tx.exec(&HELD_SPEND, &params![account, amount]).map(drop)
}

/// Notes where a guest's coins follow to, and locks the account; returns its whole balance.
pub(crate) fn mark_merged(tx: &mut Tx<'_>, from: PersonId, to: PersonId) -> Result<i64, DbError> {
    tx.all(&MERGE_MARK, &params![Account::Coins(from).id(), from, to])?
        .first()
        .ok_or(DbError::NotOne(MERGE_MARK.name))?
        .get(0)
}

/// Hangs a guest's open holds onto the other account; returns their sum.
pub(crate) fn move_holds(tx: &mut Tx<'_>, from: PersonId, to: PersonId) -> Result<i64, DbError> {
    let params = params![Account::Coins(from).id(), Account::Coins(to).id(), to];
    tx.all(&MERGE_HOLDS, &params)?.iter().map(|r| r.get::<i64>(0)).sum()
}

pub(crate) fn entries(
    q: &mut Query<'_>,
    person: PersonId,
    before: (Timestamp, TransferId),
    limit: u32,
) -> Result<Vec<Entry>, DbError> {
    let params = params![Account::Coins(person).id(), before.0, before.1, limit];
    q.all(&ENTRIES, &params)?
        .iter()
        .map(|r| {
            let code: String = r.get(2)?;
            Ok(Entry {
                id: r.get(0)?,
                amount: r.get(1)?,
                code: TransferCode::parse(&code)
                    .ok_or_else(|| DbError::Type(format!("no transfer code `{code}`")))?,
                reference: r.get(3)?,
                at: r.get(4)?,
            })
        })
        .collect()
}

/// Unit, sum, number of transfers.
pub(crate) fn sums(q: &mut Query<'_>) -> Result<Vec<(String, i64, i64)>, DbError> {
    q.all(&CHECK_SUMS, &[])?.iter().map(|r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).collect()
}

pub(crate) fn wrong_accounts(q: &mut Query<'_>) -> Result<Vec<AccountId>, DbError> {
    q.all(&CHECK_ACCOUNTS, &[])?.iter().map(|r| r.get(0)).collect()
}
