//! Carts.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use mela_orders_api as api;
use mela_payments_api::Method;

use crate::context::{op, services};
use crate::error::fault;
use crate::page;
use crate::scalar::{PaiseScalar, id};
use crate::shop::catalog::Product;

/// A way of paying.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaymentMethod {
    /// Cash to the courier.
    CashOnDelivery,
    /// Razorpay's hosted page: UPI, cards, netbanking, wallets.
    Razorpay,
    /// Coins pay for all of it.
    Coins,
}

impl From<Method> for PaymentMethod {
    fn from(method: Method) -> Self {
        match method {
            Method::CashOnDelivery => Self::CashOnDelivery,
            Method::Razorpay => Self::Razorpay,
            Method::Coins => Self::Coins,
        }
    }
}

impl From<PaymentMethod> for Method {
    fn from(method: PaymentMethod) -> Self {
        match method {
            PaymentMethod::CashOnDelivery => Self::CashOnDelivery,
            PaymentMethod::Razorpay => Self::Razorpay,
            PaymentMethod::Coins => Self::Coins,
        }
    }
}

/// A quantity of one variant.
#[derive(InputObject)]
pub(crate) struct LineInput {
    variant_id: ID,
    /// Where lines are set, 0 takes the line out.
    quantity: i64,
}

/// Where an order goes.
#[derive(InputObject)]
pub(crate) struct AddressInput {
    /// Who receives.
    name: String,
    /// Indian mobile number.
    phone: String,
    /// For the invoice.
    email: Option<String>,
    /// House and street.
    line1: String,
    line2: Option<String>,
    /// City or village.
    city: String,
    /// Six digits.
    pincode: String,
}

/// A cart to make.
#[derive(InputObject)]
pub(crate) struct CreateCartInput {
    lines: Option<Vec<LineInput>>,
    address: Option<AddressInput>,
    coupon: Option<String>,
}

/// Where an order goes.
#[derive(SimpleObject, Clone)]
pub(crate) struct Address {
    name: String,
    phone: String,
    email: Option<String>,
    line1: String,
    line2: Option<String>,
    city: String,
    pincode: String,
}

impl From<api::Address> for Address {
    fn from(a: api::Address) -> Self {
        Self {
            name: a.name,
            phone: a.phone,
            email: a.email,
            line1: a.line1,
            line2: a.line2,
            city: a.city,
            pincode: a.pincode,
        }
    }
}

impl From<AddressInput> for api::Address {
    fn from(a: AddressInput) -> Self {
        Self {
            name: a.name,
            phone: a.phone,
            email: a.email,
            line1: a.line1,
            line2: a.line2,
            city: a.city,
            pincode: a.pincode,
        }
    }
}

/// Sums: `total = subtotal − discount + shipping + codFee`, `toPay = total − coinsValue`.
#[derive(SimpleObject, Clone)]
pub(crate) struct Totals {
    /// All lines before the discount, with tax.
    subtotal: PaiseScalar,
    /// Off by coupon.
    discount: PaiseScalar,
    /// Delivery, with tax.
    shipping: PaiseScalar,
    /// Fee for cash on delivery, with tax.
    cod_fee: PaiseScalar,
    /// What it costs.
    total: PaiseScalar,
    /// GST contained in `total`.
    tax: PaiseScalar,
    /// Coins used.
    coins: i64,
    /// What they are worth.
    coins_value: PaiseScalar,
    /// What is left to pay in money.
    to_pay: PaiseScalar,
}

impl From<api::Totals> for Totals {
    fn from(t: api::Totals) -> Self {
        Self {
            subtotal: PaiseScalar(t.subtotal),
            discount: PaiseScalar(t.discount),
            shipping: PaiseScalar(t.shipping),
            cod_fee: PaiseScalar(t.cod_fee),
            total: PaiseScalar(t.total),
            tax: PaiseScalar(t.tax),
            coins: t.coins,
            coins_value: PaiseScalar(t.coins_value),
            to_pay: PaiseScalar(t.to_pay),
        }
    }
}

/// Something that stands in the way of checkout.
#[derive(SimpleObject)]
pub(crate) struct Problem {
    /// The stable code that placing the order would fail with.
    code: String,
    /// For people.
    message: String,
    /// The line it is about.
    variant_id: Option<ID>,
}

/// A line of a cart.
#[derive(SimpleObject)]
pub(crate) struct CartLine {
    variant_id: ID,
    product_id: ID,
    sku: String,
    name: String,
    quantity: i64,
    /// Price of one, with tax.
    unit_price: PaiseScalar,
    /// MRP of one.
    unit_mrp: PaiseScalar,
    /// Share of the coupon's discount.
    discount: PaiseScalar,
    /// To pay for the line, with tax.
    total: PaiseScalar,
    /// The product, for its picture and link.
    product: Option<Product>,
}

/// A cart with everything computed at present prices.
pub(crate) struct Cart(api::Cart);

#[Object]
impl Cart {
    async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// Grows with every change.
    async fn version(&self) -> i64 {
        self.0.version
    }

    #[graphql(complexity = "page::times(10, child_complexity)")]
    async fn lines(&self, ctx: &Context<'_>) -> Result<Vec<CartLine>> {
        let mut products = Vec::new();
        if ctx.look_ahead().field("product").exists() {
            let ids: Vec<_> = self.0.lines.iter().map(|l| l.product_id).collect();
            products = Product::list(services(ctx).catalog.products(&ids).await.map_err(fault)?);
        }
        let line = |l: &api::CartLine| CartLine {
            variant_id: ID(l.variant_id.to_string()),
            product_id: ID(l.product_id.to_string()),
            sku: l.sku.clone(),
            name: l.name.clone(),
            quantity: l.quantity,
            unit_price: PaiseScalar(l.unit_price),
            unit_mrp: PaiseScalar(l.unit_mrp),
            discount: PaiseScalar(l.discount),
            total: PaiseScalar(l.total),
            product: products.iter().find(|p| p.inner.id == l.product_id).cloned(),
        };
        Ok(self.0.lines.iter().map(line).collect())
    }

