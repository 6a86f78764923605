use mela_base::ids::{HoldId, PersonId, TransferId};
use mela_base::{Actor, Id, Op, SECOND_MS};
use mela_bus::Bus;
use mela_db::{MigrationSet, Sql};
use mela_identity_api::PersonMerged;
use mela_testkit::TestDb;
use mela_wallet::WalletService;
use mela_wallet_api::{Account, Balance, Hold, Transfer, TransferCode, Wallet, WalletError};

pub(crate) const SETS: &[MigrationSet] =
    &[mela_bus::MIGRATIONS, mela_jobs::MIGRATIONS, mela_wallet::MIGRATIONS];

pub(crate) fn wallet(t: &TestDb) -> WalletService {
    WalletService::new(t.db.clone(), t.env.clone())
}

pub(crate) fn person(n: u32) -> PersonId {
    PersonId(Id::from_name(&format!("person {n}")))
}

pub(crate) fn as_person(id: PersonId) -> Op {
    let mut op = Op::system("test");
    op.actor = Actor::Person { id, guest: false, session: Id::from_name("s").into() };
    op
}

pub(crate) fn transfer(
    name: &str,
    from: Account,
    to: Account,
    amount: i64,
    code: TransferCode,
) -> Transfer {
    let reference = Id::from_name("an order");
    Transfer { id: TransferId(Id::from_name(name)), from, to, amount, code, reference }
}

pub(crate) fn reward(name: &str, to: PersonId, amount: i64) -> Transfer {
    transfer(name, Account::CoinIssuer, Account::Coins(to), amount, TransferCode::GameReward)
}

pub(crate) fn spend(name: &str, from: PersonId, amount: i64) -> Transfer {
    transfer(name, Account::Coins(from), Account::CoinRedeemed, amount, TransferCode::OrderRedeem)
}

pub(crate) fn hold(t: &TestDb, name: &str, person: PersonId, amount: i64) -> Hold {
    Hold {
        id: HoldId(Id::from_name(name)),
        person,
        amount,
        reference: Id::from_name("an order"),
        expires_at: t.env.now().plus_ms(600 * SECOND_MS),
    }
}

pub(crate) async fn post(
    w: &WalletService,
    t: &TestDb,
    transfers: &[Transfer],
) -> Result<(), WalletError> {
    let (w, transfers) = (w.clone(), transfers.to_vec());
    t.db.write("t.post", move |tx| w.post_in(tx, &transfers)).await
}

pub(crate) async fn set_aside(
    w: &WalletService,
    t: &TestDb,
    hold: &Hold,
) -> Result<(), WalletError> {
    let (w, hold) = (w.clone(), hold.clone());
    t.db.write("t.hold", move |tx| w.hold_in(tx, &hold)).await
}

pub(crate) async fn redeem(w: &WalletService, t: &TestDb, id: HoldId) -> bool {
    let w = w.clone();
    t.db.write("t.redeem", move |tx| w.redeem_hold_in(tx, id)).await.unwrap()
}

pub(crate) async fn release(w: &WalletService, t: &TestDb, id: HoldId) {
    let w = w.clone();
    t.db.write("t.release", move |tx| w.release_hold_in(tx, id)).await.unwrap();
}

/// As identity says it, delivered by the bus.
pub(crate) async fn merge(w: &WalletService, t: &TestDb, from: PersonId, to: PersonId) {
    let bus = Bus::new(t.db.clone(), t.env.clone());
    w.subscribe(&bus);
    let (env, event) = (t.env.clone(), PersonMerged { from, to });
    t.db.write("t.merge", move |tx| mela_bus::emit(tx, &env, &event)).await.unwrap();
    while bus.dispatch_once().await.unwrap() > 0 {}
    assert!(bus.drained().await.unwrap());
}

/// Topic and key of every event so far.
pub(crate) async fn events(t: &TestDb) -> Vec<String> {
    const EVENTS: Sql = Sql::new("t.events", "SELECT topic, key FROM outbox ORDER BY seq");
    let rows = t.db.read("t.events", |q| q.all(&EVENTS, &[])).await.unwrap();
    rows.iter()
        .map(|r| format!("{} {}", r.get::<String>(0).unwrap(), r.get::<String>(1).unwrap()))
        .collect()
}

pub(crate) async fn has(w: &WalletService, who: PersonId, available: i64, held: i64) {
    assert_eq!(w.balance(who).await.unwrap(), Balance { available, held });
}

/// The books are right.
pub(crate) async fn right(w: &WalletService) {
    let check = w.check().await.unwrap();
    assert_eq!((check.sum_coin, check.sum_paise), (0, 0));
    assert_eq!(check.wrong, []);
}
