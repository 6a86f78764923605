//! What orders hear from others, and what follows from their own moves. Every handler may run
//! twice: what it does is guarded by the order's state or by an id.

use std::sync::Arc;

use async_trait::async_trait;
use mela_base::ids::{MessageId, OrderId};
use mela_base::{Event, Id, Internal};
use mela_bus::{Bus, Delivered, Handler};
use mela_db::Tx;
use mela_identity_api::PersonMerged;
use mela_messaging_api::NewMessage;
use mela_orders_api::{OrderConfirmed, OrderMoved, OrderState};
use mela_payments_api::{PaymentCaptured, PaymentFailed};
use mela_shipping_api::ParcelMoved;

use crate::fail::Fail;
use crate::store::coupon;
use crate::store::order::{self, OrderRow};
use crate::{OrdersService, jobs};

struct Events(OrdersService);

impl OrdersService {
    /// Listens to payments, parcels, logins and its own orders.
    pub fn subscribe(&self, bus: &Bus) {
        let topics = [
            PaymentCaptured::TOPIC,
            PaymentFailed::TOPIC,
            ParcelMoved::TOPIC,
            PersonMerged::TOPIC,
            OrderConfirmed::TOPIC,
            OrderMoved::TOPIC,
        ];
        bus.subscribe("orders", &topics, Arc::new(Events(self.clone())));
    }

    async fn in_write<F>(&self, name: &'static str, f: F) -> Result<(), Internal>
    where
        F: Fn(&OrdersService, &mut Tx<'_>) -> Result<(), Fail> + Send + 'static,
    {
        let this = self.clone();
        self.db.write(name, move |tx| f(&this, tx)).await.map_err(Internal::from)
    }

    /// Once per order: the jobs that a confirmed order needs, and the first message.
    fn confirmed_in(&self, tx: &mut Tx<'_>, event: &Delivered, id: OrderId) -> Result<(), Fail> {
        let now = self.env.now();
        if !order::announce(tx, id, now)? {
            return Ok(());
        }
        let Some(row) = order::by_id(tx, id)? else { return Ok(()) };
        let kinds = [jobs::INVOICE, jobs::PUSH_PARCEL, jobs::SMS_CONFIRMED];
        let jobs: Vec<_> = kinds.map(|kind| jobs::of_order(kind, id, now)).into();
        mela_jobs::enqueue_all(tx, &self.env, &jobs)?;
        self.message_in(tx, event, &row, OrderState::Confirmed)
    }

    fn moved_in(&self, tx: &mut Tx<'_>, event: &Delivered, moved: &OrderMoved) -> Result<(), Fail> {
        let Some(row) = order::by_id(tx, moved.order_id)? else { return Ok(()) };
        if moved.state == OrderState::OutForDelivery {
            let job = jobs::of_order(jobs::SMS_OUT, moved.order_id, self.env.now());
            mela_jobs::enqueue(tx, &self.env, &job)?;
        }
        self.message_in(tx, event, &row, moved.state)
    }

    /// The id follows from the event's, so the inbox has it once.
    fn message_in(
        &self,
        tx: &mut Tx<'_>,
        event: &Delivered,
        row: &OrderRow,
        state: OrderState,
    ) -> Result<(), Fail> {
        let (title, body) = message(state, &row.number);
        let message = NewMessage {
            id: MessageId(Id::from_name(&format!("order:{}:{}", row.id, event.id))),
            person_id: row.person_id,
            kind: "order".into(),
            title: title.into(),
            body,
            link: Some(format!("/orders/{}", row.id)),
        };
        Ok(self.messaging.post_in(tx, &[message])?)
    }
}

fn message(state: OrderState, number: &str) -> (&'static str, String) {
    let (title, rest) = match state {
        OrderState::PendingPayment => ("Order placed", "waits for its payment."),
        OrderState::Confirmed => ("Order confirmed", "is confirmed. We are packing it."),
        OrderState::Shipped => ("On its way", "is with the courier."),
        OrderState::OutForDelivery => ("Out for delivery", "comes today. Keep your phone at hand."),
        OrderState::Delivered => ("Delivered", "was delivered. Enjoy it!"),
        OrderState::Returning => ("Coming back", "could not be delivered and comes back to us."),
        OrderState::Returned => ("Came back", "came back to us. What you paid goes back to you."),
        OrderState::Cancelled => {
            ("Order cancelled", "was cancelled. What you paid goes back to you.")
        }
    };
    (title, format!("Order {number} {rest}"))
}

#[async_trait]
impl Handler for Events {
    async fn handle(&self, event: &Delivered) -> Result<(), Internal> {
        let orders = &self.0;
        match event.topic.as_str() {
            PaymentCaptured::TOPIC => {
                let e = event.decode::<PaymentCaptured>()?;
                orders.in_write("orders.captured", move |o, tx| o.captured_in(tx, &e)).await
            }
            PaymentFailed::TOPIC => {
                let e = event.decode::<PaymentFailed>()?;
                orders
                    .in_write("orders.payment_failed", move |o, tx| {
                        o.payment_failed_in(tx, e.order_id)
                    })
                    .await
            }
            ParcelMoved::TOPIC => {
                let e = event.decode::<ParcelMoved>()?;
                orders.in_write("orders.parcel_moved", move |o, tx| o.parcel_moved_in(tx, &e)).await
            }
            PersonMerged::TOPIC => {
                let e = event.decode::<PersonMerged>()?;
                if e.from == e.to {
                    return Ok(());
                }
                orders
                    .in_write("orders.person_merged", move |o, tx| {
                        o.merge_carts_in(tx, e.from, e.to)?;
                        order::merge(tx, e.from, e.to)?;
                        Ok(coupon::merge(tx, e.from, e.to)?)
                    })
                    .await
            }
            OrderConfirmed::TOPIC => {
                let (e, event) = (event.decode::<OrderConfirmed>()?, event.clone());
                orders
                    .in_write("orders.confirmed", move |o, tx| {
                        o.confirmed_in(tx, &event, e.order_id)
                    })
                    .await
            }
            OrderMoved::TOPIC => {
                let (e, event) = (event.decode::<OrderMoved>()?, event.clone());
                orders.in_write("orders.moved", move |o, tx| o.moved_in(tx, &event, &e)).await
            }
            _ => Ok(()),
        }
    }
}
