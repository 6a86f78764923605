use std::sync::Arc;

use async_trait::async_trait;
use mela_base::ids::{CartId, OrderId};
use mela_base::{Actor, Env, Op, Page, PageRequest, Role};
use mela_blob::BlobStore;
use mela_bus::Bus;
use mela_catalog_api::Catalog;
use mela_crypto::{Vault, ct_eq};
use mela_db::{Db, DbError};
use mela_inventory_api::Inventory;
use mela_messaging_api::Messaging;
use mela_notify_api::{MailSender, SmsSender};
use mela_orders_api::{
    Address, Cart, Coupon, LineInput, NewCart, Order, OrderError, OrderFilter, OrderState,
    OrderStream, Orders, PlaceOrder, Placed,
};
use mela_payments_api::{NextStep, Payments};
use mela_shipping_api::Shipping;
use mela_wallet_api::Wallet;

use crate::fail::Fail;
use crate::store::order::{self, OrderRow};
use crate::{OrdersConfig, rules, store};

/// What orders need around them.
#[derive(Clone)]
pub struct OrdersDeps {
    /// The database.
    pub db: Db,
    /// Clock and randomness.
    pub env: Env,
    /// Events, for [`Orders::watch`].
    pub bus: Bus,
    /// Keys of persons.
    pub vault: Vault,
    /// Where rendered invoices rest, sealed.
    pub blobs: BlobStore,
    /// Prices.
    pub catalog: Arc<dyn Catalog>,
    /// Stock.
    pub inventory: Arc<dyn Inventory>,
    /// Money.
    pub payments: Arc<dyn Payments>,
    /// Coins and the ledger.
    pub wallet: Arc<dyn Wallet>,
    /// Couriers.
    pub shipping: Arc<dyn Shipping>,
    /// Inboxes.
    pub messaging: Arc<dyn Messaging>,
    /// Phones.
    pub sms: Arc<dyn SmsSender>,
    /// Mailboxes.
    pub mail: Arc<dyn MailSender>,
    /// What the shop's owner decides.
    pub config: OrdersConfig,
}

/// The orders of one shop. Cheap to clone.
#[derive(Clone)]
pub struct OrdersService(pub(crate) Arc<OrdersDeps>);

impl std::ops::Deref for OrdersService {
    type Target = OrdersDeps;

    fn deref(&self) -> &OrdersDeps {
        &self.0
    }
}

impl OrdersService {
    /// With these parts.
    pub fn new(deps: OrdersDeps) -> Self {
        Self(Arc::new(deps))
    }

    /// The order, if the caller may see it: its buyer, staff of at least `staff`, or whoever has its
    /// key. Others are not told that it exists.
    pub(crate) fn may_see(
        &self,
        op: &Op,
        row: &OrderRow,
        key: Option<&str>,
        staff: Role,
    ) -> Result<(), OrderError> {
        let own = op.person() == Some(row.person_id);
        // The right key is computed in any case, so that the time tells nothing.
        let right = rules::order_key(&self.config.order_key_secret, row.id);
        let by_key = key.is_some_and(|key| ct_eq(key.as_bytes(), right.as_bytes()));
        if own || by_key || op.may(staff) { Ok(()) } else { Err(OrderError::OrderNotFound) }
    }

    pub(crate) async fn row(
        &self,
        op: &Op,
        id: OrderId,
        key: Option<&str>,
        staff: Role,
    ) -> Result<OrderRow, OrderError> {
        let row =
            self.db.read("orders.order", move |q| Ok::<_, Fail>(order::by_id(q, id)?)).await?;
        let row = row.ok_or(OrderError::OrderNotFound)?;
        self.may_see(op, &row, key, staff)?;
        Ok(row)
    }

    /// The cursor of a list: the id of the order before.
    fn below(page: &PageRequest) -> Result<OrderId, OrderError> {
        match &page.after {
            None => Ok(OrderId(mela_base::Id::from_bytes([0xff; 16]))),
            Some(text) => text
                .parse()
                .map_err(|_| rules::invalid("after", "this cursor is not valid; start anew")),
        }
    }

    fn page(page: &PageRequest, orders: Vec<Order>) -> Page<Order> {
        let rows = orders.into_iter().map(|o| (o.id.to_string(), o)).collect();
        Page::from_rows(rows, page.limit())
    }
}

#[async_trait]
impl Orders for OrdersService {
    async fn create_cart(&self, op: &Op, cart: NewCart) -> Result<Cart, OrderError> {
        Ok(self.new_cart(op, cart).await?)
    }

    async fn cart(&self, op: &Op, id: CartId) -> Result<Cart, OrderError> {
        Ok(self.show_cart(op, id).await?)
    }

    async fn my_cart(&self, op: &Op) -> Result<Option<Cart>, OrderError> {
        Ok(self.open_cart(op).await?)
    }

    async fn add_lines(
        &self,
        op: &Op,
        id: CartId,
        lines: &[LineInput],
    ) -> Result<Cart, OrderError> {
        Ok(self.change_lines(op, id, lines, rules::add).await?)
    }

    async fn set_lines(
        &self,
        op: &Op,
        id: CartId,
        lines: &[LineInput],
    ) -> Result<Cart, OrderError> {
        Ok(self.change_lines(op, id, lines, rules::set).await?)
    }

    async fn set_address(&self, op: &Op, id: CartId, address: Address) -> Result<Cart, OrderError> {
        Ok(self.change_address(op, id, address).await?)
    }

