//! The shopper's browser comes back from the gateway's page; and what a look at the gateway says.

use mela_base::Paise;
use mela_base::ids::PaymentId;
use mela_payments_api::{Callback, PaymentError, PaymentState};

use crate::gateway::{GatewayError, PaymentFact, Status};
use crate::razorpay::client::Razorpay;
use crate::razorpay::{is_id, reason, signature};
use crate::rules;
use crate::service::{PaymentsService, field};
use crate::store::{self, PaymentRow};

impl PaymentsService {
    /// The redirect after a success: signed, but only a hint all the same.
    pub(crate) async fn success(
        &self,
        gateway: &Razorpay,
        fields: &[(String, String)],
    ) -> Result<Callback, PaymentError> {
        let payment = field(fields, "razorpay_payment_id").unwrap_or_default();
        let order = field(fields, "razorpay_order_id")
            .ok_or(PaymentError::Malformed("razorpay_order_id is missing"))?;
        let given = field(fields, "razorpay_signature")
            .ok_or(PaymentError::Malformed("razorpay_signature is missing"))?;
        if !is_id(order, "order_") || !is_id(payment, "pay_") {
            return Err(PaymentError::Malformed("razorpay_order_id or razorpay_payment_id"));
        }
        let p = self.by_gateway_order(order).await?;
        let stored = p.gateway_order_id.as_deref().unwrap_or_default();
        if !signature::checkout(&gateway.config.key_secret, stored, payment, given) {
            tracing::warn!(payment = %p.id, "a redirect with a wrong signature was refused");
            return Err(PaymentError::BadSignature);
        }
        match self.look_at(gateway, &p, payment).await {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(payment = %p.id, %error, "cannot confirm a payment now; the recovery will");
                self.check_soon(p.id).await?;
            }
        }
        self.callback_of(p.id).await
    }

    /// Reads one payment at the gateway, captures it if the bank agreed, and settles it.
    async fn look_at(
        &self,
        gateway: &Razorpay,
        p: &PaymentRow,
        gateway_payment: &str,
    ) -> Result<(), LookError> {
        let mut fact = gateway.payment(gateway_payment).await?;
        if Some(fact.gateway_order_id.as_str()) != p.gateway_order_id.as_deref() {
            return Err(GatewayError::Unknown("the payment is of another order").into());
        }
        if wants_capture(p, &fact) {
            fact = gateway.capture(gateway_payment, p.amount).await?;
        }
        self.settle(vec![fact]).await?;
        Ok(())
    }

    /// The redirect after a failure is not signed: the gateway's own list decides. Only if
    /// nothing there is under way, the browser's word is shown.
    pub(crate) async fn failure(
        &self,
        gateway: &Razorpay,
        fields: &[(String, String)],
    ) -> Result<Callback, PaymentError> {
        let order = field(fields, "error[metadata]")
            .and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok())
            .and_then(|m| m.get("order_id")?.as_str().map(str::to_owned))
            .or_else(|| field(fields, "razorpay_order_id").map(str::to_owned))
            .filter(|id| is_id(id, "order_"))
            .ok_or(PaymentError::Malformed("error[metadata] does not name the order"))?;
        let said = field(fields, "error[reason]").unwrap_or_default().to_owned();
        let p = self.by_gateway_order(&order).await?;
        let facts = match self.facts_of(gateway, &p).await {
            Ok(facts) => facts,
            Err(error) => {
                tracing::warn!(payment = %p.id, %error, "cannot look at a failed payment now");
                self.check_soon(p.id).await?;
                return self.callback_of(p.id).await;
            }
        };
        let alive = facts.iter().any(|f| !matches!(f.status, Status::Failed | Status::Open));
        self.settle(facts).await?;
        if !alive {
            let settler = self.settler.clone();
            let id = p.id;
            self.db
                .write("payments.fail", move |tx| {
                    let Some(p) = store::by_id(tx, id)? else { return Ok(()) };
                    if rules::may_move(p.state, PaymentState::Failed)
                        && store::fail(tx, &p, reason::sentence(&said), settler.env.now())?
                    {
                        settler.failed_in(tx, &p)?;
                    }
                    Ok::<_, PaymentError>(())
                })
                .await?;
        }
        self.callback_of(p.id).await
    }

    async fn callback_of(&self, id: PaymentId) -> Result<Callback, PaymentError> {
        let p = self.by_id(id).await?;
        Ok(Callback { order_id: p.order_id, paid: p.state == PaymentState::Captured && p.kept })
    }

    /// What the gateway has for a payment of ours, captured where the bank agreed.
    pub(crate) async fn facts_of(
        &self,
        gateway: &Razorpay,
        p: &PaymentRow,
    ) -> Result<Vec<PaymentFact>, GatewayError> {
        let Some(order) = &p.gateway_order_id else { return Ok(Vec::new()) };
        let mut facts = gateway.payments(order).await?;
        // Of several only one: the others lapse by themselves, which is faster than a refund.
        let mut arrived = facts.iter().any(|f| f.status == Status::Captured);
        for fact in &mut facts {
            if !arrived && wants_capture(p, fact) {
                *fact = gateway.capture(&fact.id, p.amount).await?;
                arrived = fact.status == Status::Captured;
            }
        }
        // What is decided first is kept: a captured one before one that went back.
        facts.sort_by_key(|f| f.status != Status::Captured);
        Ok(facts)
    }
}

/// Whether an authorised payment is to be captured: it pays what we asked for, and we still ask.
fn wants_capture(p: &PaymentRow, fact: &PaymentFact) -> bool {
    fact.status == Status::Authorized
        && fact.amount == p.amount.0
        && fact.currency == "INR"
        && p.captured == Paise::ZERO
        && rules::may_move(p.state, PaymentState::Captured)
}

/// Why a look at the gateway led to nothing.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error("{0:?}")]
    Payment(#[from] PaymentError),
}
