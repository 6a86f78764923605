//! What a fact does to a payment: pure decisions.

use mela_base::{DAY_MS, HOUR_MS, MINUTE_MS, Timestamp};
use mela_payments_api::{Method, PaymentState};

use crate::gateway::{PaymentFact, RefundState, Status};

/// Every allowed move. Two go backward, as they do at the gateway: a failed attempt can succeed
/// days later, and a refund can fail after it had been done.
pub(crate) fn may_move(from: PaymentState, to: PaymentState) -> bool {
    use PaymentState::{
        Authorized, Cancelled, Captured, Created, DueOnDelivery, Failed, Pending, Refunded,
    };
    matches!(
        (from, to),
        (Created, Pending | Cancelled)
            | (Pending, Authorized | Captured | Failed | Cancelled | Refunded)
            | (Failed, Pending | Authorized | Captured | Cancelled | Refunded)
            | (Authorized, Captured | Cancelled | Refunded)
            | (DueOnDelivery, Captured | Cancelled)
            | (Captured, Refunded)
            | (Cancelled, Refunded)
            | (Refunded, Captured | Cancelled)
    )
}

/// In which state a payment begins.
pub(crate) fn first_state(method: Method) -> PaymentState {
    match method {
        Method::CashOnDelivery => PaymentState::DueOnDelivery,
        Method::Razorpay => PaymentState::Created,
        Method::Coins => PaymentState::Captured,
    }
}

/// What a decision needs to know of our payment.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) state: PaymentState,
    pub(crate) amount: i64,
    pub(crate) captured: i64,
    pub(crate) gateway_payment_id: Option<String>,
    /// Another payment pays the order.
    pub(crate) order_paid: bool,
}

/// What a fact about a gateway payment leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Known already, or overtaken.
    Nothing,
    /// The bank said yes.
    Authorize,
    /// The attempt failed.
    Fail,
    /// The money arrived; the payment comes to `to`. `kept`: it pays the order. Otherwise nobody
    /// waits for it any more and it goes back.
    Capture {
        /// Where to.
        to: PaymentState,
        /// Pays the order.
        kept: bool,
    },
    /// Money beside the payment: a second one for the same gateway order, or another amount than
    /// asked. It goes back and changes nothing here.
    Surplus,
    /// Amount or currency are not what was asked for; believed in nothing.
    Mismatch,
}

/// Decides. The outcome of a set of facts does not depend on their order or number, except for
/// which of several captured attempts is kept (the first one seen).
pub(crate) fn decide(known: &Known, fact: &PaymentFact) -> Decision {
    let ours = known.gateway_payment_id.as_deref() == Some(fact.id.as_str());
    let arrived = matches!(fact.status, Status::Captured | Status::Refunded);
    if fact.currency != "INR" || fact.amount != known.amount {
        let known_money = ours && known.captured > 0;
        let returnable = arrived && fact.currency == "INR" && fact.amount > 0;
        return if returnable && !known_money { Decision::Surplus } else { Decision::Mismatch };
    }
    match fact.status {
        Status::Open => Decision::Nothing,
        Status::Authorized if may_move(known.state, PaymentState::Authorized) => {
            Decision::Authorize
        }
        Status::Failed if may_move(known.state, PaymentState::Failed) => Decision::Fail,
        Status::Authorized | Status::Failed => Decision::Nothing,
        Status::Captured | Status::Refunded if known.captured > 0 => {
            if ours {
                Decision::Nothing
            } else {
                Decision::Surplus
            }
        }
        Status::Captured | Status::Refunded => {
            let (to, kept) = match (known.state, fact.status) {
                // All of it went back before we saw it: it never paid the order.
                (_, Status::Refunded) => (PaymentState::Refunded, false),
                (PaymentState::Cancelled, _) => (PaymentState::Cancelled, false),
                _ if known.order_paid => (PaymentState::Cancelled, false),
                _ => (PaymentState::Captured, true),
            };
            // A payment without a gateway order (created, on delivery, coins) has no such facts.
            let same = known.state == to && to == PaymentState::Cancelled;
            if same || may_move(known.state, to) {
                Decision::Capture { to, kept }
            } else {
                Decision::Nothing
            }
        }
    }
}

