//! Orders: placing, paying, following.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use mela_base::ids::OrderId;
use mela_orders_api as api;
use mela_payments_api::NextStep;
use tokio::sync::OnceCell;

use crate::context::{op, services};
use crate::error::fault;
use crate::page::{self, Connection, connection};
use crate::scalar::{DateTime, PaiseScalar, id};
use crate::shop::cart::{Address, PaymentMethod, Totals};

/// Where an order stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "mela_orders_api::OrderState")]
pub(crate) enum OrderState {
    /// Waits for its money.
    PendingPayment,
    /// Paid, or to be paid on delivery: it will be sent.
    Confirmed,
    /// With the courier.
    Shipped,
    /// On the last van.
    OutForDelivery,
    /// Handed over.
    Delivered,
    /// Coming back undelivered.
    Returning,
    /// Came back undelivered.
    Returned,
    /// Called off.
    Cancelled,
}

/// An order.
#[derive(Clone)]
pub(crate) struct Order {
    inner: Arc<api::Order>,
    batch: Arc<Batch>,
}

/// What the orders of one list share: payments and parcels are read once for all of them.
struct Batch {
    ids: Vec<OrderId>,
    payments: OnceCell<HashMap<OrderId, Payment>>,
    parcels: OnceCell<HashMap<OrderId, Parcel>>,
}

impl Order {
    pub(crate) fn one(order: api::Order) -> Self {
        let batch =
            Batch { ids: vec![order.id], payments: OnceCell::new(), parcels: OnceCell::new() };
        Self { inner: Arc::new(order), batch: Arc::new(batch) }
    }

    pub(crate) fn page(page: mela_base::Page<api::Order>) -> Connection<Self> {
        let batch = Arc::new(Batch {
            ids: page.items.iter().map(|(_, o)| o.id).collect(),
            payments: OnceCell::new(),
            parcels: OnceCell::new(),
        });
        Connection::from_page(
            page.map(|order| Self { inner: Arc::new(order), batch: batch.clone() }),
        )
    }
}

/// A line of an order, as sold.
#[derive(SimpleObject, Clone)]
pub(crate) struct OrderLine {
    id: ID,
    variant_id: ID,
    product_id: ID,
    sku: String,
    name: String,
    name_hi: Option<String>,
    hsn: String,
    quantity: i64,
    /// Price of one, with tax, before discount.
    unit_price: PaiseScalar,
    discount: PaiseScalar,
    /// Paid for the line, with tax.
    total: PaiseScalar,
    /// GST rate in hundredths of a percent (500 = 5 %).
    rate_bp: i64,
    /// Value without tax.
    taxable: PaiseScalar,
    /// Central GST.
    cgst: PaiseScalar,
    /// State or union territory GST.
    sgst: PaiseScalar,
    /// Integrated GST.
    igst: PaiseScalar,
}

impl From<&api::OrderLine> for OrderLine {
    fn from(l: &api::OrderLine) -> Self {
        Self {
            id: ID(l.id.to_string()),
            variant_id: ID(l.variant_id.to_string()),
            product_id: ID(l.product_id.to_string()),
            sku: l.sku.clone(),
            name: l.name.clone(),
            name_hi: l.name_hi.clone(),
            hsn: l.hsn.clone(),
            quantity: l.quantity,
            unit_price: PaiseScalar(l.unit_price),
            discount: PaiseScalar(l.discount),
            total: PaiseScalar(l.total),
            rate_bp: l.rate_bp,
            taxable: PaiseScalar(l.taxable),
            cgst: PaiseScalar(l.cgst),
            sgst: PaiseScalar(l.sgst),
            igst: PaiseScalar(l.igst),
        }
    }
}

/// The payment of an order.
#[derive(SimpleObject, Clone)]
pub(crate) struct Payment {
    id: ID,
    /// `created`, `pending`, `authorized`, `captured`, `failed`, `due_on_delivery`, `cancelled`, `refunded`.
    state: String,
    amount: PaiseScalar,
    /// What was given back.
    refunded: PaiseScalar,
    /// Why the last attempt failed.
    failure: Option<String>,
}

