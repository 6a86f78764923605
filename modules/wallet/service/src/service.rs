//! The use cases.

use async_trait::async_trait;
use mela_base::ids::{HoldId, PersonId, TransferId};
use mela_base::{Actor, Env, Id, Op, Page, PageRequest, Role, Timestamp};
use mela_bus::{Bus, EventRow};
use mela_db::{Db, Tx};
use mela_jobs::Jobs;
use mela_wallet_api::{
    Account, Balance, CoinsChanged, Entry, Hold, LedgerCheck, Transfer, TransferCode, Wallet,
    WalletError,
};

use crate::rules::{self, invalid};
use crate::{jobs, store};

/// Expired holds that one transaction gives back, so that it stays short.
const LAPSE_AT_ONCE: i64 = 100;

/// The ledger on a database. Cheap to clone.
#[derive(Clone)]
pub struct WalletService {
    db: Db,
    env: Env,
}

impl WalletService {
    /// The ledger of this database.
    pub fn new(db: Db, env: Env) -> Self {
        Self { db, env }
    }

    /// Listens to what concerns the ledger.
    pub fn subscribe(&self, bus: &Bus) {
        jobs::subscribe(self, bus);
    }

    /// Registers what has to happen from time to time.
    pub fn register_jobs(&self, queue: &Jobs) {
        jobs::register(self, queue);
    }

    pub(crate) async fn merge(&self, from: PersonId, to: PersonId) -> Result<(), WalletError> {
        let this = self.clone();
        self.db.write("wallet.merge", move |tx| this.merge_in(tx, from, to)).await
    }

    /// Inside a transaction: all coins of `from`, held ones with their holds, are `to`'s from now
    /// on, and so are coins that `from` is still to get. Repeating it changes nothing.
    fn merge_in(&self, tx: &mut Tx<'_>, from: PersonId, to: PersonId) -> Result<(), WalletError> {
        if from == to {
            return Ok(());
        }
        let balance = store::mark_merged(tx, from, to)?;
        if balance == 0 {
            return Ok(());
        }
        let held = store::move_holds(tx, from, to)?;
        if held > 0 {
            store::take_held(tx, Account::Coins(from).id(), held)?;
        }
        self.follow(tx, from, to, balance, Id::from_name(&format!("merge:{from}:{to}")))?;
        if held > 0 && !store::add_held(tx, to, held)? {
            return Err(WalletError::NotEnoughCoins { available: 0 });
        }
        Ok(())
    }

    /// Gives back what expired holds set aside; returns how many there were. Any number of
    /// processes may do it at once, also beside [`Wallet::redeem_hold_in`].
    pub async fn release_expired(&self) -> Result<u64, WalletError> {
        let mut total = 0;
        loop {
            let this = self.clone();
            let lapsed = self
                .db
                .write("wallet.release_expired", move |tx| {
                    let mut lapsed = store::lapse_holds(tx, this.env.now(), LAPSE_AT_ONCE)?;
                    lapsed.sort_by_key(|h| h.account);
                    for hold in &lapsed {
                        store::take_held(tx, hold.account, hold.amount)?;
                    }
                    let mut persons: Vec<_> = lapsed.iter().map(|h| h.person).collect();
                    persons.dedup();
                    this.announce(tx, &persons)?;
                    Ok::<_, WalletError>(lapsed.len() as u64)
                })
                .await?;
            total += lapsed;
            if lapsed < LAPSE_AT_ONCE as u64 {
                return Ok(total);
            }
        }
    }

    /// Books transfers; `merging` when the ledger itself moves coins after their owner.
    fn post(
        &self,
        tx: &mut Tx<'_>,
        transfers: &[Transfer],
        merging: bool,
    ) -> Result<(), WalletError> {
        let mut transfers = rules::check(transfers, merging)?;
        let new = store::insert_transfers(tx, &transfers, self.env.now())?;
        if new.len() < transfers.len() {
            let old: Vec<TransferId> =
                transfers.keys().filter(|id| !new.contains(id)).copied().collect();
            let booked = store::booked(tx, &old)?;
            for id in old {
                let same = transfers.get(&id).zip(booked.get(&id)).is_some_and(|(t, b)| b.is(t));
                if !same {
                    return Err(WalletError::TransferDiffers);
                }
                transfers.remove(&id);
            }
        }
        let changes = rules::changes(transfers.into_values());
        let mut changed = Vec::with_capacity(changes.len());
        for change in changes.into_values() {
            let person = change.person;
            if change.net > 0 {
                let merged = store::add_coins(tx, person, change.net)?;
                if let Some(to) = merged.filter(|_| !merging) {
                    let id = Id::from_name(&format!("merge:{}", change.cause));
                    self.follow(tx, person, to, change.net, id)?;
                    continue;
                }
            } else if change.net < 0 && !store::take_coins(tx, person, -change.net)? {
                let available = store::balance(tx, person)?.available;
                return Err(WalletError::NotEnoughCoins { available });
            }
            changed.push(person);
        }
        self.announce(tx, &changed)
    }

    fn follow(
        &self,
        tx: &mut Tx<'_>,
        from: PersonId,
        to: PersonId,
        amount: i64,
        id: Id,
    ) -> Result<(), WalletError> {
        let transfer = Transfer {
            id: TransferId(id),
            from: Account::Coins(from),
            to: Account::Coins(to),
            amount,
            code: TransferCode::Merge,
            reference: from.0,
        };
        self.post(tx, &[transfer], true)
    }

