//! Orders: carts, checkout, the order and its invoice.
//!
//! A cart is one small document with a version; every change names what it saw. Placing an order is
//! one transaction: prices read anew, tax computed, stock reserved, coins set aside, payment intent,
//! ledger, invoice number (when nothing is left to wait for), outbox. The state machine has one
//! table of allowed moves and keeps its history.

mod error;
mod event;
mod state;

use std::pin::Pin;

use async_trait::async_trait;
use futures_core::Stream;
use mela_base::ids::{CartId, OrderId, OrderLineId, PersonId, ProductId, VariantId};
use mela_base::{Op, Page, PageRequest, Paise, Timestamp};
use mela_payments_api::{Method, NextStep};

pub use error::OrderError;
pub use event::{OrderConfirmed, OrderMoved, OrderPlaced};
pub use state::OrderState;

/// A quantity of one variant, as the shopper asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LineInput {
    /// Which variant.
    pub variant_id: VariantId,
    /// How many; 0 takes the line out where lines are set.
    pub quantity: i64,
}

/// Where an order goes. No `Debug`: it is personal data.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Address {
    /// Who receives.
    pub name: String,
    /// As typed; checked and kept in E.164.
    pub phone: String,
    /// For the invoice mail; optional.
    pub email: Option<String>,
    /// House and street.
    pub line1: String,
    /// More of it.
    pub line2: Option<String>,
    /// City or village.
    pub city: String,
    /// Six digits; decides state, serviceability and place of supply.
    pub pincode: String,
}

/// A cart to make.
#[derive(Clone, Default)]
pub struct NewCart {
    /// What is in it; at most [`MAX_LINES`].
    pub lines: Vec<LineInput>,
    /// Where it goes, if already known.
    pub address: Option<Address>,
    /// A coupon code.
    pub coupon: Option<String>,
}

/// Most lines in one cart.
pub const MAX_LINES: usize = 100;
/// Most pieces in one line.
pub const MAX_QUANTITY: i64 = 999;

/// A cart with everything computed at present prices.
#[derive(Clone)]
pub struct Cart {
    /// Identity; whoever knows it may use a cart that has no owner yet.
    pub id: CartId,
    /// Grows with every change.
    pub version: i64,
    /// What is in it.
    pub lines: Vec<CartLine>,
    /// Where it goes.
    pub address: Option<Address>,
    /// State name of the delivery pincode.
    pub state: Option<String>,
    /// The coupon on it.
    pub coupon: Option<String>,
    /// Coins that the shopper wants to use.
    pub coins: i64,
    /// Sums, when paid at once.
    pub totals: Totals,
    /// Sums, when paid in cash on delivery: with its fee.
    pub totals_on_delivery: Totals,
    /// What stands in the way of checkout, for people; empty when it can be placed.
    pub problems: Vec<Problem>,
    /// Which ways of paying are possible now.
    pub methods: Vec<Method>,
    /// Set once the cart became an order.
    pub order_id: Option<OrderId>,
}

/// A line of a cart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CartLine {
    /// Which variant.
    pub variant_id: VariantId,
    /// Its product.
    pub product_id: ProductId,
    /// SKU.
    pub sku: String,
    /// Name.
    pub name: String,
    /// How many.
    pub quantity: i64,
    /// Price of one, with tax.
    pub unit_price: Paise,
    /// MRP of one.
    pub unit_mrp: Paise,
    /// Share of the coupon's discount.
    pub discount: Paise,
    /// To pay for the line, with tax.
    pub total: Paise,
}

/// Sums of a cart or order. `total = subtotal − discount + shipping + cod_fee`, and
/// `to_pay = total − coins_value`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Totals {
    /// All lines before the discount, with tax.
    pub subtotal: Paise,
    /// Off by coupon.
    pub discount: Paise,
    /// Delivery, with tax.
    pub shipping: Paise,
    /// Fee for cash on delivery, with tax.
    pub cod_fee: Paise,
    /// What the order costs.
    pub total: Paise,
    /// GST contained in `total`.
    pub tax: Paise,
    /// Coins used.
    pub coins: i64,
    /// What they are worth.
    pub coins_value: Paise,
    /// What is left to pay in money.
    pub to_pay: Paise,
}

