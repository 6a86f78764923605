use mela_base::Event;
use mela_base::ids::ProductId;

/// A product was created or changed: price, text, pictures, visibility, rating.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ProductChanged {
    /// Which.
    pub product_id: ProductId,
    /// Its version after the change.
    pub version: i64,
}

impl Event for ProductChanged {
    const TOPIC: &'static str = "catalog.product_changed";
    fn key(&self) -> String {
        self.product_id.to_string()
    }
}

/// A product is gone for good.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ProductRemoved {
    /// Which.
    pub product_id: ProductId,
}

impl Event for ProductRemoved {
    const TOPIC: &'static str = "catalog.product_removed";
    fn key(&self) -> String {
        self.product_id.to_string()
    }
}