    async fn set_coupon(
        &self,
        op: &Op,
        id: CartId,
        code: Option<String>,
    ) -> Result<Cart, OrderError> {
        Ok(self.change_coupon(op, id, code).await?)
    }

    async fn set_coins(&self, op: &Op, id: CartId, coins: i64) -> Result<Cart, OrderError> {
        Ok(self.change_coins(op, id, coins).await?)
    }

    async fn claim_cart(&self, op: &Op, id: CartId) -> Result<Cart, OrderError> {
        Ok(self.take_cart(op, id).await?)
    }

    async fn place_order(&self, op: &Op, request: PlaceOrder) -> Result<Placed, OrderError> {
        Ok(self.place(op, &Arc::new(request)).await?)
    }

    fn order_key(&self, id: OrderId) -> String {
        rules::order_key(&self.config.order_key_secret, id)
    }

    async fn pay_again(
        &self,
        op: &Op,
        id: OrderId,
        key: Option<&str>,
    ) -> Result<NextStep, OrderError> {
        let row = self.row(op, id, key, Role::Support).await?;
        match row.state {
            OrderState::PendingPayment => Ok(self.payments.start(op, row.payment_id).await?),
            OrderState::Cancelled => Err(OrderError::WrongState { state: row.state.as_str() }),
            // Paid already: nothing is left to do.
            _ => Ok(NextStep::None),
        }
    }

    async fn order(&self, op: &Op, id: OrderId, key: Option<&str>) -> Result<Order, OrderError> {
        let this = self.clone();
        let order = self
            .db
            .read("orders.order", move |q| {
                let Some(row) = order::by_id(q, id)? else { return Ok(None) };
                let shown = this.load(q, vec![row.clone()])?.pop();
                Ok::<_, Fail>(shown.map(|shown| (row, shown)))
            })
            .await?;
        let (row, order) = order.ok_or(OrderError::OrderNotFound)?;
        self.may_see(op, &row, key, Role::Viewer)?;
        Ok(order)
    }

    async fn orders(&self, op: &Op, page: &PageRequest) -> Result<Page<Order>, OrderError> {
        let person = op.person().ok_or(OrderError::Unauthenticated)?;
        let (below, limit) = (Self::below(page)?, i64::from(page.limit()) + 1);
        let this = self.clone();
        let orders = self
            .db
            .read("orders.of_person", move |q| {
                let rows = order::of_person(q, person, below, limit)?;
                this.load(q, rows)
            })
            .await?;
        Ok(Self::page(page, orders))
    }

    async fn watch(
        &self,
        op: &Op,
        id: OrderId,
        key: Option<&str>,
    ) -> Result<OrderStream, OrderError> {
        self.follow(op, id, key).await
    }

    async fn invoice_pdf(
        &self,
        op: &Op,
        id: OrderId,
        key: Option<&str>,
    ) -> Result<Vec<u8>, OrderError> {
        let row = self.row(op, id, key, Role::Viewer).await?;
        Ok(self.stored_invoice(&row).await?)
    }

    async fn cancel(
        &self,
        op: &Op,
        id: OrderId,
        key: Option<&str>,
        reason: &str,
    ) -> Result<Order, OrderError> {
        self.row(op, id, key, Role::Support).await?;
        let who = if matches!(op.actor, Actor::Staff { .. }) { "staff" } else { "the buyer" };
        let note = rules::cancel_note(who, reason);
        let this = self.clone();
        self.db
            .write("orders.cancel", move |tx| {
                let Some(mut row) = order::lock(tx, id)? else {
                    return Err(OrderError::OrderNotFound.into());
                };
                this.cancel_in(tx, &mut row, &note)
            })
            .await?;
        self.order(op, id, key).await
    }

    async fn list(
        &self,
        op: &Op,
        filter: &OrderFilter,
        page: &PageRequest,
    ) -> Result<Page<Order>, OrderError> {
        if !op.may(Role::Viewer) {
            return Err(OrderError::Denied);
        }
        // No number holds such signs, and PostgreSQL would refuse a NUL as our mistake.
        if filter.number.as_deref().is_some_and(|number| number.contains(char::is_control)) {
            return Ok(Self::page(page, Vec::new()));
        }
        let (below, limit) = (Self::below(page)?, i64::from(page.limit()) + 1);
        let (this, filter) = (self.clone(), filter.clone());
        let orders = self
            .db
            .read("orders.list", move |q| {
                let number = filter.number.as_deref();
                let rows = order::list(q, below, filter.state, number, limit)?;
                this.load(q, rows)
            })
            .await?;
        Ok(Self::page(page, orders))
    }

    async fn save_coupon(&self, op: &Op, coupon: Coupon) -> Result<(), OrderError> {
        if !op.may(Role::Manager) {
            return Err(OrderError::Denied);
        }
        let coupon = Coupon { code: rules::coupon_code(&coupon.code)?, ..coupon };
        rules::check_coupon(&coupon)?;
        self.db
            .write("orders.save_coupon", move |tx| {
                store::coupon::save(tx, &coupon).map_err(Fail::from)
            })
            .await?;
        Ok(())
    }

    async fn coupons(&self, op: &Op) -> Result<Vec<Coupon>, OrderError> {
        if !op.may(Role::Viewer) {
            return Err(OrderError::Denied);
        }
        let all = self
            .db
            .read("orders.coupons", |q| store::coupon::all(q).map_err(|e: DbError| Fail::from(e)));
        Ok(all.await?)
    }
}
