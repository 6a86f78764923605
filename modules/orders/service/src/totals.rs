//! What a cart or an order costs: one pure function, so that the cart, the order and the invoice
//! can never disagree.
//!
//! - The discount is shared over the lines in proportion to their value, to the paisa.
//! - Delivery and the fee for cash on delivery go with the goods (one supply): they are taxed at
//!   the highest rate among the lines.
//! - Coins pay a part of the amount; they do not lower the price. The taxable value stays what it
//!   is, as with any other way of paying, so tax can never come out too low.

use mela_base::{IstDate, Paise};
use mela_orders_api::Totals;

use crate::OrdersConfig;
use crate::gst::{self, Supply, Tax};

/// One line to compute.
#[derive(Clone, Debug)]
pub(crate) struct LineIn<'a> {
    pub(crate) price: Paise,
    pub(crate) quantity: i64,
    pub(crate) hsn: &'a str,
}

/// Everything that the sums follow from.
#[derive(Clone, Debug)]
pub(crate) struct Input<'a> {
    pub(crate) lines: &'a [LineIn<'a>],
    /// What the coupon takes off; at most the subtotal.
    pub(crate) discount: Paise,
    /// The fee for cash on delivery comes on top.
    pub(crate) on_delivery: bool,
    /// What the shopper would like to use.
    pub(crate) coins: i64,
    pub(crate) supply: Supply,
    pub(crate) on: IstDate,
}

/// One computed line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineOut {
    pub(crate) discount: Paise,
    pub(crate) total: Paise,
    pub(crate) tax: Tax,
}

/// The tax of what is not goods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Charges {
    pub(crate) shipping: Tax,
    pub(crate) cod_fee: Tax,
}

/// Everything computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) totals: Totals,
    pub(crate) lines: Vec<LineOut>,
    pub(crate) charges: Charges,
}