/// Something that stands in the way of checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The stable code that placing the order would fail with.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// The line it is about.
    pub variant_id: Option<VariantId>,
}

/// Places an order from a cart.
#[derive(Clone)]
pub struct PlaceOrder {
    /// Which cart.
    pub cart_id: CartId,
    /// How it is paid.
    pub method: Method,
    /// What the shopper saw as `to_pay`; another amount by now is refused.
    pub expected_to_pay: Option<Paise>,
    /// Chosen by the client (8 – 64 of A–Z a–z 0–9 _ -). The same key again gives the same order;
    /// with other content it is refused.
    pub idempotency_key: String,
}

/// An order was placed (or had been, with this key).
#[derive(Clone)]
pub struct Placed {
    /// The order.
    pub order: Order,
    /// Lets a guest read the order later.
    pub order_key: String,
    /// What the shopper must do to pay.
    pub next: NextStep,
}

/// An order as shown to its buyer and to staff.
#[derive(Clone)]
pub struct Order {
    /// Identity.
    pub id: OrderId,
    /// For people, e.g. `M26-0000123`.
    pub number: String,
    /// Who bought.
    pub person_id: PersonId,
    /// Where it stands.
    pub state: OrderState,
    /// What was bought.
    pub lines: Vec<OrderLine>,
    /// Sums.
    pub totals: Totals,
    /// How it is paid.
    pub method: Method,
    /// Where it goes; `None` once the person was erased.
    pub address: Option<Address>,
    /// State name of the place of supply.
    pub state_name: String,
    /// Number of the GST invoice, once issued.
    pub invoice_number: Option<String>,
    /// Every move, oldest first.
    pub history: Vec<HistoryEntry>,
    /// When it was placed.
    pub placed_at: Timestamp,
}

/// A line of an order, as sold: it never changes again.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OrderLine {
    /// Identity.
    pub id: OrderLineId,
    /// Which variant.
    pub variant_id: VariantId,
    /// Its product.
    pub product_id: ProductId,
    /// SKU.
    pub sku: String,
    /// Name.
    pub name: String,
    /// Hindi name.
    pub name_hi: Option<String>,
    /// HSN code.
    pub hsn: String,
    /// Pieces.
    pub quantity: i64,
    /// Price of one, with tax, before discount.
    pub unit_price: Paise,
    /// Share of the discount.
    pub discount: Paise,
    /// Paid for the line, with tax.
    pub total: Paise,
    /// GST rate in hundredths of a percent (500 = 5 %).
    pub rate_bp: i64,
    /// Value without tax.
    pub taxable: Paise,
    /// Central GST.
    pub cgst: Paise,
    /// State or union territory GST.
    pub sgst: Paise,
    /// Integrated GST.
    pub igst: Paise,
}

/// A move of an order.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HistoryEntry {
    /// The state it came to.
    pub state: OrderState,
    /// When.
    pub at: Timestamp,
    /// Why, for people; no personal data.
    pub note: String,
}

/// Which orders staff want to see.
#[derive(Clone, Debug, Default)]
pub struct OrderFilter {
    /// Only in this state.
    pub state: Option<OrderState>,
    /// Only this number.
    pub number: Option<String>,
}

/// An order as it moves.
pub type OrderStream = Pin<Box<dyn Stream<Item = Order> + Send>>;

