//! Messages as they arrive.

use std::sync::Arc;

use futures_util::stream;
use mela_base::Event;
use mela_base::ids::PersonId;
use mela_bus::Delivered;
use mela_db::Db;
use mela_messaging_api::{Message, MessageArrived, MessageStream};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::store;

/// The person's messages among `live`. Ends when the bus does; who lags misses some.
pub(crate) fn messages(db: Db, person: PersonId, live: Receiver<Arc<Delivered>>) -> MessageStream {
    Box::pin(stream::unfold((db, live), move |(db, mut live)| async move {
        loop {
            let event = match live.recv().await {
                Ok(event) => event,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return None,
            };
            if let Some(message) = load(&db, person, &event).await {
                return Some((message, (db, live)));
            }
        }
    }))
}

async fn load(db: &Db, person: PersonId, event: &Delivered) -> Option<Message> {
    if event.topic != MessageArrived::TOPIC || event.key != person.to_string() {
        return None;
    }
    let MessageArrived { message_id, .. } = event
        .decode()
        .inspect_err(|e| tracing::error!(error = e.context(), "unreadable event"))
        .ok()?;
    db.read("messaging.arrived", move |q| store::get(q, message_id, person))
        .await
        .inspect_err(|error| tracing::warn!(%error, "a message that arrived could not be read"))
        .ok()?
}
