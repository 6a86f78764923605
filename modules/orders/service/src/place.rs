//! Placing an order: one transaction, then the gateway.

use std::sync::Arc;

use mela_base::ids::{HoldId, OrderId, PaymentId, TransferId};
use mela_base::{Id, MINUTE_MS, Op, Paise, Timestamp, pincode};
use mela_catalog_api::VariantForSale;
use mela_crypto::DataKey;
use mela_db::Tx;
use mela_inventory_api::{Location, Quantity};
use mela_orders_api::{
    HistoryEntry, OrderConfirmed, OrderError, OrderLine, OrderPlaced, OrderState, PlaceOrder,
    Placed,
};
use mela_payments_api::{Method, NewPayment, NextStep};
use mela_wallet_api::{Account, Hold, Transfer, TransferCode};

use crate::OrdersService;
use crate::cart::{may_use, why_not_open};
use crate::fail::Fail;
use crate::gst;
use crate::rules;
use crate::store::cart::{self, CartRow};
use crate::store::coupon;
use crate::store::order::{self, OrderRow};
use crate::totals::{self, Input, LineIn, Output};
use crate::view;

/// Coins stay set aside a little longer than the order waits, so that the order's own end is what
/// gives them back.
const HOLD_LONGER_MS: i64 = 10 * MINUTE_MS;

/// What a transaction placed.
struct Done {
    row: OrderRow,
    lines: Vec<OrderLine>,
    key: Option<DataKey>,
}

/// What one try needs besides the request. Ids are chosen outside of the transaction, because it
/// may run more than once.
#[derive(Clone)]
struct Try {
    op: Op,
    request: Arc<PlaceOrder>,
    hash: [u8; 32],
    location: Location,
    id: OrderId,
    payment_id: PaymentId,
    now: Timestamp,
}

impl OrdersService {
    pub(crate) async fn place(&self, op: &Op, request: &Arc<PlaceOrder>) -> Result<Placed, Fail> {
        rules::check_key(&request.idempotency_key)?;
        let hash = rules::request_hash(request);
        let locations = self.inventory.locations().await?;
        let mut from = locations.iter().peekable();
        // Two orders of one ms share a number once in a million; three in a row do not happen.
        let mut tries = 3;
        loop {
            let Some(location) = from.peek() else {
                return Err(Fail::internal("no dispatch location is set up"));
            };
            let one = Try {
                op: op.clone(),
                request: request.clone(),
                hash,
                location: (*location).clone(),
                id: self.env.new_id(),
                payment_id: self.env.new_id(),
                now: self.env.now(),
            };
            let this = self.clone();
            let done = self.db.write("orders.place", move |tx| this.place_in(tx, &one)).await;
            return match done {
                Ok(done) => self.placed(op, done).await,
                Err(fail) if fail.unique("customer_order_number") && tries > 1 => {
                    tries -= 1;
                    continue;
                }
                // All of an order leaves from one place. What the first has not, the next may have;
                // the answer of the last stands.
                Err(Fail::Order(OrderError::OutOfStock { .. })) if from.len() > 1 => {
                    from.next();
                    continue;
                }
                Err(fail)
                    if fail.unique("customer_order_key")
                        || fail.unique("customer_order_cart")
                        || matches!(fail, Fail::Order(OrderError::CartPlaced)) =>
                {
                    self.again(op, request, hash).await
                }
                Err(fail) => Err(fail),
            };
        }
    }

