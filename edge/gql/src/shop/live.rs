//! Subscriptions.

use async_graphql::{Context, ID, Result, Subscription};
use futures_util::{Stream, StreamExt};

use crate::context::{op, services};
use crate::error::fault;
use crate::scalar::id;
use crate::shop::order::Order;
use crate::shop::play::Message;

/// Live data over `graphql-transport-ws`.
#[derive(Default)]
pub(crate) struct Subscription;

#[Subscription]
impl Subscription {
    /// The order now, and again after every move; ends when it is final.
    async fn order_moved<'a>(
        &self,
        ctx: &Context<'a>,
        order_id: ID,
        key: Option<String>,
    ) -> Result<impl Stream<Item = Order> + use<'a>> {
        let order = id("orderId", &order_id)?;
        let moves =
            services(ctx).orders.watch(op(ctx), order, key.as_deref()).await.map_err(fault)?;
        Ok(moves.map(Order::one))
    }

    /// The caller's messages as they arrive.
    async fn inbox_message<'a>(
        &self,
        ctx: &Context<'a>,
    ) -> Result<impl Stream<Item = Message> + use<'a>> {
        let messages = services(ctx).messaging.watch(op(ctx)).await.map_err(fault)?;
        Ok(messages.map(Message::from))
    }
}