    fn announce(&self, tx: &mut Tx<'_>, persons: &[PersonId]) -> Result<(), WalletError> {
        let events: Result<Vec<_>, _> = persons
            .iter()
            .map(|person| EventRow::new(&CoinsChanged { person_id: *person }))
            .collect();
        Ok(mela_bus::emit_all(tx, &self.env, &events?)?)
    }
}

#[async_trait]
impl Wallet for WalletService {
    async fn balance(&self, person: PersonId) -> Result<Balance, WalletError> {
        Ok(self.db.read("wallet.balance", move |q| store::balance(q, person)).await?)
    }

    async fn entries(&self, op: &Op, page: &PageRequest) -> Result<Page<Entry>, WalletError> {
        let person = op.person().ok_or(WalletError::Unauthenticated)?;
        let limit = page.limit();
        let before = match &page.after {
            Some(cursor) => rules::parse_cursor(cursor)?,
            None => (Timestamp::from_micros(i64::MAX), Id::from_bytes([255; 16]).into()),
        };
        let rows = self
            .db
            .read("wallet.entries", move |q| store::entries(q, person, before, limit + 1))
            .await?;
        let rows = rows.into_iter().map(|e| (rules::cursor(e.at, e.id), e)).collect();
        Ok(Page::from_rows(rows, limit))
    }

    async fn grant(
        &self,
        op: &Op,
        person: PersonId,
        amount: i64,
        key: &str,
    ) -> Result<Balance, WalletError> {
        if !op.may(Role::Manager) {
            return Err(match op.actor {
                Actor::Anonymous => WalletError::Unauthenticated,
                _ => WalletError::Denied,
            });
        }
        if !(1..=rules::MAX_GRANT).contains(&amount) {
            let most = rules::MAX_GRANT;
            return Err(invalid("amount", format!("give 1 to {most} coins at a time")));
        }
        if key.is_empty() || key.len() > 100 {
            return Err(invalid("key", "a key has 1 to 100 characters"));
        }
        let by = match op.actor {
            Actor::Staff { id, .. } => id.0,
            _ => Id::from_name("system"),
        };
        let transfer = Transfer {
            id: TransferId(Id::from_name(&format!("grant:{key}"))),
            from: Account::CoinIssuer,
            to: Account::Coins(person),
            amount,
            code: TransferCode::Grant,
            reference: by,
        };
        let this = self.clone();
        let balance = self
            .db
            .write("wallet.grant", move |tx| {
                this.post(tx, std::slice::from_ref(&transfer), false)?;
                Ok::<_, WalletError>(store::balance(tx, person)?)
            })
            .await?;
        tracing::info!(request_id = %op.request_id, %person, amount, "coins granted");
        Ok(balance)
    }

    async fn check(&self) -> Result<LedgerCheck, WalletError> {
        let check = |q: &mut mela_db::Query<'_>| {
            let mut out =
                LedgerCheck { transfers: 0, sum_coin: 0, sum_paise: 0, wrong: Vec::new() };
            for (unit, sum, transfers) in store::sums(q)? {
                out.transfers += u64::try_from(transfers).unwrap_or(0);
                match unit.as_str() {
                    "coin" => out.sum_coin = sum,
                    _ => out.sum_paise = sum,
                }
            }
            out.wrong = store::wrong_accounts(q)?;
            Ok::<_, mela_db::DbError>(out)
        };
        Ok(self.db.read_snapshot("wallet.check", check).await?)
    }

    fn post_in(&self, tx: &mut Tx<'_>, transfers: &[Transfer]) -> Result<(), WalletError> {
        self.post(tx, transfers, false)
    }

    fn hold_in(&self, tx: &mut Tx<'_>, hold: &Hold) -> Result<(), WalletError> {
        rules::check_amount(hold.amount)?;
        let now = self.env.now();
        if hold.expires_at <= now {
            return Err(invalid("expires_at", "coins are set aside until a time to come"));
        }
        if !store::insert_hold(tx, hold, now)? {
            // Whose it is can have changed since: a guest may have logged in.
            let same = store::hold(tx, hold.id)?.is_some_and(|(amount, reference)| {
                amount == hold.amount && reference == hold.reference
            });
            return if same { Ok(()) } else { Err(WalletError::TransferDiffers) };
        }
        if !store::add_held(tx, hold.person, hold.amount)? {
            let available = store::balance(tx, hold.person)?.available;
            return Err(WalletError::NotEnoughCoins { available });
        }
        self.announce(tx, &[hold.person])
    }

    fn redeem_hold_in(&self, tx: &mut Tx<'_>, hold: HoldId) -> Result<bool, WalletError> {
        let now = self.env.now();
        let Some(ended) = store::redeem_hold(tx, hold, now)? else {
            return Ok(store::is_redeemed(tx, hold)?);
        };
        store::spend_held(tx, ended.account, ended.amount)?;
        let spent = Transfer {
            id: TransferId(Id::from_name(&format!("redeem:{hold}"))),
            from: Account::Coins(ended.person),
            to: Account::CoinRedeemed,
            amount: ended.amount,
            code: TransferCode::OrderRedeem,
            reference: ended.reference,
        };
        // The balance was moved together with the held amount.
        let row = std::collections::BTreeMap::from([(spent.id, &spent)]);
        if store::insert_transfers(tx, &row, now)?.is_empty() {
            return Err(WalletError::TransferDiffers);
        }
        self.announce(tx, &[ended.person])?;
        Ok(true)
    }

    fn release_hold_in(&self, tx: &mut Tx<'_>, hold: HoldId) -> Result<(), WalletError> {
        if let Some(ended) = store::release_hold(tx, hold)? {
            store::take_held(tx, ended.account, ended.amount)?;
            self.announce(tx, &[ended.person])?;
        }
        Ok(())
    }
}
