/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// Placed; stock is reserved until the money arrives or the time runs out.
    PendingPayment,
    /// Paid, or to be paid on delivery: it will be sent.
    Confirmed,
    /// With the courier.
    Shipped,
    /// On the last van.
    OutForDelivery,
    /// Handed over.
    Delivered,
    /// Coming back undelivered.
    Returning,
    /// Came back undelivered.
    Returned,
    /// Called off by buyer, staff or time.
    Cancelled,
}

impl OrderState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::PendingPayment,
        Self::Confirmed,
        Self::Shipped,
        Self::OutForDelivery,
        Self::Delivered,
        Self::Returning,
        Self::Returned,
        Self::Cancelled,
    ];

    /// The one table of allowed moves.
    pub fn may_become(self, next: Self) -> bool {
        use OrderState::{
            Cancelled, Confirmed, Delivered, OutForDelivery, PendingPayment, Returned, Returning,
            Shipped,
        };
        matches!(
            (self, next),
            (PendingPayment, Confirmed | Cancelled)
                | (Confirmed, Shipped | OutForDelivery | Delivered | Cancelled)
                | (Shipped, OutForDelivery | Delivered | Returning | Returned)
                // A failed attempt goes back to the depot.
                | (OutForDelivery, Shipped | Delivered | Returning | Returned)
                | (Returning, Returned)
        )
    }

    /// Nothing follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Returned | Self::Cancelled)
    }

    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingPayment => "pending_payment",
            Self::Confirmed => "confirmed",
            Self::Shipped => "shipped",
            Self::OutForDelivery => "out_for_delivery",
            Self::Delivered => "delivered",
            Self::Returning => "returning",
            Self::Returned => "returned",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::OrderState;

    #[test]
    fn every_state_can_end() {
        for start in OrderState::ALL {
            let mut reached = vec![start];
            let mut at = 0;
            while at < reached.len() {
                let from = reached[at];
                for next in OrderState::ALL {
                    if from.may_become(next) && !reached.contains(&next) {
                        reached.push(next);
                    }
                }
                at += 1;
            }
            assert!(reached.iter().any(|s| s.is_final()), "{start:?} never ends");
        }
    }

    #[test]
    fn nothing_leaves_a_final_state() {
        for from in OrderState::ALL.into_iter().filter(|s| s.is_final()) {
            assert!(OrderState::ALL.into_iter().all(|next| !from.may_become(next)), "{from:?}");
        }
    }
}
