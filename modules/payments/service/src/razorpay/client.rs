//! Conversations: what to do when an answer is missing, which is the normal case.

use mela_base::ids::{OrderId, PaymentId, RefundId};
use mela_base::{Internal, Paise};

use super::{answer, call};
use crate::config::RazorpayConfig;
use crate::gateway::{GatewayError, PaymentFact, RefundFact, RefundState, Sender};

/// One Razorpay account.
pub(crate) struct Razorpay {
    sender: Sender,
    pub(crate) config: RazorpayConfig,
}

impl Razorpay {
    pub(crate) fn new(config: RazorpayConfig) -> Result<Self, Internal> {
        let c = &config;
        let sender = Sender::new(&c.base_url, &c.key_id, &c.key_secret, c.timeout)?;
        Ok(Self { sender, config })
    }

    /// The gateway's order for our payment; the same one however often it is asked for.
    pub(crate) async fn order(
        &self,
        payment: PaymentId,
        order: OrderId,
        amount: Paise,
    ) -> Result<String, GatewayError> {
        let create = call::create_order(payment, order, amount);
        let mut made = self.sender.send(&create).await.and_then(|a| answer::order(&a));
        if let Err(GatewayError::Unknown(_)) = made {
            made = self.sender.send(&create).await.and_then(|a| answer::order(&a));
        }
        let right = |o: &answer::Order| {
            o.amount == amount.0
                && o.currency == "INR"
                && o.receipt.as_deref() == Some(payment.to_string().as_str())
        };
        let found = match made {
            // Such an account refuses what the first try made.
            Err(GatewayError::Refused { description, .. })
                if description.to_lowercase().contains("receipt should be unique") =>
            {
                let found = self.sender.send(&call::orders_by_receipt(payment)).await?;
                answer::orders(&found)?
                    .into_iter()
                    .find(right)
                    .ok_or(GatewayError::Refused { status: 400, description })?
            }
            other => other?,
        };
        if right(&found) {
            Ok(found.id)
        } else {
            Err(GatewayError::Unknown("it made an order that we had not asked for"))
        }
    }

    /// All payments of a gateway order.
    pub(crate) async fn payments(&self, order: &str) -> Result<Vec<PaymentFact>, GatewayError> {
        let answer = self.sender.send(&call::payments_of_order(order)).await?;
        let facts = answer::payments(&answer)?;
        if facts.iter().any(|f| f.gateway_order_id != order) {
            return Err(GatewayError::Unknown("payments of another order"));
        }
        Ok(facts)
    }

    /// One payment.
    pub(crate) async fn payment(&self, id: &str) -> Result<PaymentFact, GatewayError> {
        let fact = answer::payment(&self.sender.send(&call::payment(id)).await?)?;
        if fact.id == id { Ok(fact) } else { Err(GatewayError::Unknown("another payment")) }
    }

    /// Captures, and says how the payment stands after, whoever captured it.
    pub(crate) async fn capture(
        &self,
        id: &str,
        amount: Paise,
    ) -> Result<PaymentFact, GatewayError> {
        match self.sender.send(&call::capture(id, amount)).await.and_then(|a| answer::payment(&a)) {
            Ok(fact) if fact.id == id => Ok(fact),
            // Done by an earlier try, done without an answer, or refused: a look tells.
            _ => self.payment(id).await,
        }
    }

    /// Refunds once, whatever happens on the way.
    pub(crate) async fn refund(
        &self,
        payment: &str,
        id: RefundId,
        amount: Paise,
    ) -> Result<RefundFact, GatewayError> {
        let refund = call::refund(payment, id, amount);
        let mut made = self.sender.send(&refund).await.and_then(|a| answer::refund(&a));
        if let Err(GatewayError::Unknown(_)) = made {
            made = self.sender.send(&refund).await.and_then(|a| answer::refund(&a));
        }
        match made {
            // The first try still runs, or was told apart: the list says which.
            Err(GatewayError::Refused { status: 409, .. }) => {
                let found = self.find_refund(payment, id, amount).await?;
                found.ok_or(GatewayError::Unknown("it does not say yet"))
            }
            Err(refused @ GatewayError::Refused { .. }) => {
                self.find_refund(payment, id, amount).await?.ok_or(refused)
            }
            Ok(fact) if fact.gateway_payment_id == payment && fact.amount == amount.0 => Ok(fact),
            Ok(_) => Err(GatewayError::Unknown("another refund")),
            Err(error) => Err(error),
        }
    }

    /// The refund that carries our id, or one that somebody made by hand for the same amount: the
    /// money went back once, which is what we want.
    async fn find_refund(
        &self,
        payment: &str,
        id: RefundId,
        amount: Paise,
    ) -> Result<Option<RefundFact>, GatewayError> {
        let all = self.refunds(payment).await?;
        let ours = all.iter().find(|r| r.receipt.as_deref() == Some(id.to_string().as_str()));
        let by_hand = || {
            all.iter().find(|r| {
                r.amount == amount.0
                    && r.state != RefundState::Failed
                    && r.receipt.as_ref().is_none_or(|receipt| receipt.parse::<RefundId>().is_err())
            })
        };
        Ok(ours.or_else(by_hand).cloned())
    }

    /// One refund.
    pub(crate) async fn refund_by_id(&self, id: &str) -> Result<RefundFact, GatewayError> {
        let fact = answer::refund(&self.sender.send(&call::refund_by_id(id)).await?)?;
        if fact.id == id { Ok(fact) } else { Err(GatewayError::Unknown("another refund")) }
    }

    /// All refunds of a payment.
    pub(crate) async fn refunds(&self, payment: &str) -> Result<Vec<RefundFact>, GatewayError> {
        let answer = self.sender.send(&call::refunds_of_payment(payment)).await?;
        answer::refunds(&answer)
    }
}
