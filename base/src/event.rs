/// A fact that other modules may want to know. Api crates define events; a service writes them to
/// the outbox in the transaction of the fact, and they arrive at least once, in no promised order.
/// A payload holds ids and numbers, never personal data.
pub trait Event: serde::Serialize + serde::de::DeserializeOwned {
    /// `module.fact`, e.g. `orders.confirmed`.
    const TOPIC: &'static str;
    /// What the event is about; for logs and for filtering live streams.
    fn key(&self) -> String;
}
