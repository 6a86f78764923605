use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};
use mela_base::Role;
use mela_catalog_api::{PriceChange, ProductEdit};
use mela_inventory_api::StockLevel;
use mela_orders_api::{Coupon, CouponKind};

use crate::admin::Staff;
use crate::admin::query::StaffAccount;
use crate::context::{op, services};
use crate::error::{fault, invalid};
use crate::page;
use crate::scalar::{DateTime, PaiseScalar, id};
use crate::shop::catalog::Product;
use crate::shop::order::Order;

/// A staff login.
#[derive(SimpleObject)]
pub(crate) struct StaffLogin {
    staff: StaffAccount,
    /// Send as `Authorization: Bearer …`.
    access_token: String,
    /// Seconds.
    access_expires_in_s: i64,
    /// Usable once, to get new tokens.
    refresh_token: String,
}

/// What to change of a product; null leaves as is.
#[derive(InputObject)]
pub(crate) struct ProductInput {
    name: Option<String>,
    /// Empty removes it.
    name_hi: Option<String>,
    description: Option<String>,
    /// Shown in the shop or not.
    active: Option<bool>,
}

/// A new price of a variant.
#[derive(InputObject)]
pub(crate) struct PriceInput {
    variant_id: ID,
    /// Tax included.
    price: PaiseScalar,
    mrp: Option<PaiseScalar>,
}

/// A new level of stock.
#[derive(InputObject)]
pub(crate) struct StockInput {
    variant_id: ID,
    location_id: ID,
    /// Physically there.
    on_hand: i64,
}

/// A coupon: either `percentBp` (with `amount` as the most it takes off) or `amount` alone.
#[derive(InputObject)]
pub(crate) struct CouponInput {
    code: String,
    percent_bp: Option<i64>,
    amount: Option<PaiseScalar>,
    min_subtotal: Option<PaiseScalar>,
    max_uses: Option<i64>,
    max_uses_per_person: Option<i64>,
    starts_at: DateTime,
    ends_at: Option<DateTime>,
}

/// Mutations for staff.
#[derive(Default)]
pub(crate) struct AdminMutation;

#[Object]
impl AdminMutation {
    /// Logs a member of staff in.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn staff_login(
        &self,
        ctx: &Context<'_>,
        email: String,
        password: String,
    ) -> Result<StaffLogin> {
        let (staff, tokens) =
            services(ctx).identity.staff_login(op(ctx), &email, &password).await.map_err(fault)?;
        Ok(StaffLogin {
            staff: staff.into(),
            access_token: tokens.access_token,
            access_expires_in_s: tokens.access_expires_in_s,
            refresh_token: tokens.refresh_token,
        })
    }

    /// Changes name, description, visibility of a product.
    #[graphql(guard = "Staff", complexity = "page::change(child_complexity)")]
    async fn edit_product(
        &self,
        ctx: &Context<'_>,
        product_id: ID,
        input: ProductInput,
    ) -> Result<Option<Product>> {
        let product = id("productId", &product_id)?;
        let edit = ProductEdit {
            name: input.name,
            name_hi: input.name_hi,
            description: input.description,
            active: input.active,
        };
        let edited =
            services(ctx).catalog.edit_product(op(ctx), product, edit).await.map_err(fault)?;
        Ok(Product::list(vec![edited]).pop())
    }

    /// Changes prices; all or nothing.
    #[graphql(guard = "Staff", complexity = "page::change(child_complexity)")]
    async fn change_prices(&self, ctx: &Context<'_>, changes: Vec<PriceInput>) -> Result<bool> {
        let change = |c: PriceInput| {
            Ok(PriceChange {
                variant_id: id("changes.variantId", &c.variant_id)?,
                price: c.price.0,
                mrp: c.mrp.map(|p| p.0),
            })
        };
        let changes = changes.into_iter().map(change).collect::<Result<Vec<_>>>()?;
        services(ctx).catalog.change_prices(op(ctx), &changes).await.map(|()| true).map_err(fault)
    }

    /// Sets stock levels; all or nothing.
    #[graphql(guard = "Staff", complexity = "page::change(child_complexity)")]
    async fn set_stock(&self, ctx: &Context<'_>, levels: Vec<StockInput>) -> Result<bool> {
        let level = |l: StockInput| {
            Ok(StockLevel {
                variant_id: id("levels.variantId", &l.variant_id)?,
                location_id: id("levels.locationId", &l.location_id)?,
                on_hand: l.on_hand,
            })
        };
        let levels = levels.into_iter().map(level).collect::<Result<Vec<_>>>()?;
        services(ctx).inventory.set_stock(op(ctx), &levels).await.map(|()| true).map_err(fault)
    }

    /// Creates or changes a coupon.
    #[graphql(guard = "Staff", complexity = "page::change(child_complexity)")]
    async fn save_coupon(&self, ctx: &Context<'_>, input: CouponInput) -> Result<bool> {
        let kind = match (input.percent_bp, input.amount) {
            (Some(bp), at_most) => CouponKind::Percent { bp, at_most: at_most.map(|p| p.0) },
            (None, Some(amount)) => CouponKind::Amount(amount.0),
            (None, None) => {
                return Err(invalid("INVALID_ORDER", "input", "give `percentBp` or `amount`"));
            }
        };
        let coupon = Coupon {
            code: input.code,
            kind,
            min_subtotal: input.min_subtotal.map(|p| p.0).unwrap_or_default(),
            max_uses: input.max_uses,
            max_uses_per_person: input.max_uses_per_person,
            uses: 0,
            starts_at: input.starts_at.0,
            ends_at: input.ends_at.map(|t| t.0),
        };
        services(ctx).orders.save_coupon(op(ctx), coupon).await.map(|()| true).map_err(fault)
    }

    /// Cancels an order that has not been sent.
    #[graphql(guard = "Staff", complexity = "page::change(child_complexity)")]
    async fn cancel_order(&self, ctx: &Context<'_>, order_id: ID, reason: String) -> Result<Order> {
        let order = id("orderId", &order_id)?;
        let cancelled = services(ctx).orders.cancel(op(ctx), order, None, &reason).await;
        cancelled.map(Order::one).map_err(fault)
    }

    /// Gives coins; the same key again gives them once. Returns what the person can spend now.
    #[graphql(guard = "Staff", complexity = "page::change(child_complexity)")]
    async fn grant_coins(
        &self,
        ctx: &Context<'_>,
        person_id: ID,
        amount: i64,
        key: String,
    ) -> Result<i64> {
        let person = id("personId", &person_id)?;
        let balance = services(ctx).wallet.grant(op(ctx), person, amount, &key).await;
        balance.map(|b| b.available).map_err(fault)
    }

    /// Creates a staff account, or changes the one with this e-mail.
    #[graphql(guard = "Staff", complexity = "page::change(child_complexity)")]
    async fn save_staff(
        &self,
        ctx: &Context<'_>,
        email: String,
        password: Option<String>,
        role: String,
        #[graphql(default = true)] active: bool,
    ) -> Result<StaffAccount> {
        let role = Role::parse(&role).ok_or_else(|| {
            invalid("INVALID_ROLE", "role", "a role is viewer, support, manager or owner")
        })?;
        let saved = services(ctx)
            .identity
            .save_staff(op(ctx), &email, password.as_deref(), role, active)
            .await;
        saved.map(StaffAccount::from).map_err(fault)
    }
}
