use std::sync::Arc;

use futures_util::stream;
use mela_base::Op;
use mela_base::ids::OrderId;
use mela_bus::Delivered;
use mela_orders_api::{Order, OrderError, OrderStream, Orders};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::OrdersService;

/// What a stream goes on with.
struct Following {
    orders: OrdersService,
    op: Op,
    id: OrderId,
    key: Option<String>,
    events: Receiver<Arc<Delivered>>,
    /// The order to begin with.
    first: Option<Order>,
    /// How many entries of history were shown.
    shown: usize,
    ended: bool,
}

impl OrdersService {
    /// The order now and after every move, until it can move no more.
    pub(crate) async fn follow(
        &self,
        op: &Op,
        id: OrderId,
        key: Option<&str>,
    ) -> Result<OrderStream, OrderError> {
        // Before the read: a move between the two is then seen twice rather than never.
        let events = self.bus.live();
        let first = self.order(op, id, key).await?;
        let following = Following {
            orders: self.clone(),
            op: op.clone(),
            id,
            key: key.map(str::to_owned),
            events,
            first: Some(first),
            shown: 0,
            ended: false,
        };
        Ok(Box::pin(stream::unfold(following, Following::next)))
    }
}

impl Following {
    async fn next(mut self) -> Option<(Order, Self)> {
        if self.ended {
            return None;
        }
        let order = match self.first.take() {
            Some(order) => order,
            None => self.moved().await?,
        };
        self.shown = order.history.len();
        self.ended = order.state.is_final();
        Some((order, self))
    }

    /// Waits for a move. Events only say that there may be one; what is shown is read.
    async fn moved(&mut self) -> Option<Order> {
        let key = self.id.to_string();
        loop {
            match self.events.recv().await {
                Ok(event) if event.key == key && event.topic.starts_with("orders.") => {}
                Ok(_) => continue,
                // Something was missed; perhaps a move of this order.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
            match self.orders.order(&self.op, self.id, self.key.as_deref()).await {
                Ok(order) if order.history.len() > self.shown => return Some(order),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(order = %self.id, %error, "a watched order cannot be read");
                    return None;
                }
            }
        }
    }
}