/// The orders contract.
#[async_trait]
pub trait Orders: Send + Sync {
    /// Makes a cart; it belongs to the caller, or to nobody if the caller is anonymous.
    async fn create_cart(&self, op: &Op, cart: NewCart) -> Result<Cart, OrderError>;
    /// A cart of the caller's, or one without owner that the caller knows.
    async fn cart(&self, op: &Op, id: CartId) -> Result<Cart, OrderError>;
    /// The caller's open cart, if there is one.
    async fn my_cart(&self, op: &Op) -> Result<Option<Cart>, OrderError>;
    /// Adds to the quantities of a cart.
    async fn add_lines(&self, op: &Op, id: CartId, lines: &[LineInput])
    -> Result<Cart, OrderError>;
    /// Sets quantities of a cart; 0 takes a line out; lines not named stay.
    async fn set_lines(&self, op: &Op, id: CartId, lines: &[LineInput])
    -> Result<Cart, OrderError>;
    /// Sets where it goes.
    async fn set_address(&self, op: &Op, id: CartId, address: Address) -> Result<Cart, OrderError>;
    /// Puts a coupon on, or takes it off.
    async fn set_coupon(
        &self,
        op: &Op,
        id: CartId,
        code: Option<String>,
    ) -> Result<Cart, OrderError>;
    /// Sets how many coins to use (0 for none); capped when computed.
    async fn set_coins(&self, op: &Op, id: CartId, coins: i64) -> Result<Cart, OrderError>;
    /// An ownerless cart becomes the caller's, joined with the one they have. Quantities add up.
    async fn claim_cart(&self, op: &Op, id: CartId) -> Result<Cart, OrderError>;

    /// Places the order.
    async fn place_order(&self, op: &Op, request: PlaceOrder) -> Result<Placed, OrderError>;
    /// The key with which a guest reads this order and its invoice without logging in (as in
    /// [`Placed::order_key`]). Only for those who may read the order anyway.
    fn order_key(&self, id: OrderId) -> String;
    /// Tries again to pay an order that waits for its money.
    async fn pay_again(
        &self,
        op: &Op,
        id: OrderId,
        key: Option<&str>,
    ) -> Result<NextStep, OrderError>;
    /// One order: the buyer's own, any for staff, or by its key.
    async fn order(&self, op: &Op, id: OrderId, key: Option<&str>) -> Result<Order, OrderError>;
    /// The caller's orders, newest first.
    async fn orders(&self, op: &Op, page: &PageRequest) -> Result<Page<Order>, OrderError>;
    /// The order now and after every move.
    async fn watch(
        &self,
        op: &Op,
        id: OrderId,
        key: Option<&str>,
    ) -> Result<OrderStream, OrderError>;
    /// The invoice as PDF bytes, once issued and rendered.
    async fn invoice_pdf(
        &self,
        op: &Op,
        id: OrderId,
        key: Option<&str>,
    ) -> Result<Vec<u8>, OrderError>;
    /// The buyer (before it ships) or staff (support) cancels: stock, coins and money go back.
    async fn cancel(
        &self,
        op: &Op,
        id: OrderId,
        key: Option<&str>,
        reason: &str,
    ) -> Result<Order, OrderError>;

    /// Staff (viewer): orders, newest first.
    async fn list(
        &self,
        op: &Op,
        filter: &OrderFilter,
        page: &PageRequest,
    ) -> Result<Page<Order>, OrderError>;
    /// Staff (manager): creates or changes a coupon.
    async fn save_coupon(&self, op: &Op, coupon: Coupon) -> Result<(), OrderError>;
    /// Staff (viewer): all coupons.
    async fn coupons(&self, op: &Op) -> Result<Vec<Coupon>, OrderError>;
}

/// A code that makes an order cheaper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coupon {
    /// Upper case letters and digits, 3 – 20.
    pub code: String,
    /// What it takes off.
    pub kind: CouponKind,
    /// Only from this subtotal.
    pub min_subtotal: Paise,
    /// How often in all; `None` without limit.
    pub max_uses: Option<i64>,
    /// How often by one person; `None` without limit.
    pub max_uses_per_person: Option<i64>,
    /// How often it was used.
    pub uses: i64,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when; `None` without end.
    pub ends_at: Option<Timestamp>,
}

/// What a coupon takes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CouponKind {
    /// Hundredths of a percent of the subtotal, at most an amount.
    Percent {
        /// 1,000 = 10 %.
        bp: i64,
        /// Most that it takes off; `None` without limit.
        at_most: Option<Paise>,
    },
    /// A fixed amount.
    Amount(Paise),
}
