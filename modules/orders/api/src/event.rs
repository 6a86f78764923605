use mela_base::ids::{OrderId, PersonId};
use mela_base::{Event, Paise};

use crate::OrderState;

/// An order was placed and waits for its money.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct OrderPlaced {
    /// Which.
    pub order_id: OrderId,
    /// Who bought.
    pub person_id: PersonId,
    /// What is left to pay.
    pub to_pay: Paise,
}

/// An order will be sent: paid, or to be paid on delivery. Its invoice number is allocated.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct OrderConfirmed {
    /// Which.
    pub order_id: OrderId,
    /// Who bought.
    pub person_id: PersonId,
    /// What it cost.
    pub total: Paise,
}

/// An order moved on from `Confirmed`, or was cancelled.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct OrderMoved {
    /// Which.
    pub order_id: OrderId,
    /// Who bought.
    pub person_id: PersonId,
    /// Where it stands now.
    pub state: OrderState,
}

impl Event for OrderPlaced {
    const TOPIC: &'static str = "orders.placed";
    fn key(&self) -> String {
        self.order_id.to_string()
    }
}

impl Event for OrderConfirmed {
    const TOPIC: &'static str = "orders.confirmed";
    fn key(&self) -> String {
        self.order_id.to_string()
    }
}

impl Event for OrderMoved {
    const TOPIC: &'static str = "orders.moved";
    fn key(&self) -> String {
        self.order_id.to_string()
    }
}
