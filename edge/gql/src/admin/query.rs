use async_graphql::{Context, ID, Object, Result, SimpleObject};
use mela_orders_api as orders;

use crate::admin::Staff;
use crate::context::{op, services};
use crate::error::fault;
use crate::page;
use crate::scalar::{DateTime, PaiseScalar};
use crate::shop::order::{Order, OrderConnection, OrderState};

/// A staff account.
#[derive(SimpleObject)]
#[graphql(name = "Staff")]
pub(crate) struct StaffAccount {
    id: ID,
    email: String,
    /// `viewer`, `support`, `manager` or `owner`.
    role: String,
    active: bool,
}

impl From<mela_identity_api::Staff> for StaffAccount {
    fn from(s: mela_identity_api::Staff) -> Self {
        Self {
            id: ID(s.id.to_string()),
            email: s.email,
            role: s.role.as_str().to_owned(),
            active: s.active,
        }
    }
}

/// A place from which goods are dispatched.
#[derive(SimpleObject)]
pub(crate) struct Location {
    id: ID,
    name: String,
    gstin: String,
    /// GST state code, two digits.
    state_code: String,
    address: String,
    pincode: String,
}

/// A code that makes an order cheaper.
#[derive(SimpleObject)]
pub(crate) struct Coupon {
    code: String,
    /// Hundredths of a percent, for percentage coupons.
    percent_bp: Option<i64>,
    /// For fixed coupons the amount, for percentage coupons the most they take off.
    amount: Option<PaiseScalar>,
    min_subtotal: PaiseScalar,
    max_uses: Option<i64>,
    max_uses_per_person: Option<i64>,
    uses: i64,
    starts_at: DateTime,
    ends_at: Option<DateTime>,
}

impl From<orders::Coupon> for Coupon {
    fn from(c: orders::Coupon) -> Self {
        let (percent_bp, amount) = match c.kind {
            orders::CouponKind::Percent { bp, at_most } => (Some(bp), at_most),
            orders::CouponKind::Amount(amount) => (None, Some(amount)),
        };
        Self {
            code: c.code,
            percent_bp,
            amount: amount.map(PaiseScalar),
            min_subtotal: PaiseScalar(c.min_subtotal),
            max_uses: c.max_uses,
            max_uses_per_person: c.max_uses_per_person,
            uses: c.uses,
            starts_at: DateTime(c.starts_at),
            ends_at: c.ends_at.map(DateTime),
        }
    }
}

/// The books, checked against themselves.
#[derive(SimpleObject)]
pub(crate) struct LedgerCheck {
    /// Number of transfers.
    transfers: u64,
    /// Must be 0.
    sum_coin: i64,
    /// Must be 0.
    sum_paise: i64,
    /// Accounts whose balance does not follow from their transfers; must be empty.
    wrong_accounts: Vec<ID>,
}

/// Queries for staff.
#[derive(Default)]
pub(crate) struct AdminQuery;

#[Object(guard = "Staff")]
impl AdminQuery {
    /// Orders, newest first.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(default_with = "page::DEFAULT_FIRST")] first: i32,
        after: Option<String>,
        state: Option<OrderState>,
        number: Option<String>,
    ) -> Result<OrderConnection> {
        let filter = orders::OrderFilter { state: state.map(Into::into), number };
        let page = page::request(first, after);
        let found = services(ctx).orders.list(op(ctx), &filter, &page).await.map_err(fault)?;
        Ok(Order::page(found).into())
    }

    /// All coupons.
    #[graphql(complexity = "page::call(child_complexity)")]
    async fn coupons(&self, ctx: &Context<'_>) -> Result<Vec<Coupon>> {
        let found = services(ctx).orders.coupons(op(ctx)).await.map_err(fault)?;
        Ok(found.into_iter().map(Coupon::from).collect())
    }

    /// All staff accounts (owners only).
    #[graphql(complexity = "page::call(child_complexity)")]
    async fn staff(&self, ctx: &Context<'_>) -> Result<Vec<StaffAccount>> {
        let found = services(ctx).identity.staff(op(ctx)).await.map_err(fault)?;
        Ok(found.into_iter().map(StaffAccount::from).collect())
    }

    /// All dispatch locations.
    #[graphql(complexity = "page::call(child_complexity)")]
    async fn locations(&self, ctx: &Context<'_>) -> Result<Vec<Location>> {
        let location = |l: mela_inventory_api::Location| Location {
            id: ID(l.id.to_string()),
            name: l.name,
            gstin: l.gstin,
            state_code: l.state_code,
            address: l.address,
            pincode: l.pincode,
        };
        let found = services(ctx).inventory.locations().await.map_err(fault)?;
        Ok(found.into_iter().map(location).collect())
    }

    /// Checks the books.
    #[graphql(complexity = "page::call(child_complexity)")]
    async fn ledger_check(&self, ctx: &Context<'_>) -> Result<LedgerCheck> {
        let check = services(ctx).wallet.check().await.map_err(fault)?;
        Ok(LedgerCheck {
            transfers: check.transfers,
            sum_coin: check.sum_coin,
            sum_paise: check.sum_paise,
            wrong_accounts: check.wrong.iter().map(|a| ID(a.to_string())).collect(),
        })
    }
}
