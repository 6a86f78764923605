//! Pure decisions: what may be booked, and what it does to balances.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use mela_base::ids::{AccountId, PersonId, TransferId};
use mela_base::{Id, Timestamp};
use mela_wallet_api::{Account, Transfer, TransferCode, WalletError};

/// No single movement is larger: 10,000 crore rupees in paise. Sums stay far from the end of
/// 64 bits.
pub(crate) const MAX_AMOUNT: i64 = 10_000_000_000_000;
/// What one call by staff can give.
pub(crate) const MAX_GRANT: i64 = 1_000_000;

/// The one list of what can happen. For coins it is also the law's: they are earned, spent on
/// goods, given back with the order, follow a guest into the account, or lapse. None of them can
/// be bought, given to somebody else, staked or paid out.
pub(crate) fn allowed(code: TransferCode, from: Account, to: Account) -> bool {
    use Account::{CodReceivable, CoinExpired, CoinIssuer, CoinRedeemed, Coins};
    use Account::{GatewayReceivable, Refunds, Sales};
    use TransferCode as C;
    match code {
        C::GameReward | C::Grant => matches!((from, to), (CoinIssuer, Coins(_))),
        C::OrderRedeem => matches!((from, to), (Coins(_), CoinRedeemed)),
        C::OrderRestore => matches!((from, to), (CoinRedeemed, Coins(_))),
        C::Expire => matches!((from, to), (Coins(_), CoinExpired)),
        C::Merge => matches!((from, to), (Coins(a), Coins(b)) if a != b),
        C::OrderCod | C::OrderPaid | C::OrderRefund | C::OrderVoid => {
            let money = |a| matches!(a, CodReceivable | GatewayReceivable | Sales | Refunds);
            money(from) && money(to) && from != to
        }
    }
}

pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> WalletError {
    WalletError::Invalid { field, message: message.into() }
}

pub(crate) fn check_amount(amount: i64) -> Result<(), WalletError> {
    if (1..=MAX_AMOUNT).contains(&amount) {
        return Ok(());
    }
    Err(invalid("amount", format!("an amount is a whole number from 1 to {MAX_AMOUNT}")))
}

/// The transfers to book, in the order of their ids so that two callers never wait for each other
/// in a circle. The same one twice counts once.
pub(crate) fn check(
    transfers: &[Transfer],
    merging: bool,
) -> Result<BTreeMap<TransferId, &Transfer>, WalletError> {
    let mut out = BTreeMap::new();
    for t in transfers {
        check_amount(t.amount)?;
        if t.code == TransferCode::Merge && !merging {
            return Err(invalid("code", "coins follow a guest only when that guest logs in"));
        }
        if !allowed(t.code, t.from, t.to) {
            return Err(invalid(
                "code",
                format!(
                    "{} cannot move from {} to {}",
                    t.code.as_str(),
                    t.from.kind(),
                    t.to.kind()
                ),
            ));
        }
        match out.entry(t.id) {
            Entry::Vacant(slot) => {
                slot.insert(t);
            }
            Entry::Occupied(known) if *known.get() == t => {}
            Entry::Occupied(_) => return Err(WalletError::TransferDiffers),
        }
    }
    Ok(out)
}

/// What a booking does to one person's coins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) person: PersonId,
    /// Gains less losses.
    pub(crate) net: i64,
    /// One of the transfers, to derive ids from.
    pub(crate) cause: TransferId,
}

/// The changes of the accounts that keep a balance.
pub(crate) fn changes<'t>(
    transfers: impl Iterator<Item = &'t Transfer>,
) -> BTreeMap<AccountId, Change> {
    let mut out: BTreeMap<AccountId, Change> = BTreeMap::new();
    for t in transfers {
        for (account, sign) in [(t.from, -1), (t.to, 1)] {
            if let Account::Coins(person) = account {
                let change =
                    out.entry(account.id()).or_insert(Change { person, net: 0, cause: t.id });
                change.net += sign * t.amount;
            }
        }
    }
    out
}

/// The place in a statement after an entry: time and id.
pub(crate) fn cursor(at: Timestamp, id: TransferId) -> String {
    format!("{:x}.{}", at.micros(), id.0)
}

pub(crate) fn parse_cursor(text: &str) -> Result<(Timestamp, TransferId), WalletError> {
    text.split_once('.')
        .filter(|(at, _)| at.len() <= 16 && at.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|(at, id)| Some((i64::from_str_radix(at, 16).ok()?, Id::parse(id)?)))
        .map(|(at, id)| (Timestamp::from_micros(at), TransferId(id)))
        .ok_or_else(|| invalid("after", "this cursor is not valid; start from the first page"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn person(n: u8) -> Account {
        Account::Coins(PersonId(Id::from_bytes([n; 16])))
    }

    fn accounts() -> Vec<Account> {
        vec![
            person(1),
            person(2),
            Account::CoinIssuer,
            Account::CoinRedeemed,
            Account::CoinExpired,
            Account::CodReceivable,
            Account::GatewayReceivable,
            Account::Sales,
            Account::Refunds,
        ]
    }

    /// The law's list. Who adds a code or an account has to come here and say why it is none of:
    /// buying, giving, staking, cashing out.
    #[test]
    fn coins_are_earned_spent_on_goods_given_back_or_lapse() {
        let mut coin_moves = Vec::new();
        for code in TransferCode::ALL {
            for from in accounts() {
                for to in accounts() {
                    if !allowed(code, from, to) {
                        continue;
                    }
                    assert_eq!(from.unit(), to.unit(), "{code:?} would turn coins into money");
                    assert_ne!(from, to);
                    if from.unit() == mela_wallet_api::Unit::Coin {
                        coin_moves.push((code.as_str(), from.kind(), to.kind()));
                    }
                }
            }
        }
        coin_moves.sort_unstable();
        coin_moves.dedup();
        assert_eq!(
            coin_moves,
            [
                ("expire", "coins", "coin_expired"),
                ("game_reward", "coin_issuer", "coins"),
                ("grant", "coin_issuer", "coins"),
                ("merge", "coins", "coins"),
                ("order_redeem", "coins", "coin_redeemed"),
                ("order_restore", "coin_redeemed", "coins"),
            ]
        );
    }

    #[test]
    fn nobody_outside_can_merge() {
        let t = Transfer {
            id: TransferId(Id::from_name("t")),
            from: person(1),
            to: person(2),
            amount: 5,
            code: TransferCode::Merge,
            reference: Id::from_name("r"),
        };
        assert!(matches!(
            check(std::slice::from_ref(&t), false),
            Err(WalletError::Invalid { field: "code", .. })
        ));
        assert!(check(&[t], true).is_ok());
    }

    proptest! {
        #[test]
        fn garbage_cursors_are_refused(text in ".{0,60}") {
            if let Ok((at, id)) = parse_cursor(&text) {
                prop_assert_eq!(cursor(at, id).len(), text.trim_start_matches('0').len().max(28));
            }
        }

        #[test]
        fn cursors_round_trip(micros in 0i64.., bytes: [u8; 16]) {
            let id = TransferId(Id::from_bytes(bytes));
            let at = Timestamp::from_micros(micros);
            prop_assert_eq!(parse_cursor(&cursor(at, id)).unwrap(), (at, id));
        }
    }
}
