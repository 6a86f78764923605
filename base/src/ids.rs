//! The typed ids of the whole system. In public they are text: a prefix, `_`, 26 characters.

use crate::{Id, IdError};

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub Id);

        impl $name {
            /// What the public text of such an id starts with.
            pub const PREFIX: &'static str = $prefix;
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(Id::parse)
                    .map(Self)
                    .ok_or_else(|| IdError::new(text, concat!("`", $prefix, "_` followed by 26 letters and digits")))
            }
        }

        impl From<Id> for $name {
            fn from(id: Id) -> Self { Self(id) }
        }

        impl From<$name> for Id {
            fn from(id: $name) -> Id { id.0 }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

typed_ids! {
    /// A person who shops or plays: a guest or a customer who logged in.
    PersonId = "per";
    /// A login session (a family of refresh tokens).
    SessionId = "ses";
    /// A member of the merchant's staff.
    StaffId = "stf";
    /// A product.
    ProductId = "prd";
    /// A sellable variant of a product (one SKU).
    VariantId = "var";
    /// A category of the catalogue tree.
    CategoryId = "cat";
    /// A picture or other file of the catalogue.
    MediaId = "med";
    /// A product review.
    ReviewId = "rev";
    /// A place from which goods are dispatched; its GSTIN decides the supplier's state.
    LocationId = "loc";
    /// A shopping cart. Unpublished, it is the guest's capability to the cart.
    CartId = "crt";
    /// An order.
    OrderId = "ord";
    /// One line of an order.
    OrderLineId = "oln";
    /// A GST invoice.
    InvoiceId = "inv";
    /// A payment of an order (one attempt to collect an amount through one gateway).
    PaymentId = "pmt";
    /// A refund of a payment.
    RefundId = "rfd";
    /// A parcel on its way.
    ShipmentId = "shp";
    /// A ledger account.
    AccountId = "acc";
    /// An immutable ledger transfer.
    TransferId = "trf";
    /// A ledger hold: an amount set aside until it is posted or released.
    HoldId = "hld";
    /// A match: one run of a game with its players.
    MatchId = "mat";
    /// A message in a person's in-app inbox.
    MessageId = "msg";
    /// An event in the outbox.
    EventId = "evt";
    /// A job in the queue.
    JobId = "job";
    /// A stored blob reference (an invoice's PDF).
    BlobId = "blb";
}