    /// The order that this request, or another one with its cart or its key, has placed before.
    async fn again(
        &self,
        op: &Op,
        request: &Arc<PlaceOrder>,
        hash: [u8; 32],
    ) -> Result<Placed, Fail> {
        let (this, asking, asked) = (self.clone(), op.clone(), request.clone());
        let done = self
            .db
            .read("orders.place_again", move |q| {
                let cart = cart::by_id(q, asked.cart_id)?.filter(|cart| may_use(&asking, cart));
                let cart = cart.ok_or(OrderError::CartNotFound)?;
                let row = match order::by_cart(q, cart.id)? {
                    Some(row) => row,
                    None => order::by_key(q, key_scope(&cart), &asked.idempotency_key)?
                        .ok_or_else(|| Fail::internal("an order that was there is gone"))?,
                };
                if row.idempotency_key != asked.idempotency_key {
                    return Err(OrderError::CartPlaced.into());
                }
                if row.request_hash != hash {
                    return Err(OrderError::KeyReused.into());
                }
                let lines = order::lines(q, &[row.id])?.into_iter().map(|(_, line)| line).collect();
                let key = this.vault.person_key(q, row.sealed_by)?;
                Ok::<_, Fail>(Done { row, lines, key })
            })
            .await?;
        self.placed(op, done).await
    }

    /// After the commit: the gateway is told, and the answer is made.
    async fn placed(&self, op: &Op, done: Done) -> Result<Placed, Fail> {
        let Done { row, lines, key } = done;
        let next = if row.state == OrderState::PendingPayment {
            match self.payments.start(op, row.payment_id).await {
                Ok(next) => next,
                Err(error) => {
                    // The order stands; the shopper can try to pay again.
                    tracing::warn!(order = %row.id, %error, "the gateway could not be told");
                    NextStep::None
                }
            }
        } else {
            NextStep::None
        };
        let address = view::open_address(key.as_ref(), &row.address)?;
        let order_key = rules::order_key(&self.config.order_key_secret, row.id);
        Ok(Placed { order: view::order(row, lines, address), order_key, next })
    }