/// The parcel of an order.
#[derive(SimpleObject, Clone)]
pub(crate) struct Parcel {
    courier: Option<String>,
    /// Air waybill number.
    awb: Option<String>,
    /// The courier's own page.
    tracking_url: Option<String>,
    /// `booked`, `picked_up`, `in_transit`, `out_for_delivery`, `delivered`, …
    state: String,
    /// Oldest first.
    scans: Vec<Scan>,
}

/// One event on a parcel's way.
#[derive(SimpleObject, Clone)]
pub(crate) struct Scan {
    at: DateTime,
    /// The courier's code.
    code: String,
    /// In words.
    text: String,
    place: Option<String>,
}

/// A move of an order.
#[derive(SimpleObject, Clone)]
pub(crate) struct HistoryEntry {
    /// The state it came to.
    state: OrderState,
    at: DateTime,
    /// Why.
    note: String,
}

#[Object]
impl Order {
    async fn id(&self) -> ID {
        ID(self.inner.id.to_string())
    }

    /// For people.
    async fn number(&self) -> &str {
        &self.inner.number
    }

    async fn state(&self) -> OrderState {
        self.inner.state.into()
    }

    #[graphql(complexity = "page::times(10, child_complexity)")]
    async fn lines(&self) -> Vec<OrderLine> {
        self.inner.lines.iter().map(OrderLine::from).collect()
    }

    async fn totals(&self) -> Totals {
        self.inner.totals.into()
    }

    async fn method(&self) -> PaymentMethod {
        self.inner.method.into()
    }

    /// The latest payment.
    async fn payment(&self, ctx: &Context<'_>) -> Result<Option<Payment>> {
        let found = self.batch.payments.get_or_try_init(|| async {
            let list = services(ctx).payments.of_orders(&self.batch.ids).await.map_err(fault)?;
            let mut newest = HashMap::new();
            for p in list {
                newest.entry(p.order_id).or_insert_with(|| Payment {
                    id: ID(p.id.to_string()),
                    state: p.state.as_str().to_owned(),
                    amount: PaiseScalar(p.amount),
                    refunded: PaiseScalar(p.refunded),
                    failure: p.failure,
                });
            }
            Ok::<_, async_graphql::Error>(newest)
        });
        Ok(found.await?.get(&self.inner.id).cloned())
    }

    /// Null once the person was erased.
    async fn address(&self) -> Option<Address> {
        self.inner.address.clone().map(Address::from)
    }

    /// State of the place of supply.
    async fn state_name(&self) -> &str {
        &self.inner.state_name
    }

    async fn invoice_number(&self) -> Option<&str> {
        self.inner.invoice_number.as_deref()
    }

    /// Where the invoice's PDF is, once it has a number.
    async fn invoice_url(&self, ctx: &Context<'_>) -> Option<String> {
        let key = services(ctx).orders.order_key(self.inner.id);
        self.inner
            .invoice_number
            .is_some()
            .then(|| format!("/invoices/{}.pdf?key={key}", self.inner.id))
    }

    async fn parcel(&self, ctx: &Context<'_>) -> Result<Option<Parcel>> {
        let found = self.batch.parcels.get_or_try_init(|| async {
            let list = services(ctx).shipping.of_orders(&self.batch.ids).await.map_err(fault)?;
            let scan = |s: mela_shipping_api::Scan| Scan {
                at: DateTime(s.at),
                code: s.code,
                text: s.text,
                place: s.place,
            };
            let parcel = |p: mela_shipping_api::Parcel| {
                let order = p.order_id;
                let parcel = Parcel {
                    courier: p.courier,
                    awb: p.awb,
                    tracking_url: p.tracking_url,
                    state: p.state.as_str().to_owned(),
                    scans: p.scans.into_iter().map(scan).collect(),
                };
                (order, parcel)
            };
            Ok::<_, async_graphql::Error>(list.into_iter().map(parcel).collect::<HashMap<_, _>>())
        });
        Ok(found.await?.get(&self.inner.id).cloned())
    }

    /// Oldest first.
    async fn history(&self) -> Vec<HistoryEntry> {
        let entry = |h: &api::HistoryEntry| HistoryEntry {
            state: h.state.into(),
            at: DateTime(h.at),
            note: h.note.clone(),
        };
        self.inner.history.iter().map(entry).collect()
    }