/// Whether a refund may go from one state to another. `failed` is final: a later try is a new
/// refund.
pub(crate) fn refund_may_move(from: RefundState, to: RefundState) -> bool {
    use RefundState::{Created, Failed, Pending, Processed};
    matches!(
        (from, to),
        (Created, Pending | Processed | Failed)
            | (Pending, Processed | Failed)
            | (Processed, Failed)
    )
}

/// How long after its beginning a payment can still succeed: banks answer up to five days later.
const WATCHED_MS: i64 = 6 * DAY_MS;

/// When to look at the gateway again, if no webhook comes before: soon while the shopper waits,
/// then ever more seldom, and no more when nothing can come.
pub(crate) fn next_check(now: Timestamp, begun: Timestamp) -> Option<Timestamp> {
    let age = now.since_ms(begun);
    (age < WATCHED_MS).then(|| now.plus_ms((age / 2).clamp(MINUTE_MS, 6 * HOUR_MS)))
}

/// When to look at a refund again. There is no end: promised money is followed until it arrives.
pub(crate) fn next_refund_check(now: Timestamp, begun: Timestamp) -> Timestamp {
    now.plus_ms((now.since_ms(begun) / 2).clamp(MINUTE_MS, DAY_MS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fact(id: u8, status: Status) -> PaymentFact {
        PaymentFact {
            id: format!("pay_{id}"),
            gateway_order_id: "order_1".to_owned(),
            amount: 500,
            currency: "INR".to_owned(),
            status,
            amount_refunded: 0,
            reason: None,
        }
    }

    /// Applies a decision as the store does.
    fn apply(known: &mut Known, back: &mut Vec<String>, fact: &PaymentFact) {
        match decide(known, fact) {
            Decision::Nothing | Decision::Mismatch => {}
            Decision::Authorize => {
                assert!(may_move(known.state, PaymentState::Authorized));
                known.state = PaymentState::Authorized;
            }
            Decision::Fail => known.state = PaymentState::Failed,
            Decision::Capture { to, kept } => {
                known.state = to;
                known.captured = known.amount;
                known.gateway_payment_id = Some(fact.id.clone());
                if !kept {
                    back.push(fact.id.clone());
                }
            }
            Decision::Surplus => {
                if !back.contains(&fact.id) {
                    back.push(fact.id.clone());
                }
            }
        }
    }

    fn known() -> Known {
        Known {
            state: PaymentState::Pending,
            amount: 500,
            captured: 0,
            gateway_payment_id: None,
            order_paid: false,
        }
    }

    fn run(start: Known, facts: &[PaymentFact]) -> (Known, Vec<String>) {
        let (mut known, mut back) = (start, Vec::new());
        for fact in facts {
            apply(&mut known, &mut back, fact);
        }
        back.sort();
        (known, back)
    }

    /// What a gateway sends for attempts of which at most one is captured.
    fn history() -> impl Strategy<Value = Vec<PaymentFact>> {
        let attempt = prop_oneof![
            Just(vec![Status::Failed]),
            Just(vec![Status::Open]),
            Just(vec![Status::Failed, Status::Open]),
        ];
        let last = prop_oneof![
            Just(vec![]),
            Just(vec![Status::Authorized]),
            Just(vec![Status::Failed, Status::Authorized]),
            Just(vec![Status::Authorized, Status::Captured]),
            Just(vec![Status::Failed, Status::Authorized, Status::Captured]),
        ];
        (prop::collection::vec(attempt, 0..3), last).prop_map(|(attempts, last)| {
            let mut out = Vec::new();
            for (i, statuses) in attempts.into_iter().enumerate() {
                let id = u8::try_from(i).unwrap();
                out.extend(statuses.into_iter().map(|s| fact(id, s)));
            }
            out.extend(last.into_iter().map(|s| fact(9, s)));
            out
        })
    }

    proptest! {
        #[test]
        fn order_and_number_do_not_matter(
            facts in history(),
            copies in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
            seed in any::<u64>(),
        ) {
            let straight = run(known(), &facts);
            let mut mixed = facts.clone();
            if !facts.is_empty() {
                mixed.extend(copies.iter().map(|i| facts[i.index(facts.len())].clone()));
            }
            // A shuffle from the seed.
            let mut state = seed;
            for i in (1..mixed.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                mixed.swap(i, usize::try_from(state >> 33).unwrap() % (i + 1));
            }
            let shuffled = run(known(), &mixed);
            prop_assert_eq!(straight.0.state, shuffled.0.state);
            prop_assert_eq!(straight.0.captured, shuffled.0.captured);
            prop_assert_eq!(straight.0.gateway_payment_id, shuffled.0.gateway_payment_id);
            prop_assert_eq!(straight.1, shuffled.1);
        }

        #[test]
        fn of_many_captured_ones_one_is_kept_and_the_others_go_back(
            ids in prop::collection::vec(0u8..6, 1..20),
        ) {
            let facts: Vec<_> = ids.iter().map(|i| fact(*i, Status::Captured)).collect();
            let (known, back) = run(known(), &facts);
            let mut distinct: Vec<_> = facts.iter().map(|f| f.id.clone()).collect();
            distinct.sort();
            distinct.dedup();
            prop_assert_eq!(known.state, PaymentState::Captured);
            prop_assert_eq!(back.len(), distinct.len() - 1);
            prop_assert!(!back.contains(&known.gateway_payment_id.unwrap()));
        }
    }

    #[test]
    fn another_amount_or_currency_is_never_believed() {
        let mut wrong = fact(1, Status::Captured);
        wrong.amount = 499;
        assert_eq!(decide(&known(), &wrong), Decision::Surplus);
        wrong.status = Status::Authorized;
        assert_eq!(decide(&known(), &wrong), Decision::Mismatch);
        let mut foreign = fact(1, Status::Captured);
        foreign.currency = "USD".to_owned();
        assert_eq!(decide(&known(), &foreign), Decision::Mismatch);
        // The same payment again with another amount does not send our money back.
        let (after, _) = run(known(), &[fact(1, Status::Captured)]);
        wrong.status = Status::Captured;
        assert_eq!(decide(&after, &wrong), Decision::Mismatch);
    }

    #[test]
    fn late_money_goes_back() {
        let mut cancelled = known();
        cancelled.state = PaymentState::Cancelled;
        let back = Decision::Capture { to: PaymentState::Cancelled, kept: false };
        assert_eq!(decide(&cancelled, &fact(1, Status::Captured)), back);
        let mut paid = known();
        paid.order_paid = true;
        assert_eq!(decide(&paid, &fact(1, Status::Captured)), back);
        let gone = Decision::Capture { to: PaymentState::Refunded, kept: false };
        assert_eq!(decide(&known(), &fact(1, Status::Refunded)), gone);
    }

    #[test]
    fn nothing_leaves_a_state_that_the_table_does_not_allow() {
        for from in PaymentState::ALL {
            for status in [
                Status::Open,
                Status::Authorized,
                Status::Captured,
                Status::Failed,
                Status::Refunded,
            ] {
                let mut k = known();
                k.state = from;
                let to = match decide(&k, &fact(1, status)) {
                    Decision::Authorize => PaymentState::Authorized,
                    Decision::Fail => PaymentState::Failed,
                    Decision::Capture { to, .. } if to != from => to,
                    _ => continue,
                };
                assert!(may_move(from, to), "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn checks_get_seldom_and_end() {
        let begun = Timestamp::from_unix_s(1_700_000_000);
        let (mut now, mut checks) = (begun, 0);
        while let Some(next) = next_check(now, begun) {
            assert!(next > now);
            now = next;
            checks += 1;
        }
        assert!((20..60).contains(&checks), "{checks}");
    }
}
