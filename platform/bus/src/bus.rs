use std::sync::Arc;

use async_trait::async_trait;
use mela_base::ids::EventId;
use mela_base::{Env, Event, Internal, Timestamp};
use mela_db::{Db, DbError};
use parking_lot::RwLock;
use tokio::sync::{Mutex, broadcast};

use crate::store::{self, Place};

/// After so many failed deliveries to one consumer an event waits for a replay by hand.
pub const MAX_ATTEMPTS: i64 = 20;
/// Events that a live receiver may lag behind.
const LIVE: usize = 4_096;

/// An event on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivered {
    /// Its id: the same at every delivery.
    pub id: EventId,
    /// `orders.placed`.
    pub topic: String,
    /// What it is about.
    pub key: String,
    /// Its content.
    pub payload: serde_json::Value,
    /// When it happened.
    pub at: Timestamp,
    /// Its number in the outbox.
    pub seq: i64,
}

impl Delivered {
    /// The event of type `E`, if the topic is `E`'s.
    pub fn decode<E: Event>(&self) -> Result<E, Internal> {
        if self.topic != E::TOPIC {
            return Err(Internal::new(format_args!("{} is not {}", self.topic, E::TOPIC)));
        }
        serde::Deserialize::deserialize(&self.payload)
            .map_err(|e| Internal::new(format_args!("event {}: {e}", self.topic)))
    }
}

/// What a consumer does with an event. Runs at least once for each, so twice must be like once.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Handles the event; an error brings it again later.
    async fn handle(&self, event: &Delivered) -> Result<(), Internal>;
}

/// A durable subscription.
#[derive(Clone)]
pub(crate) struct Consumer {
    pub(crate) name: &'static str,
    topics: Arc<[String]>,
    pub(crate) handler: Arc<dyn Handler>,
}

impl Consumer {
    pub(crate) fn wants(&self, topic: &str) -> bool {
        self.topics.iter().any(|t| t == topic || t == "*")
    }
}

/// An event that a consumer has failed to handle too often.
#[derive(Debug, Clone)]
pub struct DeadEvent {
    /// The event.
    pub event: Delivered,
    /// Who could not handle it.
    pub consumer: String,
    /// How often it was tried.
    pub attempts: i64,
    /// Why the last try failed.
    pub last_error: String,
}

/// Delivers what [`crate::emit`] has written. Cheap to clone.
#[derive(Clone)]
pub struct Bus(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) db: Db,
    pub(crate) env: Env,
    pub(crate) consumers: RwLock<Vec<Consumer>>,
    pub(crate) live: broadcast::Sender<Arc<Delivered>>,
    /// How far the live receivers have been told; none before the first look.
    pub(crate) place: Mutex<Option<Place>>,
}

impl Bus {
    /// A bus over this database, whose migrations include [`crate::MIGRATIONS`].
    pub fn new(db: Db, env: Env) -> Self {
        let live = broadcast::Sender::new(LIVE);
        let consumers = RwLock::default();
        Self(Arc::new(Inner { db, env, consumers, live, place: Mutex::default() }))
    }

    /// Adds a durable consumer of these topics (`"*"` for all). The name must stay the same
    /// across versions: open retries are kept under it. A second one of a name replaces the first.
    pub fn subscribe(&self, consumer: &'static str, topics: &[&str], handler: Arc<dyn Handler>) {
        let topics = topics.iter().map(|t| (*t).to_owned()).collect();
        let mut consumers = self.0.consumers.write();
        consumers.retain(|c| c.name != consumer);
        consumers.push(Consumer { name: consumer, topics, handler });
    }

    /// Every event that commits from now on, in whatever process. Needs [`Bus::run`] or
    /// [`Bus::run_live`] in this one.
    pub fn live(&self) -> broadcast::Receiver<Arc<Delivered>> {
        self.0.live.subscribe()
    }

    /// Whether every event has reached every consumer; one that waits for a replay has not.
    pub async fn drained(&self) -> Result<bool, DbError> {
        Ok(self.0.db.read("bus.open_count", store::open_count).await? == 0)
    }

    /// Events that were given up, oldest first.
    pub async fn dead(&self, limit: u32) -> Result<Vec<DeadEvent>, DbError> {
        self.0.db.read("bus.dead", move |q| store::dead(q, limit.into())).await
    }

    /// Tries a dead event again now. False if there is none of this number for this consumer.
    pub async fn replay(&self, seq: i64, consumer: &str) -> Result<bool, DbError> {
        let (consumer, now) = (consumer.to_owned(), self.0.env.now());
        self.0.db.write("bus.replay", move |tx| store::replay(tx, seq, &consumer, now)).await
    }
}