/// Sum of all lines before any discount.
pub(crate) fn subtotal(lines: &[LineIn<'_>]) -> Paise {
    lines.iter().map(gross).sum()
}

/// Saturates far above any amount that is taken from outside.
fn gross(line: &LineIn<'_>) -> Paise {
    line.price.checked_mul(line.quantity).unwrap_or(Paise::MAX_AMOUNT)
}

pub(crate) fn compute(config: &OrdersConfig, input: &Input<'_>) -> Output {
    let gross: Vec<Paise> = input.lines.iter().map(gross).collect();
    let subtotal: Paise = gross.iter().copied().sum();
    let discount = input.discount.clamp(Paise::ZERO, subtotal);
    let weights: Vec<i64> = gross.iter().map(|g| g.0).collect();
    let lines: Vec<LineOut> = input
        .lines
        .iter()
        .zip(&gross)
        .zip(discount.split(&weights))
        .map(|((line, gross), discount)| {
            let total = *gross - discount;
            let rate = gst::rate_bp(line.hsn, total, line.quantity, input.on);
            LineOut { discount, total, tax: gst::contained(total, rate, input.supply) }
        })
        .collect();

    let goods = subtotal - discount;
    let free = config.free_above.0 > 0 && goods >= config.free_above;
    let shipping = if lines.is_empty() || free { Paise::ZERO } else { config.flat_shipping };
    let cod_fee = if input.on_delivery && !lines.is_empty() { config.cod_fee } else { Paise::ZERO };
    let rate = lines.iter().map(|l| l.tax.rate_bp).max().unwrap_or(0);
    let charges = Charges {
        shipping: gst::contained(shipping, rate, input.supply),
        cod_fee: gst::contained(cod_fee, rate, input.supply),
    };

    let total = goods + shipping + cod_fee;
    let tax = lines.iter().map(|l| l.tax.sum()).sum::<Paise>()
        + charges.shipping.sum()
        + charges.cod_fee.sum();
    let coins = coins_usable(config, goods, input.coins);
    let coins_value = Paise(coins.saturating_mul(config.paise_per_coin));
    let to_pay = total - coins_value;
    Output {
        totals: Totals {
            subtotal,
            discount,
            shipping,
            cod_fee,
            total,
            tax,
            coins,
            coins_value,
            to_pay,
        },
        lines,
        charges,
    }
}

/// How many of the wanted coins can be used on goods of this value.
fn coins_usable(config: &OrdersConfig, goods: Paise, wanted: i64) -> i64 {
    if config.paise_per_coin <= 0 {
        return 0;
    }
    let percent = config.coins_percent.clamp(0, 100);
    // Rounded down: the cap is a cap.
    let most = i128::from(goods.0) * i128::from(percent) / 100 / i128::from(config.paise_per_coin);
    wanted.clamp(0, i64::try_from(most).unwrap_or(i64::MAX).max(0))
}

#[cfg(test)]
mod tests {
    use mela_base::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn today() -> IstDate {
        Timestamp::parse_rfc3339("2026-11-23T06:00:00Z").unwrap().ist_date()
    }

    fn config() -> OrdersConfig {
        OrdersConfig {
            flat_shipping: Paise(4_900),
            free_above: Paise::rupees(999),
            cod_fee: Paise(2_900),
            coins_percent: 20,
            paise_per_coin: 10,
            ..OrdersConfig::for_tests()
        }
    }

    fn input<'a>(lines: &'a [LineIn<'a>]) -> Input<'a> {
        Input {
            lines,
            discount: Paise::ZERO,
            on_delivery: false,
            coins: 0,
            supply: Supply::Intra,
            on: today(),
        }
    }

    #[test]
    fn a_shirt_and_a_bag() {
        let lines = [
            LineIn { price: Paise(49_900), quantity: 2, hsn: "6109" },
            LineIn { price: Paise(1_00_00), quantity: 1, hsn: "4202" },
        ];
        let out = compute(&config(), &Input { on_delivery: true, coins: 5_000, ..input(&lines) });
        let t = out.totals;
        assert_eq!(
            (t.subtotal, t.shipping, t.cod_fee),
            (Paise(109_800), Paise::ZERO, Paise(2_900))
        );
        assert_eq!((t.coins, t.coins_value), (2_196, Paise(21_960)));
        assert_eq!((t.total, t.to_pay), (Paise(112_700), Paise(90_740)));
        assert_eq!(out.lines[0].tax.rate_bp, 500);
        assert_eq!(out.lines[1].tax.rate_bp, 1_800);
        // The fee follows the highest rate.
        assert_eq!(out.charges.cod_fee.rate_bp, 1_800);
    }

    #[test]
    fn a_discount_can_lower_the_rate() {
        let lines = [LineIn { price: Paise(275_000), quantity: 2, hsn: "6203" }];
        let out = compute(&config(), &input(&lines));
        assert_eq!(out.lines[0].tax.rate_bp, 1_800);
        let out = compute(&config(), &Input { discount: Paise(50_000), ..input(&lines) });
        assert_eq!((out.lines[0].total, out.lines[0].tax.rate_bp), (Paise(500_000), 500));
        let out = compute(&config(), &Input { discount: Paise(49_999), ..input(&lines) });
        assert_eq!(out.lines[0].tax.rate_bp, 1_800);
    }

    #[test]
    fn delivery_is_free_from_the_limit_on() {
        for (price, shipping) in [(99_899, 4_900), (99_900, 0)] {
            let lines = [LineIn { price: Paise(price), quantity: 1, hsn: "6109" }];
            assert_eq!(compute(&config(), &input(&lines)).totals.shipping, Paise(shipping));
        }
        assert_eq!(compute(&config(), &input(&[])).totals, Totals::default());
    }

    proptest! {
        #[test]
        fn sums_are_exact(
            raw in prop::collection::vec(
                (1i64..5_000_000, 1i64..20, prop::sample::select(vec!["6109", "4202", "4901", "7113"])),
                1..12,
            ),
            discount in -100i64..100_000_000,
            coins in -10i64..1_000_000_000,
            percent in -5i64..150,
            ppc in 0i64..500,
            inter: bool,
            on_delivery: bool,
        ) {
            let lines: Vec<LineIn<'_>> = raw
                .iter()
                .map(|(price, quantity, hsn)| LineIn { price: Paise(*price), quantity: *quantity, hsn })
                .collect();
            let config = OrdersConfig { coins_percent: percent, paise_per_coin: ppc, ..config() };
            let supply = if inter { Supply::Inter } else { Supply::Intra };
            let out = compute(&config, &Input {
                discount: Paise(discount), on_delivery, coins, supply, ..input(&lines)
            });
            let t = out.totals;
            prop_assert_eq!(out.lines.iter().map(|l| l.discount).sum::<Paise>(), t.discount);
            prop_assert_eq!(
                out.lines.iter().map(|l| l.total).sum::<Paise>() + t.shipping + t.cod_fee, t.total);
            prop_assert_eq!(t.total, t.subtotal - t.discount + t.shipping + t.cod_fee);
            prop_assert_eq!(t.to_pay, t.total - t.coins_value);
            let taxable: Paise = out.lines.iter().map(|l| l.tax.taxable).sum::<Paise>()
                + out.charges.shipping.taxable + out.charges.cod_fee.taxable;
            prop_assert_eq!(taxable + t.tax, t.total);
            prop_assert!(t.to_pay.0 >= 0 && t.tax.0 >= 0 && t.coins >= 0 && t.discount.0 >= 0);
            prop_assert!(t.coins_value.0 * 100 <= (t.subtotal - t.discount).0 * percent.clamp(0, 100));
            for line in &out.lines {
                prop_assert!(line.discount.0 >= 0 && line.total.0 >= 0);
                prop_assert_eq!(line.tax.taxable + line.tax.sum(), line.total);
            }
        }
    }
}