    /// The transaction. Rows that others wait for are touched late, the invoice counter last but
    /// one.
    fn place_in(&self, tx: &mut Tx<'_>, one: &Try) -> Result<Done, Fail> {
        let Try { request, id, now, .. } = one;
        let (id, now) = (*id, *now);
        let Some(cart) = cart::place(tx, request.cart_id, id, now)? else {
            return Err(why_not_open(tx, &one.op, request.cart_id)?.into());
        };
        if !may_use(&one.op, &cart) {
            return Err(OrderError::CartNotFound.into());
        }
        if cart.lines.is_empty() {
            return Err(OrderError::CartEmpty.into());
        }
        let (Some(address), Some(sealed_by), Some(pincode)) =
            (&cart.address, cart.key_person, &cart.pincode)
        else {
            return Err(OrderError::AddressMissing.into());
        };
        let place = pincode::lookup(pincode).ok_or(OrderError::NotDeliverable)?;
        let delivery =
            self.shipping.serviceability(pincode).map_err(|_| OrderError::NotDeliverable)?;
        if !delivery.deliverable {
            return Err(OrderError::NotDeliverable.into());
        }
        let person_id = cart.person_id.unwrap_or(sealed_by);

        let ids: Vec<_> = cart.lines.iter().map(|(v, _)| *v).collect();
        let variants = sold(&cart, self.catalog.variants_for_sale(tx, &ids)?)?;
        let inputs: Vec<LineIn<'_>> = variants
            .iter()
            .map(|(v, quantity)| LineIn { price: v.price, quantity: *quantity, hsn: &v.hsn })
            .collect();
        let coupon = match &cart.coupon {
            Some(code) => Some(coupon::by_code(tx, code)?.ok_or_else(rules::no_such_coupon)?),
            None => None,
        };
        let logged_in = rules::logged_in(&one.op) && cart.person_id.is_some();
        let discount = match &coupon {
            Some(coupon) => rules::discount(coupon, totals::subtotal(&inputs), logged_in, now)?,
            None => Paise::ZERO,
        };
        let input = Input {
            lines: &inputs,
            discount,
            on_delivery: request.method == Method::CashOnDelivery,
            coins: if cart.person_id.is_some() { cart.coins } else { 0 },
            supply: gst::supply(&one.location.state_code, place.state.code),
            on: now.ist_date(),
        };
        let out = totals::compute(&self.config, &input);
        let totals = out.totals;
        let method = self.method(request.method, totals.to_pay, delivery.cash_on_delivery)?;
        if let Some(expected) = request.expected_to_pay
            && expected != totals.to_pay
        {
            return Err(OrderError::TotalChanged { expected, now: totals.to_pay }.into());
        }

        let waits = method == Method::Razorpay;
        let expires_at =
            waits.then(|| now.plus_ms(self.config.reservation_minutes.max(1) * MINUTE_MS));
        let state = if waits { OrderState::PendingPayment } else { OrderState::Confirmed };
        let number = rules::order_number(id);
        let lines = self.order_lines(&variants, &out);
        order::insert_lines(tx, id, &lines)?;
        let wanted: Vec<Quantity> = cart
            .lines
            .iter()
            .map(|(variant_id, quantity)| Quantity { variant_id: *variant_id, quantity: *quantity })
            .collect();
        self.inventory.reserve_in(tx, id, one.location.id, &wanted, expires_at)?;
        self.payments.begin_in(
            tx,
            &NewPayment {
                id: one.payment_id,
                order_id: id,
                order_number: number.clone(),
                person_id,
                method,
                amount: totals.to_pay,
            },
        )?;
        if let Some(coupon) = &coupon
            && !coupon::use_one(tx, coupon, person_id)?
        {
            return Err(OrderError::CouponRefused(rules::used_up()).into());
        }

        let mut row = OrderRow {
            id,
            number,
            cart_id: cart.id,
            key_scope: key_scope(&cart),
            idempotency_key: request.idempotency_key.clone(),
            request_hash: one.hash,
            person_id,
            sealed_by,
            address: address.clone(),
            pincode: pincode.clone(),
            state_code: place.state.code.to_owned(),
            location_id: one.location.id,
            supplier_gstin: one.location.gstin.clone(),
            supplier_state: one.location.state_code.clone(),
            method,
            totals,
            charges: out.charges,
            coupon: cart.coupon.clone(),
            payment_id: one.payment_id,
            state,
            history: vec![HistoryEntry { state, at: now, note: placed_note(method).to_owned() }],
            weight_g: variants
                .iter()
                .map(|(v, quantity)| v.weight_g.saturating_mul(*quantity))
                .fold(0, i64::saturating_add),
            placed_at: now,
            expires_at,
            parcel_at: None,
            invoice_number: None,
            invoiced_at: None,
            invoice_blob: None,
        };
        if let Some(expires_at) = expires_at {
            if totals.coins > 0 {
                let hold = Hold {
                    id: hold_id(id),
                    person: person_id,
                    amount: totals.coins,
                    reference: id.0,
                    expires_at: expires_at.plus_ms(HOLD_LONGER_MS),
                };
                self.wallet.hold_in(tx, &hold)?;
            }
            let event = OrderPlaced { order_id: id, person_id, to_pay: totals.to_pay };
            mela_bus::emit(tx, &self.env, &event)?;
        } else {
            let mut transfers = Vec::with_capacity(2);
            transfers.extend(sold_on_delivery(&row));
            transfers.extend(redeem_coins(&row));
            if !transfers.is_empty() {
                self.wallet.post_in(tx, &transfers)?;
            }
            let event = OrderConfirmed { order_id: id, person_id, total: totals.total };
            mela_bus::emit(tx, &self.env, &event)?;
            self.allocate_invoice_in(tx, &mut row, now)?;
        }
        order::insert(tx, &row)?;
        let key = self.vault.person_key(tx, sealed_by)?;
        Ok(Done { row, lines, key })
    }

    /// The way of paying that this order takes, or why it cannot.
    fn method(&self, asked: Method, to_pay: Paise, cash: bool) -> Result<Method, OrderError> {
        let unavailable = |text: &str| Err(OrderError::MethodUnavailable(text.to_owned()));
        if to_pay == Paise::ZERO {
            return Ok(Method::Coins);
        }
        match asked {
            Method::Coins => {
                unavailable("coins do not cover this order; choose how to pay the rest")
            }
            Method::Razorpay if !self.config.gateway => {
                unavailable("paying online is not possible in this shop; choose another way")
            }
            Method::CashOnDelivery if !cash => {
                unavailable("cash on delivery is not possible at this pincode; pay online")
            }
            Method::CashOnDelivery if to_pay > self.config.cod_max => {
                Err(OrderError::MethodUnavailable(format!(
                    "cash on delivery is possible up to {}; pay online",
                    self.config.cod_max
                )))
            }
            method => Ok(method),
        }
    }

