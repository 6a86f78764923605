//! Orders through their contract, on both engines, with the real catalogue, inventory, wallet and
//! payments. What stands outside of the house is faked: gateway calls, courier, phone, mailbox, and
//! the inbox is a list.

#![allow(clippy::unwrap_used)]

mod carts;
mod checkout;
mod fakes;
mod histories;
mod life;
mod races;
mod shop;

use mela_db::check_statements;
use mela_testkit::on_both;

#[tokio::test]
async fn statements_are_good_on_both_engines() {
    on_both(shop::SETS, async |t| {
        assert_eq!(check_statements(&t.db, mela_orders::STATEMENTS), Vec::<String>::new());
    })
    .await;
}