    async fn placed_at(&self) -> DateTime {
        DateTime(self.inner.placed_at)
    }
}

connection!(OrderConnection, OrderEdge, Order);

/// Places an order from a cart.
#[derive(InputObject)]
pub(crate) struct PlaceOrderInput {
    cart_id: ID,
    method: PaymentMethod,
    /// What the shopper saw as `toPay`; another amount by now is refused.
    expected_to_pay: Option<PaiseScalar>,
    /// 8 – 64 of A–Z a–z 0–9 _ -; the same key again gives the same order.
    idempotency_key: String,
}

/// An order was placed.
#[derive(SimpleObject)]
pub(crate) struct Placed {
    order: Order,
    /// Lets a guest read the order later.
    order_key: String,
    /// What to do to pay; null if nothing.
    next: Option<HostedPage>,
}

/// A page of the payment service: post these fields to the URL as a form.
#[derive(SimpleObject)]
pub(crate) struct HostedPage {
    url: String,
    fields: Vec<FormField>,
}

/// A form field.
#[derive(SimpleObject)]
pub(crate) struct FormField {
    name: String,
    value: String,
}

impl HostedPage {
    fn of(next: NextStep) -> Option<Self> {
        match next {
            NextStep::None => None,
            NextStep::HostedPage { url, fields } => {
                let field = |(name, value)| FormField { name, value };
                Some(Self { url, fields: fields.into_iter().map(field).collect() })
            }
        }
    }
}

/// Order queries.
#[derive(Default)]
pub(crate) struct OrderQuery;

#[Object]
impl OrderQuery {
    /// One order: the caller's own, or any by its key.
    #[graphql(complexity = "page::call(child_complexity)")]
    async fn order(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "id")] order: ID,
        key: Option<String>,
    ) -> Result<Order> {
        let order = id("id", &order)?;
        services(ctx)
            .orders
            .order(op(ctx), order, key.as_deref())
            .await
            .map(Order::one)
            .map_err(fault)
    }

    /// The caller's orders, newest first.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(default_with = "page::DEFAULT_FIRST")] first: i32,
        after: Option<String>,
    ) -> Result<OrderConnection> {
        let page = page::request(first, after);
        let orders = services(ctx).orders.orders(op(ctx), &page).await.map_err(fault)?;
        Ok(Order::page(orders).into())
    }
}

/// Order mutations.
#[derive(Default)]
pub(crate) struct OrderMutation;

#[Object]
impl OrderMutation {
    /// Places the order: prices, tax, stock, coins, payment and invoice number in one step.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn place_order(&self, ctx: &Context<'_>, input: PlaceOrderInput) -> Result<Placed> {
        let request = api::PlaceOrder {
            cart_id: id("input.cartId", &input.cart_id)?,
            method: input.method.into(),
            expected_to_pay: input.expected_to_pay.map(|p| p.0),
            idempotency_key: input.idempotency_key,
        };
        let placed = services(ctx).orders.place_order(op(ctx), request).await.map_err(fault)?;
        Ok(Placed {
            order: Order::one(placed.order),
            order_key: placed.order_key,
            next: HostedPage::of(placed.next),
        })
    }

    /// Tries again to pay an order that waits for its money.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn pay_again(
        &self,
        ctx: &Context<'_>,
        order_id: ID,
        key: Option<String>,
    ) -> Result<Option<HostedPage>> {
        let order = id("orderId", &order_id)?;
        let next = services(ctx).orders.pay_again(op(ctx), order, key.as_deref()).await;
        next.map(HostedPage::of).map_err(fault)
    }

    /// Cancels an order that has not been sent: stock, coins and money go back.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn cancel_order(
        &self,
        ctx: &Context<'_>,
        order_id: ID,
        key: Option<String>,
        reason: String,
    ) -> Result<Order> {
        let order = id("orderId", &order_id)?;
        let cancelled = services(ctx).orders.cancel(op(ctx), order, key.as_deref(), &reason).await;
        cancelled.map(Order::one).map_err(fault)
    }
}
