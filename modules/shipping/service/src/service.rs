use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use mela_base::ids::OrderId;
use mela_base::{Env, Id, Internal, Op, pincode};
use mela_crypto::{ct_eq, sha256};
use mela_db::{Db, DbError, Tx};
use mela_shipping_api::{
    NewParcel, Parcel, ParcelMoved, Scan, Serviceability, Shipping, ShippingError,
};

use crate::config::ShippingConfig;
use crate::shipway::answer::{Booking, CourierError};
use crate::shipway::client::Shipway;
use crate::shipway::hook::{self, HookError};
use crate::store::{self, ParcelRow};
use crate::{jobs, rules};

/// The largest webhook that is looked at.
const MAX_WEBHOOK: usize = 256 << 10;

/// What the service works with.
#[derive(Clone)]
pub struct ShippingDeps {
    /// The database.
    pub db: Db,
    /// Clock and randomness.
    pub env: Env,
}

/// The shipping service; cheap to clone.
#[derive(Clone)]
pub struct ShippingService(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) db: Db,
    pub(crate) env: Env,
    pub(crate) shipway: Shipway,
    near: Option<pincode::State>,
    days_near: i64,
    days_far: i64,
    no_cash: HashSet<String>,
}

impl ShippingService {
    /// Makes the service. Nothing is called yet. Fails if the dispatch pincode is none.
    pub fn new(deps: ShippingDeps, config: ShippingConfig) -> Result<Self, Internal> {
        let near = pincode::lookup(&config.dispatch_pincode).map(|place| place.state);
        if near.is_none() {
            return Err(Internal::new("the dispatch location's pincode is not in the directory"));
        }
        Ok(Self(Arc::new(Inner {
            db: deps.db,
            env: deps.env,
            shipway: Shipway::new(config.shipway)?,
            near,
            days_near: config.days_near,
            days_far: config.days_far,
            no_cash: config.no_cash_pincodes.into_iter().collect(),
        })))
    }
}

impl Inner {
    pub(crate) async fn parcel(&self, order: OrderId) -> Result<Option<ParcelRow>, ShippingError> {
        let read = move |q: &mut mela_db::Query<'_>| store::by_order(q, order);
        self.db.read("shipping.by_order", read).await.map_err(internal)
    }

    /// Writes down what the courier says of a parcel, derives its state from all scans, and
    /// announces it if it moved.
    pub(crate) async fn apply(
        &self,
        order: OrderId,
        booking: Booking,
    ) -> Result<(), ShippingError> {
        let env = self.env.clone();
        self.db
            .write("shipping.apply", move |tx| apply_in(tx, &env, order, &booking))
            .await
            .map_err(internal)
    }
}

fn apply_in(tx: &mut Tx<'_>, env: &Env, order: OrderId, booking: &Booking) -> Result<(), DbError> {
    let now = env.now();
    let Some(parcel) = store::learn(tx, order, booking)? else { return Ok(()) };
    store::insert_scans(tx, order, &booking.scans)?;
    let seen = rules::state_of(&store::scans(tx, order)?);
    let (state, at) = seen.unwrap_or((parcel.state, parcel.moved_at));
    let moved = state != parcel.state;
    let moved_at = if moved { at } else { parcel.moved_at };
    let check_at = rules::next_check(state, now, parcel.created_at);
    store::set_state(tx, order, state, moved_at, check_at)?;
    if moved {
        tracing::info!(%order, state = state.as_str(), "parcel moved");
        mela_bus::emit(tx, env, &ParcelMoved { order_id: order, state, at })?;
    }
    Ok(())
}

pub(crate) fn internal(error: DbError) -> ShippingError {
    Internal::from(error).into()
}

pub(crate) fn failed(error: CourierError) -> ShippingError {
    match error {
        CourierError::Unknown(_) => ShippingError::CourierUnavailable,
        CourierError::Refused(text) => ShippingError::CourierRefused(text),
    }
}

#[async_trait]
impl Shipping for ShippingService {
    fn serviceability(&self, code: &str) -> Result<Serviceability, ShippingError> {
        let place = pincode::lookup(code)
            .ok_or_else(|| ShippingError::InvalidPincode(code.chars().take(16).collect()))?;
        let digits: String = code.chars().filter(char::is_ascii_digit).collect();
        let near = Some(place.state) == self.0.near;
        Ok(Serviceability {
            deliverable: true,
            cash_on_delivery: !self.0.no_cash.contains(&digits),
            days: if near { self.0.days_near } else { self.0.days_far },
        })
    }

