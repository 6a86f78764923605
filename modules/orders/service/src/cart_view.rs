//! A cart with everything computed at present prices.

use std::collections::HashMap;

use mela_base::ids::VariantId;
use mela_base::{Fault, Op, Paise, pincode};
use mela_catalog_api::VariantForSale;
use mela_db::Query;
use mela_inventory_api::Location;
use mela_orders_api::{Address, Cart, CartLine, Coupon, OrderError, Problem};
use mela_payments_api::Method;

use crate::OrdersService;
use crate::fail::Fail;
use crate::gst::{self, Supply};
use crate::rules;
use crate::store::cart::CartRow;
use crate::store::coupon;
use crate::totals::{self, Input, LineIn};
use crate::view;

/// What a cart is shown with, read together.
pub(crate) struct Around {
    pub(crate) variants: HashMap<VariantId, VariantForSale>,
    pub(crate) coupon: Option<Coupon>,
    pub(crate) address: Option<Address>,
}

impl OrdersService {
    /// What a cart is shown with: at most three statements.
    pub(crate) fn around(
        &self,
        q: &mut Query<'_>,
        row: &CartRow,
        address: Option<Address>,
    ) -> Result<Around, Fail> {
        let ids: Vec<VariantId> = row.lines.iter().map(|(v, _)| *v).collect();
        let variants = self.catalog.variants_for_sale(q, &ids)?;
        let coupon = match &row.coupon {
            Some(code) => coupon::by_code(q, code)?,
            None => None,
        };
        let address = match (address, &row.address, row.key_person) {
            (Some(address), _, _) => Some(address),
            (None, Some(sealed), Some(person)) => {
                view::open_address(self.vault.person_key(q, person)?.as_ref(), sealed)?
            }
            _ => None,
        };
        let variants = variants.into_iter().map(|v| (v.id, v)).collect();
        Ok(Around { variants, coupon, address })
    }

    /// Refuses a coupon that does not exist or cannot be used now.
    pub(crate) fn check_coupon(&self, op: &Op, row: &CartRow, around: &Around) -> Result<(), Fail> {
        self.coupon_discount(op, row, around).map(drop).map_err(Fail::from)
    }

    fn coupon_discount(
        &self,
        op: &Op,
        row: &CartRow,
        around: &Around,
    ) -> Result<Paise, OrderError> {
        if row.coupon.is_none() {
            return Ok(Paise::ZERO);
        }
        let Some(coupon) = &around.coupon else { return Err(rules::no_such_coupon()) };
        let (_, lines) = for_sale(row, around);
        let subtotal = totals::subtotal(&lines);
        let logged_in = rules::logged_in(op) && row.person_id.is_some();
        rules::discount(coupon, subtotal, logged_in, self.env.now())
    }

