use mela_base::Paise;

/// What the shop's owner decides about orders.
#[derive(Clone)]
pub struct OrdersConfig {
    /// What shoppers call the shop.
    pub shop_name: String,
    /// The registered name, printed on invoices.
    pub legal_name: String,
    /// Where shoppers write to.
    pub support_email: String,
    /// What invoice numbers begin with: capital letters, digits, `-`; at most 4 characters, because
    /// a number may have 16.
    pub invoice_series: String,
    /// Charge per order.
    pub flat_shipping: Paise,
    /// From this value of goods on delivery is free; zero means never.
    pub free_above: Paise,
    /// Extra charge for cash on delivery.
    pub cod_fee: Paise,
    /// The highest amount that is collected on delivery; zero means no cash on delivery.
    pub cod_max: Paise,
    /// Offer the payment gateway.
    pub gateway: bool,
    /// The largest part of the goods' value, in percent, that coins can pay.
    pub coins_percent: i64,
    /// What a coin is worth.
    pub paise_per_coin: i64,
    /// For how many minutes stock and coins are set aside for an order that waits for its money.
    pub reservation_minutes: i64,
    /// Signs the keys with which guests read their orders.
    pub order_key_secret: [u8; 32],
    /// The UPI address that an invoice's QR code pays to; empty prints none.
    pub upi_id: String,
}

impl OrdersConfig {
    /// Round figures for tests.
    #[doc(hidden)]
    pub fn for_tests() -> Self {
        Self {
            shop_name: "Mela".into(),
            legal_name: "Mela Traders Private Limited".into(),
            support_email: "help@mela.example".into(),
            invoice_series: "A".into(),
            flat_shipping: Paise::rupees(49),
            free_above: Paise::rupees(999),
            cod_fee: Paise::ZERO,
            cod_max: Paise::rupees(50_000),
            gateway: true,
            coins_percent: 20,
            paise_per_coin: 10,
            reservation_minutes: 15,
            order_key_secret: [7; 32],
            upi_id: "mela@upi".into(),
        }
    }
}

/// Without the secret.
impl std::fmt::Debug for OrdersConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrdersConfig")
            .field("shop_name", &self.shop_name)
            .field("flat_shipping", &self.flat_shipping)
            .field("free_above", &self.free_above)
            .field("cod_fee", &self.cod_fee)
            .field("cod_max", &self.cod_max)
            .finish_non_exhaustive()
    }
}
