//! Shipping: hands parcels to the courier aggregator (Shipway) and follows them.
//!
//! Its webhooks carry no real signature, so they are only a nudge: the provider is re-read before
//! anything moves. Every scan is kept; the state follows from the latest one.

use async_trait::async_trait;
use mela_base::ids::OrderId;
use mela_base::{ErrorKind, Event, Fault, Internal, Op, Paise, Timestamp};

/// Where a parcel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParcelState {
    /// The courier knows of it.
    Booked,
    /// Left our house.
    PickedUp,
    /// On its way, or a code we do not know.
    InTransit,
    /// On the last van.
    OutForDelivery,
    /// Handed over.
    Delivered,
    /// An attempt failed; another one follows.
    Undelivered,
    /// Coming back.
    Returning,
    /// Came back.
    Returned,
    /// Called off before it left.
    Cancelled,
    /// Gone.
    Lost,
}

/// A parcel to hand over. Holds personal data: never log it.
#[derive(Clone)]
pub struct NewParcel {
    /// For which order.
    pub order_id: OrderId,
    /// The order's public number.
    pub order_number: String,
    /// Where to.
    pub to: Recipient,
    /// What is in it.
    pub items: Vec<ParcelItem>,
    /// What the courier collects; zero when prepaid.
    pub collect: Paise,
    /// Value of the goods.
    pub value: Paise,
    /// Grams.
    pub weight_g: i64,
    /// When the order was placed.
    pub ordered_at: Timestamp,
}

/// Who receives a parcel. No `Debug`: it is personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Full name.
    pub name: String,
    /// E.164.
    pub phone: String,
    /// For the courier's notices.
    pub email: Option<String>,
    /// House and street.
    pub line1: String,
    /// More of it.
    pub line2: Option<String>,
    /// City or village.
    pub city: String,
    /// State name.
    pub state: String,
    /// Six digits.
    pub pincode: String,
}

/// A position in a parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParcelItem {
    /// SKU.
    pub sku: String,
    /// Name.
    pub name: String,
    /// Pieces.
    pub quantity: i64,
    /// Price of one, with tax.
    pub unit_price: Paise,
}

/// A parcel as shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// For which order.
    pub order_id: OrderId,
    /// The courier's name.
    pub courier: Option<String>,
    /// Air waybill number.
    pub awb: Option<String>,
    /// The courier's own tracking page.
    pub tracking_url: Option<String>,
    /// Where it stands.
    pub state: ParcelState,
    /// Every scan, oldest first.
    pub scans: Vec<Scan>,
}

/// One event on the way.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Scan {
    /// When.
    pub at: Timestamp,
    /// The courier's code, e.g. `OOD`.
    pub code: String,
    /// In words.
    pub text: String,
    /// Where.
    pub place: Option<String>,
}

/// What can be delivered to a pincode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serviceability {
    /// Parcels get there.
    pub deliverable: bool,
    /// Cash on delivery is possible there.
    pub cash_on_delivery: bool,
    /// Usual days in transit.
    pub days: i64,
}

/// How a shipping call fails.
#[derive(Debug, thiserror::Error)]
pub enum ShippingError {
    /// Not six digits, or not in the directory.
    #[error("`{0}` is not an Indian pincode; write the six digits of the delivery address")]
    InvalidPincode(String),
    /// The courier does not answer.
    #[error("the courier service does not answer right now; it will be tried again")]
    CourierUnavailable,
    /// The courier refused.
    #[error("the courier refused: {0}")]
    CourierRefused(String),
    /// Wrong secret path or hash.
    #[error("this message does not come from the courier; nothing was done")]
    NotFromCourier,
    /// Not what the courier's contract says.
    #[error("this message cannot be read: {0}")]
    Malformed(&'static str),
    /// Our fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

impl Fault for ShippingError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidPincode(_) | Self::Malformed(_) => ErrorKind::Invalid,
            Self::CourierUnavailable => ErrorKind::Unavailable,
            Self::CourierRefused(_) => ErrorKind::Conflict,
            Self::NotFromCourier => ErrorKind::Denied,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::InvalidPincode(_) => "INVALID_PINCODE",
            Self::CourierUnavailable => "COURIER_UNAVAILABLE",
            Self::CourierRefused(_) => "COURIER_REFUSED",
            Self::NotFromCourier => "NOT_FROM_COURIER",
            Self::Malformed(_) => "MALFORMED_MESSAGE",
            Self::Internal(_) => "INTERNAL",
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::InvalidPincode(_) => Some("pincode"),
            _ => None,
        }
    }
}

/// A parcel reached a new state.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ParcelMoved {
    /// For which order.
    pub order_id: OrderId,
    /// Where it stands now.
    pub state: ParcelState,
    /// When, by the courier's clock.
    pub at: Timestamp,
}

impl Event for ParcelMoved {
    const TOPIC: &'static str = "shipping.parcel_moved";
    fn key(&self) -> String {
        self.order_id.to_string()
    }
}

/// The shipping contract.
#[async_trait]
pub trait Shipping: Send + Sync {
    /// What can be delivered to a pincode; answered from memory, no network.
    fn serviceability(&self, pincode: &str) -> Result<Serviceability, ShippingError>;
    /// Hands a parcel over. Can be repeated: the courier gets one order.
    async fn push(&self, op: &Op, parcel: NewParcel) -> Result<(), ShippingError>;
    /// Calls a parcel off, as far as that is still possible.
    async fn cancel(&self, op: &Op, order: OrderId) -> Result<(), ShippingError>;
    /// The parcels of these orders. One statement.
    async fn of_orders(&self, orders: &[OrderId]) -> Result<Vec<Parcel>, ShippingError>;
    /// A webhook on the secret path: checked, stored, the provider re-read after.
    async fn webhook(&self, op: &Op, secret: &str, body: &[u8]) -> Result<(), ShippingError>;
}

impl ParcelState {
    /// Every state.
    pub const ALL: [Self; 10] = [
        Self::Booked,
        Self::PickedUp,
        Self::InTransit,
        Self::OutForDelivery,
        Self::Delivered,
        Self::Undelivered,
        Self::Returning,
        Self::Returned,
        Self::Cancelled,
        Self::Lost,
    ];

    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Booked => "booked",
            Self::PickedUp => "picked_up",
            Self::InTransit => "in_transit",
            Self::OutForDelivery => "out_for_delivery",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
            Self::Returning => "returning",
            Self::Returned => "returned",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }

    /// The state with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name)
    }

    /// Nothing follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Returned | Self::Cancelled | Self::Lost)
    }
}
