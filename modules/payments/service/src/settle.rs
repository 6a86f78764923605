//! What happens to our books when a gateway says something: the one way in which a payment or a
//! refund moves, whoever brought the news (redirect, webhook, look).

use std::sync::Arc;

use mela_base::ids::{OrderId, RefundId, TransferId};
use mela_base::{Env, HOUR_MS, Id, Internal, MINUTE_MS, Paise};
use mela_db::{DbError, Tx};
use mela_payments_api::{
    PaymentCaptured, PaymentError, PaymentFailed, PaymentRefunded, PaymentState,
};
use mela_wallet_api::{Account, Transfer, TransferCode, Wallet};

use crate::gateway::{PaymentFact, RefundFact, RefundState, Status};
use crate::jobs;
use crate::razorpay::reason;
use crate::rules::{self, Decision, Known};
use crate::store::{self, NewRefundRow, PaymentRow, RefundRow};

/// What a fact did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Not about a payment of ours.
    Unknown,
    /// Known already.
    Nothing,
    /// Something moved.
    Moved,
    /// Refused: amount or currency are not ours.
    Mismatch,
    /// A second payment; it goes back.
    Surplus,
}

impl Outcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Nothing => "nothing",
            Self::Moved => "moved",
            Self::Mismatch => "mismatch",
            Self::Surplus => "surplus",
        }
    }
}

#[derive(Clone)]
pub(crate) struct Settler {
    pub(crate) env: Env,
    pub(crate) wallet: Arc<dyn Wallet>,
}

impl Settler {
    /// Applies what a gateway says of a payment.
    pub(crate) fn payment_in(
        &self,
        tx: &mut Tx<'_>,
        fact: &PaymentFact,
    ) -> Result<Outcome, PaymentError> {
        let now = self.env.now();
        // A guarded UPDATE that changes nothing means that somebody was faster: decide again.
        for _ in 0..4 {
            let Some(p) = store::by_gateway_order(tx, &fact.gateway_order_id)? else {
                return Ok(Outcome::Unknown);
            };
            let arrived = matches!(fact.status, Status::Captured | Status::Refunded);
            let order_paid = arrived && p.captured == Paise::ZERO && store::order_paid(tx, &p)?;
            let known = Known {
                state: p.state,
                amount: p.amount.0,
                captured: p.captured.0,
                gateway_payment_id: p.gateway_payment_id.clone(),
                order_paid,
            };
            let moved = match rules::decide(&known, fact) {
                Decision::Nothing => return Ok(Outcome::Nothing),
                Decision::Mismatch => {
                    tracing::error!(payment = %p.id, gateway_payment = fact.id,
                        "a gateway payment has another amount or currency than asked for");
                    return Ok(Outcome::Mismatch);
                }
                Decision::Surplus => {
                    self.surplus_in(tx, &p, fact)?;
                    return Ok(Outcome::Surplus);
                }
                Decision::Authorize => store::authorize(tx, &p, now)?,
                Decision::Fail => {
                    let text = reason::sentence(fact.reason.as_deref().unwrap_or_default());
                    let failed = store::fail(tx, &p, text, now)?;
                    if failed {
                        self.failed_in(tx, &p)?;
                    }
                    failed
                }
                Decision::Capture { to, kept } => self.capture_in(tx, &p, fact, to, kept)?,
            };
            if moved {
                return Ok(Outcome::Moved);
            }
        }
        Err(Internal::new("a payment kept changing while it was settled").into())
    }

    /// The attempt failed, as the shopper's own browser says: a hint, so only the state moves.
    pub(crate) fn failed_in(&self, tx: &mut Tx<'_>, p: &PaymentRow) -> Result<(), PaymentError> {
        let event = PaymentFailed { payment_id: p.id, order_id: p.order_id };
        Ok(mela_bus::emit(tx, &self.env, &event)?)
    }