    async fn address(&self) -> Option<Address> {
        self.0.address.clone().map(Address::from)
    }

    /// State of the delivery pincode.
    async fn state(&self) -> Option<&str> {
        self.0.state.as_deref()
    }

    async fn coupon(&self) -> Option<&str> {
        self.0.coupon.as_deref()
    }

    /// Coins that the shopper wants to use.
    async fn coins(&self) -> i64 {
        self.0.coins
    }

    /// When paid at once.
    async fn totals(&self) -> Totals {
        self.0.totals.into()
    }

    /// When paid in cash on delivery: with its fee.
    async fn totals_on_delivery(&self) -> Totals {
        self.0.totals_on_delivery.into()
    }

    /// Empty when the order can be placed.
    async fn problems(&self) -> Vec<Problem> {
        let problem = |p: &api::Problem| Problem {
            code: p.code.to_owned(),
            message: p.message.clone(),
            variant_id: p.variant_id.map(|v| ID(v.to_string())),
        };
        self.0.problems.iter().map(problem).collect()
    }

    /// Ways of paying that are possible now.
    async fn methods(&self) -> Vec<PaymentMethod> {
        self.0.methods.iter().copied().map(PaymentMethod::from).collect()
    }

    /// Set once the cart became an order.
    async fn order_id(&self) -> Option<ID> {
        self.0.order_id.map(|o| ID(o.to_string()))
    }
}

fn lines(input: Vec<LineInput>) -> Result<Vec<api::LineInput>> {
    let line = |l: LineInput| {
        Ok(api::LineInput {
            variant_id: id("lines.variantId", &l.variant_id)?,
            quantity: l.quantity,
        })
    };
    input.into_iter().map(line).collect()
}

/// Cart queries.
#[derive(Default)]
pub(crate) struct CartQuery;

#[Object]
impl CartQuery {
    /// A cart of the caller's, or one without owner whose id the caller knows.
    #[graphql(complexity = "page::call(child_complexity)")]
    async fn cart(&self, ctx: &Context<'_>, #[graphql(name = "id")] cart: ID) -> Result<Cart> {
        let cart = id("id", &cart)?;
        services(ctx).orders.cart(op(ctx), cart).await.map(Cart).map_err(fault)
    }

    /// The caller's open cart.
    #[graphql(complexity = "page::call(child_complexity)")]
    async fn my_cart(&self, ctx: &Context<'_>) -> Result<Option<Cart>> {
        Ok(services(ctx).orders.my_cart(op(ctx)).await.map_err(fault)?.map(Cart))
    }
}

/// Cart mutations.
#[derive(Default)]
pub(crate) struct CartMutation;

#[Object]
impl CartMutation {
    /// Makes a cart; without login it belongs to whoever knows its id.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn create_cart(&self, ctx: &Context<'_>, input: CreateCartInput) -> Result<Cart> {
        let cart = api::NewCart {
            lines: lines(input.lines.unwrap_or_default())?,
            address: input.address.map(Into::into),
            coupon: input.coupon,
        };
        services(ctx).orders.create_cart(op(ctx), cart).await.map(Cart).map_err(fault)
    }

    /// Adds to the quantities.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn add_lines(
        &self,
        ctx: &Context<'_>,
        cart_id: ID,
        #[graphql(name = "lines")] input: Vec<LineInput>,
    ) -> Result<Cart> {
        let (cart, lines) = (id("cartId", &cart_id)?, lines(input)?);
        services(ctx).orders.add_lines(op(ctx), cart, &lines).await.map(Cart).map_err(fault)
    }

    /// Sets quantities; 0 takes a line out, lines not named stay.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn set_lines(
        &self,
        ctx: &Context<'_>,
        cart_id: ID,
        #[graphql(name = "lines")] input: Vec<LineInput>,
    ) -> Result<Cart> {
        let (cart, lines) = (id("cartId", &cart_id)?, lines(input)?);
        services(ctx).orders.set_lines(op(ctx), cart, &lines).await.map(Cart).map_err(fault)
    }

    /// Sets where it goes.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn set_address(
        &self,
        ctx: &Context<'_>,
        cart_id: ID,
        address: AddressInput,
    ) -> Result<Cart> {
        let cart = id("cartId", &cart_id)?;
        services(ctx)
            .orders
            .set_address(op(ctx), cart, address.into())
            .await
            .map(Cart)
            .map_err(fault)
    }

    /// Puts a coupon on; null takes it off.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn set_coupon(
        &self,
        ctx: &Context<'_>,
        cart_id: ID,
        code: Option<String>,
    ) -> Result<Cart> {
        let cart = id("cartId", &cart_id)?;
        services(ctx).orders.set_coupon(op(ctx), cart, code).await.map(Cart).map_err(fault)
    }

    /// Sets how many coins to use; 0 for none.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn set_coins(&self, ctx: &Context<'_>, cart_id: ID, coins: i64) -> Result<Cart> {
        let cart = id("cartId", &cart_id)?;
        services(ctx).orders.set_coins(op(ctx), cart, coins).await.map(Cart).map_err(fault)
    }

    /// A cart without owner becomes the caller's, joined with the one they have.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn claim_cart(&self, ctx: &Context<'_>, cart_id: ID) -> Result<Cart> {
        let cart = id("cartId", &cart_id)?;
        services(ctx).orders.claim_cart(op(ctx), cart).await.map(Cart).map_err(fault)
    }
}
