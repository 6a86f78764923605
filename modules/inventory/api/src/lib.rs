//! Inventory: stock by location, reservations that expire, no oversell.
//!
//! `available = on_hand − reserved`, and the database itself refuses `reserved > on_hand`. An order
//! first *reserves* (with an expiry while it waits for money), then *claims* (no expiry), then
//! *ships* (both numbers fall) or *releases*. All of this happens inside the caller's transaction.

use async_trait::async_trait;
use mela_base::ids::{LocationId, OrderId, VariantId};
use mela_base::{ErrorKind, Event, Fault, Internal, Op, Timestamp};
use mela_db::Tx;

/// A place from which goods are dispatched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Identity.
    pub id: LocationId,
    /// For staff.
    pub name: String,
    /// GSTIN under which it dispatches.
    pub gstin: String,
    /// GST state code of the GSTIN, two digits; the supplier's state of every sale from here.
    pub state_code: String,
    /// Printed on the invoice.
    pub address: String,
    /// Six digits.
    pub pincode: String,
}

/// How many can be bought now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Availability {
    /// Which variant.
    pub variant_id: VariantId,
    /// Over all locations.
    pub available: i64,
}

/// A quantity of one variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// Which variant.
    pub variant_id: VariantId,
    /// How many; at least 1.
    pub quantity: i64,
}

/// A new level of stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockLevel {
    /// Which variant.
    pub variant_id: VariantId,
    /// Where.
    pub location_id: LocationId,
    /// Physically there; not below what is reserved.
    pub on_hand: i64,
}

/// How an inventory call fails.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// Fewer are left than were asked for.
    #[error("only {available} left of one of the items; reduce the quantity and try again")]
    OutOfStock {
        /// Which variant.
        variant_id: VariantId,
        /// How many could be had.
        available: i64,
    },
    /// No location is set up.
    #[error("the shop has no dispatch location yet; staff must add one")]
    NoLocation,
    /// A value is wrong.
    #[error("{message}")]
    Invalid {
        /// Which input field.
        field: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// Staff rights are missing.
    #[error("your role does not allow changes of stock; ask a manager")]
    Denied,
    /// Our fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

impl Fault for InventoryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::OutOfStock { .. } => ErrorKind::Conflict,
            Self::NoLocation => ErrorKind::Unavailable,
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::Denied => ErrorKind::Denied,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::OutOfStock { .. } => "OUT_OF_STOCK",
            Self::NoLocation => "NO_LOCATION",
            Self::Invalid { .. } => "INVALID_STOCK",
            Self::Denied => "INVENTORY_DENIED",
            Self::Internal(_) => "INTERNAL",
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid { field, .. } => Some(field),
            _ => None,
        }
    }
}

impl From<mela_db::DbError> for InventoryError {
    fn from(error: mela_db::DbError) -> Self {
        Self::Internal(Internal::new(error))
    }
}

/// Stock of a variant crossed zero in either direction, so pages that show it are stale.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct StockChanged {
    /// Which variant.
    pub variant_id: VariantId,
}

impl Event for StockChanged {
    const TOPIC: &'static str = "inventory.stock_changed";
    fn key(&self) -> String {
        self.variant_id.to_string()
    }
}

/// The inventory contract.
#[async_trait]
pub trait Inventory: Send + Sync {
    /// Availability of each variant, in the order asked; unknown variants have none. One statement.
    async fn availability(
        &self,
        variants: &[VariantId],
    ) -> Result<Vec<Availability>, InventoryError>;
    /// All locations, the default one first (cached).
    async fn locations(&self) -> Result<Vec<Location>, InventoryError>;
    /// Staff (manager): sets stock levels; all or nothing.
    async fn set_stock(&self, op: &Op, levels: &[StockLevel]) -> Result<(), InventoryError>;
    /// Staff (manager) or system: adds or changes a location by its id.
    async fn save_location(&self, op: &Op, location: Location) -> Result<(), InventoryError>;

    /// Inside a transaction: reserves all lines of an order at one location, or nothing. At most
    /// two statements whatever the number of lines. With `expires_at` the reservation lapses by
    /// itself; without, it is claimed at once.
    fn reserve_in(
        &self,
        tx: &mut Tx<'_>,
        order: OrderId,
        location: LocationId,
        lines: &[Quantity],
        expires_at: Option<Timestamp>,
    ) -> Result<(), InventoryError>;
    /// Inside a transaction: makes a reservation permanent. False if it has lapsed or was never
    /// made; the caller must then reserve anew or refund.
    fn claim_in(&self, tx: &mut Tx<'_>, order: OrderId) -> Result<bool, InventoryError>;
    /// Inside a transaction: gives back whatever the order holds. Repeating it changes nothing.
    fn release_in(&self, tx: &mut Tx<'_>, order: OrderId) -> Result<(), InventoryError>;
    /// Inside a transaction: the goods left the house. Repeating it changes nothing.
    fn ship_in(&self, tx: &mut Tx<'_>, order: OrderId) -> Result<(), InventoryError>;
    /// Inside a transaction: sets stock levels as an import does (reserved numbers stay).
    fn set_stock_in(&self, tx: &mut Tx<'_>, levels: &[StockLevel]) -> Result<(), InventoryError>;
}