    fn order_lines(&self, variants: &[(VariantForSale, i64)], out: &Output) -> Vec<OrderLine> {
        variants
            .iter()
            .zip(&out.lines)
            .map(|((v, quantity), l)| OrderLine {
                id: self.env.new_id(),
                variant_id: v.id,
                product_id: v.product_id,
                sku: v.sku.clone(),
                name: v.name.clone(),
                name_hi: v.name_hi.clone(),
                hsn: v.hsn.clone(),
                quantity: *quantity,
                unit_price: v.price,
                discount: l.discount,
                total: l.total,
                rate_bp: l.tax.rate_bp,
                taxable: l.tax.taxable,
                cgst: l.tax.cgst,
                sgst: l.tax.sgst,
                igst: l.tax.igst,
            })
            .collect()
    }
}

/// The variants of a cart with their quantities, in its order; all must be for sale.
fn sold(
    cart: &CartRow,
    mut known: Vec<VariantForSale>,
) -> Result<Vec<(VariantForSale, i64)>, Fail> {
    cart.lines
        .iter()
        .map(|(id, quantity)| {
            let at = known.iter().position(|v| v.id == *id && v.active);
            match at {
                Some(at) => Ok((known.swap_remove(at), *quantity)),
                None => Err(OrderError::NotForSale { variant_id: *id }.into()),
            }
        })
        .collect()
}

/// Within what an idempotency key is unique.
fn key_scope(cart: &CartRow) -> Id {
    cart.person_id.map_or(cart.id.0, |person| person.0)
}

fn placed_note(method: Method) -> &'static str {
    match method {
        Method::CashOnDelivery => "placed, to be paid on delivery",
        Method::Razorpay => "placed, waits for its payment",
        Method::Coins => "placed, nothing left to pay",
    }
}

/// The coins that are set aside for an order.
pub(crate) fn hold_id(order: OrderId) -> HoldId {
    HoldId(Id::from_name(&format!("order:{order}")))
}

fn transfer(
    row: &OrderRow,
    name: &str,
    code: TransferCode,
    from: Account,
    to: Account,
    amount: i64,
) -> Option<Transfer> {
    let id = TransferId(Id::from_name(&format!("{name}:{}", row.id)));
    (amount > 0).then_some(Transfer { id, from, to, amount, code, reference: row.id.0 })
}

/// What the buyer owes on delivery. Money through a gateway is booked by payments when it arrives.
pub(crate) fn sold_on_delivery(row: &OrderRow) -> Option<Transfer> {
    let (from, to) = (Account::Sales, Account::CodReceivable);
    let amount = row.totals.to_pay.0;
    (row.method == Method::CashOnDelivery)
        .then(|| transfer(row, "order-cod", TransferCode::OrderCod, from, to, amount))?
}

/// What the buyer does not owe any more.
pub(crate) fn void_on_delivery(row: &OrderRow) -> Option<Transfer> {
    let (from, to) = (Account::CodReceivable, Account::Sales);
    let amount = row.totals.to_pay.0;
    (row.method == Method::CashOnDelivery)
        .then(|| transfer(row, "order-void", TransferCode::OrderVoid, from, to, amount))?
}

pub(crate) fn redeem_coins(row: &OrderRow) -> Option<Transfer> {
    let (from, to) = (Account::Coins(row.person_id), Account::CoinRedeemed);
    transfer(row, "order-coins", TransferCode::OrderRedeem, from, to, row.totals.coins)
}

pub(crate) fn restore_coins(row: &OrderRow) -> Option<Transfer> {
    let (from, to) = (Account::CoinRedeemed, Account::Coins(row.person_id));
    transfer(row, "order-coins-back", TransferCode::OrderRestore, from, to, row.totals.coins)
}
