//! Giving money back: written down first, then sent as often as it takes.

use mela_base::ids::RefundId;
use mela_base::{Env, Id, Internal, MINUTE_MS, Paise};
use mela_db::Tx;
use mela_payments_api::{NewRefund, PaymentError};

use crate::gateway::{GatewayError, RefundState};
use crate::razorpay;
use crate::rules;
use crate::service::PaymentsService;
use crate::store::{self, NewRefundRow, RefundRow};

impl PaymentsService {
    /// Sends a refund that is written down, or looks how it stands.
    pub(crate) async fn pursue_refund(&self, row: &RefundRow) -> Result<(), PaymentError> {
        let gateway = self.gateway(razorpay::NAME)?;
        let answer = match (row.state, &row.gateway_refund_id) {
            (RefundState::Created, _) => {
                gateway.refund(&row.gateway_payment_id, row.id, row.amount).await
            }
            (RefundState::Pending, Some(id)) => gateway.refund_by_id(id).await,
            _ => return Ok(()),
        };
        let (settler, id) = (self.settler.clone(), row.id);
        let next = rules::next_refund_check(self.env.now(), row.created_at);
        let refused = match &answer {
            Err(GatewayError::Refused { description, .. }) => Some(description.clone()),
            _ => None,
        };
        self.db
            .write("payments.refund_settle", move |tx| {
                let Some(row) = store::refund_by_id(tx, id)? else { return Ok(()) };
                match &answer {
                    Ok(fact) => {
                        let known = store::refund_by_gateway(tx, &fact.id)?;
                        let to = if known.is_some_and(|other| other.id != row.id) {
                            // Made by hand and counted before ours could be sent.
                            RefundState::Failed
                        } else {
                            fact.state
                        };
                        let gateway_id = (to != RefundState::Failed).then_some(fact.id.as_str());
                        if rules::refund_may_move(row.state, to) {
                            settler.move_refund_in(tx, &row, to, gateway_id, None)?;
                        }
                    }
                    Err(GatewayError::Refused { description, .. }) => {
                        if row.state == RefundState::Created {
                            let failure = Some(description.as_str());
                            settler.move_refund_in(tx, &row, RefundState::Failed, None, failure)?;
                        }
                    }
                    Err(GatewayError::Unknown(why)) => {
                        tracing::warn!(refund = %id, why, "a refund is not confirmed yet");
                    }
                }
                Ok::<_, PaymentError>(store::refund_check_at(tx, id, next)?)
            })
            .await?;
        match refused {
            Some(description) => Err(PaymentError::GatewayRefused(description)),
            None => Ok(()),
        }
    }
}

/// Writes a refund down and sets its money aside; the one that is there if it was asked before and
/// has not failed.
pub(crate) fn refund_in(
    tx: &mut Tx<'_>,
    asked: &NewRefund,
    env: &Env,
) -> Result<RefundRow, PaymentError> {
    let now = env.now();
    let same = |row: RefundRow| {
        let same = row.payment_id == asked.payment_id && row.amount == asked.amount;
        if same { Ok(row) } else { Err(PaymentError::RefundDiffers) }
    };
    let mut id = asked.id;
    while let Some(row) = store::refund_by_id(tx, id)? {
        let row = same(row)?;
        if row.state != RefundState::Failed {
            return Ok(row);
        }
        // Asked again after it had failed: the money is still here. The gateway would answer the
        // old name with the old failure.
        id = RefundId(Id::from_name(&format!("again:{id}")));
    }
    let p = store::by_id(tx, asked.payment_id)?.ok_or(PaymentError::PaymentNotFound)?;
    let Some(gateway_payment) = p.gateway_payment_id.filter(|_| p.captured > Paise::ZERO) else {
        return Err(PaymentError::WrongState);
    };
    let row = NewRefundRow {
        id,
        payment_id: asked.payment_id,
        gateway_payment_id: &gateway_payment,
        amount: asked.amount,
        surplus: false,
        state: RefundState::Created,
        reason: &asked.reason,
        gateway_refund_id: None,
        // The recovery takes over if the call right after this is lost.
        next_check_at: Some(now.plus_ms(MINUTE_MS)),
    };
    let new = store::insert_refund(tx, &row, now)?;
    // With the error all of it is undone, the row too.
    if new && !store::reserve_refund(tx, asked.payment_id, asked.amount, now)? {
        return Err(PaymentError::RefundTooLarge);
    }
    let row = store::refund_by_id(tx, id)?;
    same(row.ok_or_else(|| Internal::new("a refund that was just written is gone"))?)
}
