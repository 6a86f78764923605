//! Payments: collects the money of an order through a gateway or on delivery, and gives it back.
//!
//! The intent is written first, in the order's transaction; then the gateway is called with an
//! idempotency key; then the outcome is written. A recovery job re-reads the gateway for every open
//! intent, because "the gateway committed, we timed out" is the normal case. A payment is only ever
//! believed after its signature, amount, currency and order agree.

mod error;

use async_trait::async_trait;
use mela_base::ids::{OrderId, PaymentId, PersonId, RefundId};
use mela_base::{Event, Op, Paise, Timestamp};
use mela_db::Tx;

pub use error::PaymentError;

/// How an order is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Cash to the courier.
    CashOnDelivery,
    /// Razorpay's hosted checkout: UPI, cards, netbanking, wallets.
    Razorpay,
    /// Nothing is left to pay after coins.
    Coins,
}

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// Intent written, the gateway not reached yet.
    Created,
    /// The gateway knows it; the shopper can pay.
    Pending,
    /// The bank said yes; not captured yet.
    Authorized,
    /// The money is ours.
    Captured,
    /// This attempt failed; a late success is still possible.
    Failed,
    /// To be collected by the courier.
    DueOnDelivery,
    /// Given up: the order was cancelled or took another payment.
    Cancelled,
    /// All of it was given back.
    Refunded,
}

/// A payment to begin, written in the order's transaction.
#[derive(Clone, Debug)]
pub struct NewPayment {
    /// Chosen by the caller.
    pub id: PaymentId,
    /// For which order.
    pub order_id: OrderId,
    /// The order's public number; the gateway's receipt.
    pub order_number: String,
    /// Who pays.
    pub person_id: PersonId,
    /// How.
    pub method: Method,
    /// What is to be collected; zero only for [`Method::Coins`].
    pub amount: Paise,
}

/// A payment as shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Identity.
    pub id: PaymentId,
    /// For which order.
    pub order_id: OrderId,
    /// How.
    pub method: Method,
    /// Where it stands.
    pub state: PaymentState,
    /// What is to be collected.
    pub amount: Paise,
    /// What was given back.
    pub refunded: Paise,
    /// The gateway's payment id, once there is one.
    pub gateway_payment_id: Option<String>,
    /// Why the last attempt failed, in words for the shopper.
    pub failure: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
}

/// What the shopper must do next to pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Nothing.
    None,
    /// Post this form to the gateway's hosted page.
    HostedPage {
        /// Form action.
        url: String,
        /// Hidden fields in order.
        fields: Vec<(String, String)>,
    },
}

/// What the gateway's redirect back led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// For which order.
    pub order_id: OrderId,
    /// True if the payment is ours now.
    pub paid: bool,
}

/// What to answer a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookAck {
    /// Stored; it will be processed.
    Accepted,
    /// Seen before; nothing to do.
    Duplicate,
}

/// A refund to make.
#[derive(Clone, Debug)]
pub struct NewRefund {
    /// Chosen by the caller; the idempotency key at the gateway.
    pub id: RefundId,
    /// Which payment.
    pub payment_id: PaymentId,
    /// How much; with all earlier refunds not above what was captured.
    pub amount: Paise,
    /// For staff and the gateway's notes; no personal data.
    pub reason: String,
}

/// The money of an order is ours.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct PaymentCaptured {
    /// Which payment.
    pub payment_id: PaymentId,
    /// For which order.
    pub order_id: OrderId,
    /// How much.
    pub amount: Paise,
}

/// An attempt failed; the shopper may try again.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct PaymentFailed {
    /// Which payment.
    pub payment_id: PaymentId,
    /// For which order.
    pub order_id: OrderId,
}

/// Money was given back.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct PaymentRefunded {
    /// Which refund.
    pub refund_id: RefundId,
    /// Which payment.
    pub payment_id: PaymentId,
    /// For which order.
    pub order_id: OrderId,
    /// How much.
    pub amount: Paise,
}

impl Event for PaymentCaptured {
    const TOPIC: &'static str = "payments.captured";
    fn key(&self) -> String {
        self.order_id.to_string()
    }
}

impl Event for PaymentFailed {
    const TOPIC: &'static str = "payments.failed";
    fn key(&self) -> String {
        self.order_id.to_string()
    }
}

impl Event for PaymentRefunded {
    const TOPIC: &'static str = "payments.refunded";
    fn key(&self) -> String {
        self.order_id.to_string()
    }
}

/// The payments contract.
#[async_trait]
pub trait Payments: Send + Sync {
    /// Inside the order's transaction: writes the intent. One statement.
    fn begin_in(&self, tx: &mut Tx<'_>, payment: &NewPayment) -> Result<(), PaymentError>;
    /// Inside a transaction: gives up whatever the order still has open. Money that arrives later
    /// is refunded by itself.
    fn cancel_in(&self, tx: &mut Tx<'_>, order: OrderId) -> Result<(), PaymentError>;
    /// Inside a transaction: the courier handed over the cash.
    fn collected_in(&self, tx: &mut Tx<'_>, order: OrderId) -> Result<(), PaymentError>;
    /// Makes the gateway know the payment and says what the shopper must do. Can be repeated: the
    /// gateway's order is made once.
    async fn start(&self, op: &Op, payment: PaymentId) -> Result<NextStep, PaymentError>;
    /// The gateway's redirect with the shopper's browser: form fields as posted.
    async fn callback(
        &self,
        op: &Op,
        gateway: &str,
        fields: &[(String, String)],
    ) -> Result<Callback, PaymentError>;
    /// A webhook: verified on the raw bytes, stored, answered; processed after.
    /// `headers` are lower-case names and values.
    async fn webhook(
        &self,
        op: &Op,
        gateway: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<WebhookAck, PaymentError>;
    /// The payments of these orders, newest first. One statement.
    async fn of_orders(&self, orders: &[OrderId]) -> Result<Vec<Payment>, PaymentError>;
    /// Gives money back through the gateway. The same id again changes nothing.
    async fn refund(&self, op: &Op, refund: NewRefund) -> Result<(), PaymentError>;
}

impl Method {
    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CashOnDelivery => "cash_on_delivery",
            Self::Razorpay => "razorpay",
            Self::Coins => "coins",
        }
    }

    /// The method with this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::CashOnDelivery, Self::Razorpay, Self::Coins].into_iter().find(|m| m.as_str() == name)
    }
}

impl PaymentState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Created,
        Self::Pending,
        Self::Authorized,
        Self::Captured,
        Self::Failed,
        Self::DueOnDelivery,
        Self::Cancelled,
        Self::Refunded,
    ];

    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Pending => "pending",
            Self::Authorized => "authorized",
            Self::Captured => "captured",
            Self::Failed => "failed",
            Self::DueOnDelivery => "due_on_delivery",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
        }
    }

    /// The state with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name)
    }
}