    pub(crate) async fn present(
        &self,
        op: &Op,
        row: CartRow,
        around: Around,
    ) -> Result<Cart, Fail> {
        let ids: Vec<VariantId> = row.lines.iter().map(|(v, _)| *v).collect();
        let (stock, locations, coins) = if row.order_id.is_some() {
            // It became an order: what is left in the shop says nothing about it.
            (Vec::new(), Vec::new(), i64::MAX)
        } else {
            let stock =
                if ids.is_empty() { Vec::new() } else { self.inventory.availability(&ids).await? };
            let coins = match row.person_id {
                Some(person) if row.coins > 0 => self.wallet.balance(person).await?.available,
                _ => i64::MAX,
            };
            (stock, self.inventory.locations().await?, coins)
        };
        let supply = self.supply(&row, locations.first());
        let mut problems: Vec<OrderError> = Vec::new();
        if ids.is_empty() {
            problems.push(OrderError::CartEmpty);
        }
        for (variant_id, quantity) in &row.lines {
            let variant_id = *variant_id;
            if !around.variants.get(&variant_id).is_some_and(|v| v.active) {
                problems.push(OrderError::NotForSale { variant_id });
            } else if let Some(left) = stock.iter().find(|a| a.variant_id == variant_id)
                && left.available < *quantity
            {
                let available = left.available.max(0);
                problems.push(OrderError::OutOfStock { variant_id, available });
            }
        }
        let delivery = match &row.pincode {
            Some(pincode) if row.address.is_some() || around.address.is_some() => {
                let known = self.shipping.serviceability(pincode).ok();
                if !known.as_ref().is_some_and(|s| s.deliverable) {
                    problems.push(OrderError::NotDeliverable);
                }
                known
            }
            _ => {
                problems.push(OrderError::AddressMissing);
                None
            }
        };
        let discount = self.coupon_discount(op, &row, &around).unwrap_or_else(|error| {
            problems.push(error);
            Paise::ZERO
        });
        let wanted = if row.person_id.is_some() { row.coins } else { 0 };
        let (sellable, inputs) = for_sale(&row, &around);
        let input = Input {
            lines: &inputs,
            discount,
            on_delivery: false,
            coins: wanted,
            supply,
            on: self.env.now().ist_date(),
        };
        let out = totals::compute(&self.config, &input);
        let on_delivery = Input { on_delivery: true, ..input };
        let on_delivery = totals::compute(&self.config, &on_delivery).totals;
        if out.totals.coins > coins {
            problems.push(OrderError::NotEnoughCoins { available: coins });
        }
        let priced: HashMap<VariantId, _> =
            sellable.iter().map(|v| v.id).zip(out.lines.iter().copied()).collect();
        let lines = row
            .lines
            .iter()
            .filter_map(|(variant_id, quantity)| {
                let v = around.variants.get(variant_id)?;
                let (discount, total) = priced
                    .get(variant_id)
                    .map_or((Paise::ZERO, Paise::ZERO), |l| (l.discount, l.total));
                Some(CartLine {
                    variant_id: v.id,
                    product_id: v.product_id,
                    sku: v.sku.clone(),
                    name: v.name.clone(),
                    quantity: *quantity,
                    unit_price: v.price,
                    unit_mrp: v.mrp,
                    discount,
                    total,
                })
            })
            .collect();
        let methods = if ids.is_empty() {
            Vec::new()
        } else if out.totals.to_pay == Paise::ZERO {
            vec![Method::Coins]
        } else {
            let cash = on_delivery.to_pay <= self.config.cod_max
                && delivery.as_ref().is_none_or(|d| d.cash_on_delivery);
            [(self.config.gateway, Method::Razorpay), (cash, Method::CashOnDelivery)]
                .into_iter()
                .filter_map(|(possible, method)| possible.then_some(method))
                .collect()
        };
        Ok(Cart {
            id: row.id,
            version: row.version,
            lines,
            state: row
                .pincode
                .as_deref()
                .and_then(pincode::lookup)
                .map(|p| p.state.name.to_owned()),
            address: around.address,
            coupon: row.coupon,
            coins: row.coins,
            totals: out.totals,
            totals_on_delivery: on_delivery,
            problems: if row.order_id.is_some() {
                Vec::new()
            } else {
                problems.iter().map(problem).collect()
            },
            methods: if row.order_id.is_some() { Vec::new() } else { methods },
            order_id: row.order_id,
        })
    }

    /// Where the tax of a cart would go; within the state as long as nobody knows.
    fn supply(&self, row: &CartRow, from: Option<&Location>) -> Supply {
        let to = row.pincode.as_deref().and_then(pincode::lookup);
        match (from, to) {
            (Some(from), Some(to)) => gst::supply(&from.state_code, to.state.code),
            _ => Supply::Intra,
        }
    }
}

/// The lines that can be bought, and how they are computed.
fn for_sale<'a>(row: &CartRow, around: &'a Around) -> (Vec<&'a VariantForSale>, Vec<LineIn<'a>>) {
    row.lines
        .iter()
        .filter_map(|(id, quantity)| {
            let v = around.variants.get(id).filter(|v| v.active)?;
            Some((v, LineIn { price: v.price, quantity: *quantity, hsn: &v.hsn }))
        })
        .unzip()
}

fn problem(error: &OrderError) -> Problem {
    let variant_id = match error {
        OrderError::NotForSale { variant_id } | OrderError::OutOfStock { variant_id, .. } => {
            Some(*variant_id)
        }
        _ => None,
    };
    Problem { code: error.code(), message: error.to_string(), variant_id }
}