    fn capture_in(
        &self,
        tx: &mut Tx<'_>,
        p: &PaymentRow,
        fact: &PaymentFact,
        to: PaymentState,
        kept: bool,
    ) -> Result<bool, PaymentError> {
        let now = self.env.now();
        // One more look later finds second payments whose webhook was lost.
        let check_at = now.plus_ms(HOUR_MS);
        let moved = tx.attempt(|tx| store::capture(tx, p, to, kept, &fact.id, now, check_at));
        match moved {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            // At the same moment another payment of the order was captured.
            Err(error) if error.is_unique_named("payment_keeps") => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        self.arrived_in(tx, p.order_id, fact)?;
        if kept {
            let event =
                PaymentCaptured { payment_id: p.id, order_id: p.order_id, amount: p.amount };
            mela_bus::emit(tx, &self.env, &event)?;
        } else if to == PaymentState::Cancelled {
            tracing::warn!(payment = %p.id, order = %p.order_id,
                "money arrived for a payment that was given up; it goes back");
            store::reserve_refund(tx, p.id, p.amount, now)?;
            let row = NewRefundRow {
                id: RefundId(Id::from_name(&format!("late:{}", fact.id))),
                payment_id: p.id,
                gateway_payment_id: &fact.id,
                amount: p.amount,
                surplus: false,
                state: RefundState::Created,
                reason: "arrived after the order was given up or paid otherwise",
                gateway_refund_id: None,
                next_check_at: Some(now),
            };
            if store::insert_refund(tx, &row, now)? {
                jobs::enqueue_recover(tx, &self.env)?;
            }
        }
        Ok(true)
    }

    fn surplus_in(
        &self,
        tx: &mut Tx<'_>,
        p: &PaymentRow,
        fact: &PaymentFact,
    ) -> Result<(), PaymentError> {
        let now = self.env.now();
        let gone = fact.status == Status::Refunded || fact.amount_refunded >= fact.amount;
        let row = NewRefundRow {
            id: surplus_id(&fact.id),
            payment_id: p.id,
            gateway_payment_id: &fact.id,
            amount: Paise(fact.amount),
            surplus: true,
            state: if gone { RefundState::Processed } else { RefundState::Created },
            reason: "a second payment for the same order",
            gateway_refund_id: None,
            next_check_at: (!gone).then_some(now),
        };
        if store::insert_refund(tx, &row, now)? {
            tracing::warn!(payment = %p.id, order = %p.order_id,
                "a second payment arrived for an order; it goes back");
            self.arrived_in(tx, p.order_id, fact)?;
            if gone {
                self.went_back_in(tx, p.order_id, row.id, row.amount)?;
            } else {
                jobs::enqueue_recover(tx, &self.env)?;
            }
        }
        Ok(())
    }

    /// Applies what a gateway says of a refund of the payment with this gateway order.
    pub(crate) fn refund_in(
        &self,
        tx: &mut Tx<'_>,
        gateway_order: Option<&str>,
        fact: &RefundFact,
    ) -> Result<Outcome, PaymentError> {
        for _ in 0..4 {
            let Some(row) = find_refund(tx, fact)? else {
                match self.refund_by_hand_in(tx, gateway_order, fact)? {
                    Some(outcome) => return Ok(outcome),
                    // Another call wrote it down at this moment: it is there now.
                    None => continue,
                }
            };
            if row.gateway_payment_id != fact.gateway_payment_id || row.amount.0 != fact.amount {
                tracing::error!(refund = %row.id, "the gateway knows this refund with another amount");
                return Ok(Outcome::Mismatch);
            }
            let other = row.gateway_refund_id.as_ref().is_some_and(|id| *id != fact.id);
            if other || !rules::refund_may_move(row.state, fact.state) {
                return Ok(Outcome::Nothing);
            }
            let failure = (fact.state == RefundState::Failed).then_some("the gateway gave up");
            if self.move_refund_in(tx, &row, fact.state, Some(&fact.id), failure)? {
                return Ok(Outcome::Moved);
            }
        }
        Err(Internal::new("a refund kept changing while it was settled").into())
    }

    /// Moves a refund with all that follows; false if somebody else was faster.
    pub(crate) fn move_refund_in(
        &self,
        tx: &mut Tx<'_>,
        row: &RefundRow,
        to: RefundState,
        gateway_refund: Option<&str>,
        failure: Option<&str>,
    ) -> Result<bool, PaymentError> {
        let now = self.env.now();
        let check_at = (to == RefundState::Pending).then(|| now.plus_ms(MINUTE_MS));
        if !row.surplus && matches!(to, RefundState::Processed | RefundState::Failed) {
            // Two refunds that end at the same moment would each not see the other's end.
            store::lock(tx, row.payment_id, now)?;
        }
        if !store::move_refund(tx, row, to, gateway_refund, failure, now, check_at)? {
            return Ok(false);
        }
        match to {
            RefundState::Processed => {
                self.went_back_in(tx, row.order_id, row.id, row.amount)?;
                if !row.surplus {
                    store::settle_refunded(tx, row.payment_id, now)?;
                    self.refunded_in(tx, row)?;
                }
            }
            RefundState::Failed => {
                tracing::error!(refund = %row.id, order = %row.order_id,
                    "a refund failed; the money is still here, make a new refund");
                if row.state == RefundState::Processed {
                    self.came_back_in(tx, row)?;
                }
                if !row.surplus {
                    store::release_refund(tx, row.payment_id, row.amount, now)?;
                    store::settle_refunded(tx, row.payment_id, now)?;
                }
            }
            RefundState::Created | RefundState::Pending => {}
        }
        Ok(true)
    }

    /// A refund that was made at the gateway and not by us. `None` if it is there already.
    fn refund_by_hand_in(
        &self,
        tx: &mut Tx<'_>,
        gateway_order: Option<&str>,
        fact: &RefundFact,
    ) -> Result<Option<Outcome>, PaymentError> {
        let now = self.env.now();
        let p = match gateway_order {
            Some(order) => store::by_gateway_order(tx, order)?,
            None => None,
        };
        let Some(p) = p else { return Ok(Some(Outcome::Unknown)) };
        // A second payment that the gateway gave back by itself before we asked.
        if p.gateway_payment_id.as_deref() != Some(fact.gateway_payment_id.as_str()) {
            let Some(row) = store::refund_by_id(tx, surplus_id(&fact.gateway_payment_id))? else {
                return Ok(Some(Outcome::Unknown));
            };
            let adopt = row.gateway_refund_id.is_none()
                && row.amount.0 == fact.amount
                && rules::refund_may_move(row.state, fact.state);
            let moved = adopt && self.move_refund_in(tx, &row, fact.state, Some(&fact.id), None)?;
            return Ok(Some(if moved { Outcome::Moved } else { Outcome::Nothing }));
        }
        let amount = Paise(fact.amount);
        let id = RefundId(Id::from_name(&format!("gateway:{}", fact.id)));
        // One that failed is kept too: older news of it can still come.
        let failed = fact.state == RefundState::Failed;
        let row = NewRefundRow {
            id,
            payment_id: p.id,
            gateway_payment_id: &fact.gateway_payment_id,
            amount,
            surplus: false,
            state: if failed { RefundState::Failed } else { RefundState::Pending },
            reason: "made at the gateway",
            gateway_refund_id: Some(&fact.id),
            next_check_at: (!failed).then(|| now.plus_ms(MINUTE_MS)),
        };
        if fact.amount <= 0 {
            return Ok(Some(Outcome::Nothing));
        }
        if !store::insert_refund(tx, &row, now)? {
            return Ok(None);
        }
        if failed {
            return Ok(Some(Outcome::Moved));
        }
        if !store::count_refund(tx, p.id, amount, &fact.gateway_payment_id, now)? {
            // The whole transaction is undone by the error, so the row does not stay either.
            return Err(Internal::new("a refund at the gateway exceeds what was captured").into());
        }
        if fact.state == RefundState::Processed
            && let Some(row) = store::refund_by_id(tx, id)?
        {
            self.move_refund_in(tx, &row, RefundState::Processed, None, None)?;
        }
        Ok(Some(Outcome::Moved))
    }

    fn refunded_in(&self, tx: &mut Tx<'_>, row: &RefundRow) -> Result<(), PaymentError> {
        let event = PaymentRefunded {
            refund_id: row.id,
            payment_id: row.payment_id,
            order_id: row.order_id,
            amount: row.amount,
        };
        Ok(mela_bus::emit(tx, &self.env, &event)?)
    }

    /// Books money that arrived. The id follows from the gateway's payment, so it is booked once.
    fn arrived_in(
        &self,
        tx: &mut Tx<'_>,
        order: OrderId,
        fact: &PaymentFact,
    ) -> Result<(), PaymentError> {
        let name = format!("paid:{}", fact.id);
        let (from, to) = (Account::Sales, Account::GatewayReceivable);
        self.book_in(tx, &name, from, to, Paise(fact.amount), TransferCode::OrderPaid, order)
    }

    fn went_back_in(
        &self,
        tx: &mut Tx<'_>,
        order: OrderId,
        refund: RefundId,
        amount: Paise,
    ) -> Result<(), PaymentError> {
        let name = format!("refunded:{refund}");
        let (from, to) = (Account::GatewayReceivable, Account::Refunds);
        self.book_in(tx, &name, from, to, amount, TransferCode::OrderRefund, order)
    }

    fn came_back_in(&self, tx: &mut Tx<'_>, row: &RefundRow) -> Result<(), PaymentError> {
        let name = format!("refund-failed:{}", row.id);
        let (from, to) = (Account::Refunds, Account::GatewayReceivable);
        self.book_in(tx, &name, from, to, row.amount, TransferCode::OrderRefund, row.order_id)
    }

    #[allow(clippy::too_many_arguments)]
    fn book_in(
        &self,
        tx: &mut Tx<'_>,
        name: &str,
        from: Account,
        to: Account,
        amount: Paise,
        code: TransferCode,
        order: OrderId,
    ) -> Result<(), PaymentError> {
        let id = TransferId(Id::from_name(name));
        let transfer = Transfer { id, from, to, amount: amount.0, code, reference: order.0 };
        self.wallet
            .post_in(tx, &[transfer])
            .map_err(|e| Internal::new(format_args!("booking {name}: {e:?}")).into())
    }
}

fn surplus_id(gateway_payment: &str) -> RefundId {
    RefundId(Id::from_name(&format!("surplus:{gateway_payment}")))
}

/// By the gateway's id, then by the name that we gave it.
fn find_refund(tx: &mut Tx<'_>, fact: &RefundFact) -> Result<Option<RefundRow>, DbError> {
    if let Some(row) = store::refund_by_gateway(tx, &fact.id)? {
        return Ok(Some(row));
    }
    match fact.receipt.as_ref().and_then(|r| r.parse::<RefundId>().ok()) {
        Some(id) => store::refund_by_id(tx, id),
        None => Ok(None),
    }
}