    async fn push(&self, op: &Op, parcel: NewParcel) -> Result<(), ShippingError> {
        let inner = &self.0;
        let (order, number) = (parcel.order_id, parcel.order_number.clone());
        let now = inner.env.now();
        let new = inner
            .db
            .write("shipping.begin", move |tx| store::insert(tx, order, &number, now))
            .await
            .map_err(internal)?;
        if !new
            && inner
                .parcel(order)
                .await?
                .is_some_and(|p| p.pushed_at.is_some() || p.state.is_final())
        {
            return Ok(());
        }
        let booking = inner.shipway.push(&parcel, !new).await.map_err(|error| {
            tracing::warn!(request = %op.request_id, %order, %error, "the courier did not take a parcel");
            failed(error)
        })?;
        // Called off while the courier was told and did not know it yet: it does now.
        if inner.parcel(order).await?.is_some_and(|p| p.called_off_unheard()) {
            inner.shipway.cancel(&parcel.order_number).await.map_err(failed)?;
        }
        let env = inner.env.clone();
        inner
            .db
            .write("shipping.pushed", move |tx| {
                store::pushed(tx, order, env.now())?;
                apply_in(tx, &env, order, &booking)
            })
            .await
            .map_err(internal)
    }

    async fn cancel(&self, op: &Op, order: OrderId) -> Result<(), ShippingError> {
        let inner = &self.0;
        let Some(parcel) = inner.parcel(order).await? else { return Ok(()) };
        let unheard = parcel.called_off_unheard();
        if parcel.state.is_final() && !unheard {
            return Ok(());
        }
        // Even one whose push was never answered: the courier may have it.
        let known = inner.shipway.order(&parcel.order_number).await.map_err(failed)?.is_some();
        if known {
            match inner.shipway.cancel(&parcel.order_number).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(request = %op.request_id, %order, %error, "a parcel could not be called off");
                    return Err(failed(error));
                }
            }
        }
        let at = inner.env.now();
        let scan = Scan {
            at,
            code: "CAN".to_owned(),
            text: "Called off by the shop".to_owned(),
            place: None,
        };
        let scans = if unheard { Vec::new() } else { vec![scan] };
        let booking = Booking { scans, ..Booking::default() };
        let env = inner.env.clone();
        inner
            .db
            .write("shipping.called_off", move |tx| {
                if known {
                    store::pushed(tx, order, env.now())?;
                }
                apply_in(tx, &env, order, &booking)
            })
            .await
            .map_err(internal)
    }

    async fn of_orders(&self, orders: &[OrderId]) -> Result<Vec<Parcel>, ShippingError> {
        let orders = orders.to_vec();
        let read = move |q: &mut mela_db::Query<'_>| store::of_orders(q, &orders);
        self.0.db.read("shipping.of_orders", read).await.map_err(internal)
    }

    async fn webhook(&self, op: &Op, secret: &str, body: &[u8]) -> Result<(), ShippingError> {
        let config = &self.0.shipway.config;
        let token = config.webhook_token.expose();
        if token.is_empty() || !ct_eq(secret.as_bytes(), token.as_bytes()) {
            tracing::warn!(request = %op.request_id, "a tracking webhook with a wrong secret was refused");
            return Err(ShippingError::NotFromCourier);
        }
        if body.len() > MAX_WEBHOOK {
            return Err(ShippingError::Malformed("larger than 256 KiB"));
        }
        let numbers = hook::read(body, &config.webhook_hash).map_err(|error| match error {
            HookError::NotFromCourier => ShippingError::NotFromCourier,
            HookError::Malformed(what) => ShippingError::Malformed(what),
        })?;
        let (hash, env) = (sha256(body), self.0.env.clone());
        self.0
            .db
            .write("shipping.webhook", move |tx| {
                let now = env.now();
                let nudged = store::nudge(tx, &numbers, now)?;
                let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
                let id: Id = env.new_id();
                store::insert_hook(tx, id, hash, count(numbers.len()), count(nudged), now)?;
                if nudged > 0 {
                    jobs::enqueue_follow(tx, &env)?;
                }
                Ok(())
            })
            .await
            .map_err(internal)
    }
}
