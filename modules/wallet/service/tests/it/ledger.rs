use mela_base::ids::{PersonId, StaffId};
use mela_base::{Actor, Id, Op, Page, PageRequest, Role, SECOND_MS};
use mela_db::{Sql, check_statements};
use mela_jobs::Jobs;
use mela_testkit::{TestDb, on_both};
use mela_wallet_api::{
    Account, Balance, Entry, Hold, LedgerCheck, Transfer, TransferCode, Wallet, WalletError,
};

use crate::world::*;

#[test]
fn every_statement_prepares() {
    for t in TestDb::both(SETS) {
        assert_eq!(check_statements(&t.db, mela_wallet::STATEMENTS), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_order_on_delivery_is_booked_in_one_statement() {
    on_both(SETS, async |t| {
        let w = wallet(&t);
        let (from, to) = (Account::Sales, Account::CodReceivable);
        let order = [transfer("o1", from, to, 49_900, TransferCode::OrderCod)];
        post(&w, &t, &order).await.unwrap();
        assert_eq!(t.db.stats().operations["t.post"].statements, 1);
        post(&w, &t, &order).await.unwrap();
        let check = w.check().await.unwrap();
        assert_eq!((check.transfers, check.sum_paise), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn booking_again_changes_nothing_and_other_content_is_refused() {
    on_both(SETS, async |t| {
        let w = wallet(&t);
        let me = person(1);
        post(&w, &t, &[reward("win", me, 50)]).await.unwrap();
        post(&w, &t, &[reward("win", me, 50), reward("win", me, 50)]).await.unwrap();
        has(&w, me, 50, 0).await;
        for other in [reward("win", me, 51), reward("win", person(2), 50), spend("win", me, 50)] {
            let both = [reward("win 2", me, 7), other.clone()];
            assert!(matches!(post(&w, &t, &both).await, Err(WalletError::TransferDiffers)));
            let twice = [reward("win 3", me, 7), other, reward("win", me, 50)];
            assert!(matches!(post(&w, &t, &twice).await, Err(WalletError::TransferDiffers)));
        }
        // A known one beside a new one: only the new one counts.
        post(&w, &t, &[reward("win", me, 50), spend("buy", me, 20)]).await.unwrap();
        has(&w, me, 30, 0).await;
        has(&w, person(2), 0, 0).await;
        right(&w).await;
    })
    .await;
}

#[tokio::test]
async fn nobody_spends_more_than_there_is() {
    on_both(SETS, async |t| {
        let w = wallet(&t);
        let me = person(1);
        let none = post(&w, &t, &[spend("a", me, 1)]).await;
        assert!(matches!(none, Err(WalletError::NotEnoughCoins { available: 0 })));
        post(&w, &t, &[reward("win", me, 50)]).await.unwrap();
        set_aside(&w, &t, &hold(&t, "h", me, 30)).await.unwrap();
        let held = post(&w, &t, &[spend("a", me, 21)]).await;
        assert!(matches!(held, Err(WalletError::NotEnoughCoins { available: 20 })));
        let more = set_aside(&w, &t, &hold(&t, "h2", me, 21)).await;
        assert!(matches!(more, Err(WalletError::NotEnoughCoins { available: 20 })));
        has(&w, me, 20, 30).await;
        right(&w).await;
    })
    .await;
}

#[tokio::test]
async fn a_change_is_announced_once() {
    on_both(SETS, async |t| {
        let w = wallet(&t);
        let me = person(1);
        let line = format!("wallet.coins_changed {me}");
        for _ in 0..2 {
            post(&w, &t, &[reward("win", me, 9), reward("win 2", me, 1)]).await.unwrap();
            assert_eq!(events(&t).await, std::slice::from_ref(&line));
        }
        post(&w, &t, &[spend("buy", me, 11)]).await.unwrap_err();
        let open = hold(&t, "h", me, 3);
        for _ in 0..2 {
            set_aside(&w, &t, &open).await.unwrap();
        }
        for _ in 0..2 {
            assert!(redeem(&w, &t, open.id).await);
        }
        assert_eq!(events(&t).await, vec![line; 3]);
    })
    .await;
}

#[tokio::test]
async fn garbage_is_refused() {
    on_both(SETS, async |t| {
        let w = wallet(&t);
        let me = Account::Coins(person(1));
        let bad = [
            reward("t", person(1), 0),
            reward("t", person(1), -5),
            reward("t", person(1), i64::MAX),
            transfer("t", Account::Sales, me, 5, TransferCode::Grant),
            transfer("t", me, Account::Refunds, 5, TransferCode::OrderRefund),
            transfer("t", me, me, 5, TransferCode::Merge),
            transfer("t", me, Account::Coins(person(2)), 5, TransferCode::Merge),
            transfer("t", Account::Sales, Account::Sales, 5, TransferCode::OrderCod),
        ];
        for one in bad {
            let refused = post(&w, &t, &[one]).await;
            assert!(matches!(refused, Err(WalletError::Invalid { .. })));
        }
        for (amount, ms) in [(0, 1_000), (-1, 1_000), (5, 0), (5, -1)] {
            let mut late = hold(&t, "h", person(1), amount);
            late.expires_at = t.env.now().plus_ms(ms);
            let refused = set_aside(&w, &t, &late).await;
            assert!(matches!(refused, Err(WalletError::Invalid { .. })));
        }
        assert_eq!(w.check().await.unwrap().transfers, 0);
        for after in ["", "x", "-1.00000000000000000000000000", "ffffffffffffffff.x", "é.é"] {
            let page = PageRequest { first: 5, after: Some(after.into()) };
            let refused = w.entries(&as_person(person(1)), &page).await;
            assert!(matches!(refused, Err(WalletError::Invalid { field: "after", .. })));
        }
    })
    .await;
}

#[tokio::test]
async fn a_hold_is_redeemed_released_or_lapses_once() {
    on_both(SETS, async |t| {
        let w = wallet(&t);
        let me = person(1);
        post(&w, &t, &[reward("win", me, 100)]).await.unwrap();

        let first = hold(&t, "first", me, 40);
        for _ in 0..2 {
            set_aside(&w, &t, &first).await.unwrap();
        }
        has(&w, me, 60, 40).await;
        let other = Hold { amount: 41, ..first.clone() };
        let differs = set_aside(&w, &t, &other).await;
        assert!(matches!(differs, Err(WalletError::TransferDiffers)));
        for _ in 0..2 {
            assert!(redeem(&w, &t, first.id).await);
        }
        release(&w, &t, first.id).await;
        has(&w, me, 60, 0).await;

        let second = hold(&t, "second", me, 10);
        set_aside(&w, &t, &second).await.unwrap();
        for _ in 0..2 {
            release(&w, &t, second.id).await;
        }
        assert!(!redeem(&w, &t, second.id).await);
        has(&w, me, 60, 0).await;

        for n in 0..70 {
            let held = set_aside(&w, &t, &hold(&t, &format!("lapsing {n}"), me, 1)).await;
            assert_eq!(held.is_ok(), n < 60);
        }
        has(&w, me, 0, 60).await;
        assert_eq!(w.release_expired().await.unwrap(), 0);
        t.clock.advance_ms(600 * SECOND_MS);
        // Its time is over, whether the sweep has come by or not.
        assert!(!redeem(&w, &t, hold(&t, "lapsing 0", me, 1).id).await);
        // The job does what the sweep does.
        let jobs = Jobs::new(t.db.clone(), t.env.clone());
        w.register_jobs(&jobs);
        assert_eq!(jobs.drain().await.unwrap(), 0);
        t.clock.advance_ms(30 * SECOND_MS);
        assert_eq!(jobs.drain().await.unwrap(), 1);
        has(&w, me, 60, 0).await;
        assert_eq!(w.release_expired().await.unwrap(), 0);
        assert!(!redeem(&w, &t, hold(&t, "lapsing 0", me, 1).id).await);
        has(&w, me, 60, 0).await;
        right(&w).await;
    })
    .await;
}

#[tokio::test]
async fn a_guests_coins_follow_with_their_holds_and_so_do_late_ones() {
    on_both(SETS, async |t| {
        let w = wallet(&t);
        let (guest, me) = (person(1), person(2));
        post(&w, &t, &[reward("g", guest, 100), reward("m", me, 5)]).await.unwrap();
        let open = hold(&t, "h", guest, 30);
        set_aside(&w, &t, &open).await.unwrap();
        for _ in 0..3 {
            merge(&w, &t, guest, me).await;
            has(&w, guest, 0, 0).await;
            has(&w, me, 75, 30).await;
        }
        // The hold can be repeated, and is paid from where the coins are now.
        set_aside(&w, &t, &open).await.unwrap();
        assert!(redeem(&w, &t, open.id).await);
        has(&w, me, 75, 0).await;
        // A match of the guest ends after the login.
        post(&w, &t, &[reward("late", guest, 7)]).await.unwrap();
        post(&w, &t, &[reward("late", guest, 7)]).await.unwrap();
        has(&w, guest, 0, 0).await;
        has(&w, me, 82, 0).await;
        // One who never had coins.
        merge(&w, &t, person(3), me).await;
        post(&w, &t, &[reward("late 3", person(3), 1)]).await.unwrap();
        has(&w, me, 83, 0).await;
        right(&w).await;
    })
    .await;
}

const CHANGE: Sql = Sql::new("t.change", "UPDATE ledger_transfer SET amount = 1");
const DELETE: Sql = Sql::new("t.delete", "DELETE FROM ledger_transfer");
const OVERDRAW: Sql = Sql::new("t.overdraw", "UPDATE ledger_account SET balance = held - 1");
const KEEP: Sql =
    Sql::new("t.keep", "UPDATE ledger_account SET balance = 1 WHERE kind = 'coin_issuer'");
const NAMES: Sql = Sql::new("t.names", "SELECT id, kind FROM ledger_account WHERE kind <> 'coins'");

#[tokio::test]
async fn the_database_itself_keeps_the_books() {
    on_both(SETS, async |t| {
        let w = wallet(&t);
        post(&w, &t, &[reward("win", person(1), 50)]).await.unwrap();
        for sql in [CHANGE, DELETE] {
            let refused = t.db.write("t.frozen", move |tx| tx.exec(&sql, &[])).await;
            assert!(refused.unwrap_err().to_string().contains("never changes"));
        }
        let refused = t.db.write("t.overdraw", |tx| tx.exec(&OVERDRAW, &[])).await;
        assert!(refused.unwrap_err().is_check_named("ledger_account_covered"));
        let refused = t.db.write("t.keep", |tx| tx.exec(&KEEP, &[])).await;
        assert!(refused.unwrap_err().is_check_named("ledger_account_kept"));
        right(&w).await;
        // The shop's accounts are there under the ids that the program computes.
        let named = t.db.read("t.names", |q| q.all(&NAMES, &[])).await.unwrap();
        assert_eq!(named.len(), 7);
        for row in named {
            let kind: String = row.get(1).unwrap();
            assert_eq!(row.get::<Id>(0), Ok(Id::from_name(&kind)));
        }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_balance_is_found() {
    on_both(SETS, async |t| {
        const STEAL: Sql =
            Sql::new("t.steal", "UPDATE ledger_account SET balance = 51 WHERE kind = 'coins'");
        let w = wallet(&t);
        post(&w, &t, &[reward("win", person(1), 50)]).await.unwrap();
        t.db.write("t.steal", |tx| tx.exec(&STEAL, &[])).await.unwrap();
        let check = w.check().await.unwrap();
        assert_eq!(check.sum_coin, 1);
        assert_eq!(check.wrong, [Account::Coins(person(1)).id()]);
    })
    .await;
}

#[tokio::test]
async fn the_statement_pages_through_everything_once() {
    on_both(SETS, async |t| {
        let w = wallet(&t);
        let me = person(1);
        for n in 0..7 {
            post(&w, &t, &[reward(&format!("win {n}"), me, 10 + n)]).await.unwrap();
            // Some share an instant.
            t.clock.advance_ms(n % 2);
        }
        post(&w, &t, &[spend("buy", me, 60), reward("x", person(2), 1)]).await.unwrap();
        let mut seen = Vec::new();
        let mut page = PageRequest::first(3);
        loop {
            let got = w.entries(&as_person(me), &page).await.unwrap();
            assert!(got.items.len() <= 3);
            page.after = got.items.last().map(|(c, _)| c.clone());
            seen.extend(got.items.into_iter().map(|(_, e)| e));
            if !got.has_next {
                break;
            }
        }
        assert_eq!(seen.len(), 8);
        assert!(seen.windows(2).all(|w| (w[0].at, w[0].id) > (w[1].at, w[1].id)));
        let total: i64 = seen.iter().map(|e| e.amount).sum();
        has(&w, me, total, 0).await;
        let nobody = w.entries(&Op::system("t"), &page).await;
        assert!(matches!(nobody, Err(WalletError::Unauthenticated)));
    })
    .await;
}

#[tokio::test]
async fn only_managers_give_coins_and_a_retry_gives_once() {
    on_both(SETS, async |t| {
        let w = wallet(&t);
        let staff = |role| {
            let mut op = Op::system("t");
            op.actor = Actor::Staff { id: StaffId(Id::from_name("staff")), role };
            op
        };
        let manager = staff(Role::Manager);
        for _ in 0..2 {
            let now = w.grant(&manager, person(1), 20, "sorry").await.unwrap();
            assert_eq!(now, Balance { available: 20, held: 0 });
        }
        let other = w.grant(&manager, person(2), 20, "sorry").await;
        assert!(matches!(other, Err(WalletError::TransferDiffers)));
        for amount in [0, -1, 1_000_001, i64::MIN] {
            let refused = w.grant(&manager, person(1), amount, "k").await;
            assert!(matches!(refused, Err(WalletError::Invalid { field: "amount", .. })));
        }
        for key in [String::new(), "x".repeat(101)] {
            let refused = w.grant(&manager, person(1), 1, &key).await;
            assert!(matches!(refused, Err(WalletError::Invalid { field: "key", .. })));
        }
        for op in [staff(Role::Support), staff(Role::Viewer), as_person(person(1))] {
            let refused = w.grant(&op, person(1), 1, "k").await;
            assert!(matches!(refused, Err(WalletError::Denied)));
        }
        has(&w, person(1), 20, 0).await;
    })
    .await;
}

/// Not a double for other tests: it stops compiling when the contract gets a method, and whoever
/// adds one has to say here that it does not let anybody buy, give away, stake or cash out coins.
#[allow(dead_code)]
struct NothingElse;

#[async_trait::async_trait]
impl Wallet for NothingElse {
    // Look at coins.
    async fn balance(&self, _: PersonId) -> Result<Balance, WalletError> {
        unreachable!()
    }
    async fn entries(&self, _: &Op, _: &PageRequest) -> Result<Page<Entry>, WalletError> {
        unreachable!()
    }
    async fn check(&self) -> Result<LedgerCheck, WalletError> {
        unreachable!()
    }
    // From the issuer to a person, by staff.
    async fn grant(&self, _: &Op, _: PersonId, _: i64, _: &str) -> Result<Balance, WalletError> {
        unreachable!()
    }
    // What `rules::allowed` lists, Merge excepted.
    fn post_in(&self, _: &mut mela_db::Tx<'_>, _: &[Transfer]) -> Result<(), WalletError> {
        unreachable!()
    }
    // Spend on an order.
    fn hold_in(&self, _: &mut mela_db::Tx<'_>, _: &Hold) -> Result<(), WalletError> {
        unreachable!()
    }
    fn redeem_hold_in(
        &self,
        _: &mut mela_db::Tx<'_>,
        _: mela_base::ids::HoldId,
    ) -> Result<bool, WalletError> {
        unreachable!()
    }
    fn release_hold_in(
        &self,
        _: &mut mela_db::Tx<'_>,
        _: mela_base::ids::HoldId,
    ) -> Result<(), WalletError> {
        unreachable!()
    }
}
