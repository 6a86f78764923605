//! Goods and services tax: which rate, how much of a price it is, and whose.
//!
//! A rate follows from the HSN code, the value of one piece after discount, and the day of supply.
//! Prices contain the tax, so it is computed backwards, per line:
//!
//! - **Within a state** (dispatch location's GSTIN and delivery address in the same one) the tax is
//!   half central (CGST) and half state or union territory tax (SGST, UTGST). Each half is
//!   `total × rate ÷ 2 ÷ (100 % + rate)` rounded half up to the paisa, and the taxable value is what
//!   remains. So the halves are equal to the paisa always, and the odd paisa is in the taxable value.
//! - **Between states** all of it is IGST: `total × rate ÷ (100 % + rate)` rounded half up; the rest
//!   is the taxable value.
//!
//! Either way `taxable + cgst + sgst + igst = total` without a rest.
//!
//! The limit of ₹2,500 per piece for clothes and shoes is compared with the price that the buyer
//! pays for the piece, tax included. A reading that compares the value without tax would reach the
//! higher rate a little later (above ₹2,625); the stricter one can never have charged too little.
//!
//! The table is the state of the law as far as a shop of general goods needs it, by heading; where
//! a heading has several rates and the code does not tell which, the higher one stands. Codes that
//! it does not name are taxed at the standard rate. A shop's accountant should read it once.

use mela_base::{IstDate, Paise};

/// Where the tax goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supply {
    /// Supplier and place of supply in one state: central and state tax.
    Intra,
    /// In two: integrated tax.
    Inter,
}

/// Where the tax of a supply between these two GST state codes goes.
pub fn supply(supplier_state: &str, place_of_supply: &str) -> Supply {
    if supplier_state == place_of_supply { Supply::Intra } else { Supply::Inter }
}

/// The tax that an amount contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tax {
    /// Hundredths of a percent.
    pub rate_bp: i64,
    /// Value without tax.
    pub taxable: Paise,
    /// Central GST.
    pub cgst: Paise,
    /// State or union territory GST.
    pub sgst: Paise,
    /// Integrated GST.
    pub igst: Paise,
}

impl Tax {
    /// All heads together.
    pub fn sum(&self) -> Paise {
        self.cgst + self.sgst + self.igst
    }
}

/// The tax contained in `total` at this rate.
pub fn contained(total: Paise, rate_bp: i64, supply: Supply) -> Tax {
    match supply {
        Supply::Intra => {
            let half = total.mul_ratio(rate_bp, 2 * (10_000 + rate_bp));
            Tax { rate_bp, taxable: total - half - half, cgst: half, sgst: half, igst: Paise::ZERO }
        }
        Supply::Inter => {
            let igst = total.mul_ratio(rate_bp, 10_000 + rate_bp);
            Tax { rate_bp, taxable: total - igst, cgst: Paise::ZERO, sgst: Paise::ZERO, igst }
        }
    }
}

/// How a heading is taxed.
#[derive(Clone, Copy)]
enum Rate {
    /// Always the same, in hundredths of a percent.
    Flat(i64),
    /// By the value of one piece.
    ByValue { up_to: Paise, low: i64, high: i64 },
}

use Rate::{ByValue, Flat};

/// Rates from a day on. Of all prefixes that a code begins with, the longest counts.
struct Schedule {
    from: IstDate,
    standard: i64,
    rules: &'static [(&'static str, Rate)],
}

const fn day(year: i32, month: u8, day: u8) -> IstDate {
    IstDate { year, month, day }
}

/// Clothes and shoes since September 2025.
const WEAR: Rate = ByValue { up_to: Paise::rupees(2_500), low: 500, high: 1_800 };

/// Newest first.
const SCHEDULES: [Schedule; 2] = [
    Schedule {
        from: day(2025, 9, 22),
        standard: 1_800,
        rules: &[
            // Food. Dried and prepared is taxed, fresh is not.
            ("02", Flat(0)),
            ("03", Flat(0)),
            ("0304", Flat(500)),
            ("04", Flat(500)),
            ("0401", Flat(0)),
            ("0407", Flat(0)),
            ("07", Flat(0)),
            ("08", Flat(500)),
            ("0803", Flat(0)),
            ("0805", Flat(0)),
            ("0808", Flat(0)),
            ("0810", Flat(0)),
            ("09", Flat(500)),
            ("10", Flat(0)),
            ("11", Flat(500)),
            ("15", Flat(500)),
            ("17", Flat(500)),
            ("18", Flat(500)),
            ("19", Flat(500)),
            ("190540", Flat(0)),
            ("20", Flat(500)),
            ("2101", Flat(500)),
            ("2103", Flat(500)),
            ("2105", Flat(500)),
            ("2106", Flat(500)),
            ("2201", Flat(500)),
            ("2202", Flat(4_000)),
            ("220299", Flat(500)),
            ("24", Flat(4_000)),
            // Household.
            ("3305", Flat(500)),
            ("3306", Flat(500)),
            ("330741", Flat(500)),
            ("3401", Flat(500)),
            ("3406", Flat(500)),
            ("4419", Flat(500)),
            ("4420", Flat(500)),
            ("4601", Flat(500)),
            ("4602", Flat(500)),
            ("4901", Flat(0)),
            ("4902", Flat(0)),
            ("4903", Flat(0)),
            ("482020", Flat(0)),
            ("6601", Flat(500)),
            ("6911", Flat(500)),
            ("6912", Flat(500)),
            ("6913", Flat(500)),
            ("7323", Flat(500)),
            ("7418", Flat(500)),
            ("7615", Flat(500)),
            ("8306", Flat(500)),
            ("8712", Flat(500)),
            ("9503", Flat(500)),
            ("9603", Flat(500)),
            ("9609", Flat(0)),
            ("950440", Flat(500)),
            ("950490", Flat(500)),
            ("9701", Flat(500)),
            // Textiles: fabrics and carpets; clothes and shoes by value.
            ("50", Flat(500)),
            ("51", Flat(500)),
            ("52", Flat(500)),
            ("53", Flat(500)),
            ("54", Flat(500)),
            ("55", Flat(500)),
            ("56", Flat(500)),
            ("57", Flat(500)),
            ("58", Flat(500)),
            ("59", Flat(500)),
            ("60", Flat(500)),
            ("61", WEAR),
            ("62", WEAR),
            ("63", WEAR),
            ("64", WEAR),
            ("940440", WEAR),
            // Jewellery, precious metals, unworked stones.
            ("7102", Flat(25)),
            ("7103", Flat(25)),
            ("7106", Flat(300)),
            ("7108", Flat(300)),
            ("7113", Flat(300)),
            ("7114", Flat(300)),
            ("7117", Flat(300)),
            ("7018", Flat(0)),
            // Bags, watches, electronics, fitness machines: standard, named because shops sell them.
            ("4202", Flat(1_800)),
            ("42022220", Flat(500)),
            ("9102", Flat(1_800)),
            ("85", Flat(1_800)),
            ("9506", Flat(1_800)),
            ("950691", Flat(1_800)),
            ("95064", Flat(500)),
            ("95065", Flat(500)),
            ("95066", Flat(500)),
            ("950699", Flat(500)),
            ("8703", Flat(4_000)),
            ("8711", Flat(1_800)),
            ("9302", Flat(4_000)),
        ],
    },
    // Before that, for orders and credit notes of that time: 12 and 28 % existed.
    Schedule {
        from: day(2017, 7, 1),
        standard: 1_800,
        rules: &[
            ("07", Flat(0)),
            ("10", Flat(0)),
            ("09", Flat(500)),
            ("220210", Flat(2_800)),
            ("24", Flat(2_800)),
            ("4901", Flat(0)),
            ("50", Flat(500)),
            ("51", Flat(500)),
            ("52", Flat(500)),
            ("61", ByValue { up_to: Paise::rupees(1_000), low: 500, high: 1_200 }),
            ("62", ByValue { up_to: Paise::rupees(1_000), low: 500, high: 1_200 }),
            ("63", ByValue { up_to: Paise::rupees(1_000), low: 500, high: 1_200 }),
            ("64", ByValue { up_to: Paise::rupees(1_000), low: 1_200, high: 1_800 }),
            ("4420", Flat(1_200)),
            ("7113", Flat(300)),
            ("9503", Flat(1_200)),
        ],
    },
];

/// The rate of `quantity` pieces that cost `value` together after discount, in hundredths of
/// a percent. `hsn` may have 4 to 8 digits.
pub fn rate_bp(hsn: &str, value: Paise, quantity: i64, on: IstDate) -> i64 {
    let schedule =
        SCHEDULES.iter().find(|s| s.from <= on).unwrap_or(&SCHEDULES[SCHEDULES.len() - 1]);
    let rule = schedule
        .rules
        .iter()
        .filter(|(prefix, _)| hsn.starts_with(prefix))
        .max_by_key(|(prefix, _)| prefix.len());
    match rule {
        None => schedule.standard,
        Some((_, Flat(rate))) => *rate,
        // Compared over all pieces, so that nothing is rounded.
        Some((_, ByValue { up_to, low, high })) => {
            let limit = up_to.0.saturating_mul(quantity.max(1));
            if value.0 <= limit { *low } else { *high }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: IstDate = day(2026, 11, 23);

    #[test]
    fn rates_by_code_value_and_day() {
        let old = day(2025, 9, 21);
        let first = day(2025, 9, 22);
        // (HSN, value of all pieces in paise, pieces, day, rate)
        let table: &[(&str, i64, i64, IstDate, i64)] = &[
            ("6109", 49_900, 1, NOW, 500),
            ("6109", 250_000, 1, NOW, 500),
            ("6109", 250_001, 1, NOW, 1_800),
            ("61091000", 500_000, 2, NOW, 500),
            ("61091000", 500_001, 2, NOW, 1_800),
            ("6203", 299_900, 1, NOW, 1_800),
            ("6304", 99_900, 1, NOW, 500),
            ("6403", 250_000, 1, NOW, 500),
            ("6403", 250_100, 1, NOW, 1_800),
            ("6109", 100_000, 1, old, 500),
            ("6109", 100_001, 1, old, 1_200),
            ("6109", 100_001, 1, first, 500),
            ("6403", 100_000, 1, old, 1_200),
            ("6403", 250_000, 1, old, 1_800),
            ("6403", 250_000, 1, first, 500),
            ("4202", 10_000, 1, NOW, 1_800),
            ("9102", 10_000, 1, NOW, 1_800),
            ("9506", 10_000, 1, NOW, 1_800),
            ("95069190", 10_000, 1, NOW, 1_800),
            ("950662", 10_000, 1, NOW, 500),
            ("0902", 10_000, 1, NOW, 500),
            ("4901", 10_000, 1, NOW, 0),
            ("7113", 10_000_000, 1, NOW, 300),
            ("7102", 10_000_000, 1, NOW, 25),
            ("22021010", 4_000, 1, NOW, 4_000),
            ("22021010", 4_000, 1, old, 2_800),
            ("482010", 10_000, 1, NOW, 1_800),
            ("482020", 10_000, 1, NOW, 0),
            ("190540", 10_000, 1, NOW, 0),
            ("190590", 10_000, 1, NOW, 500),
            ("940440", 250_001, 1, NOW, 1_800),
            ("9999", 10_000, 1, NOW, 1_800),
            ("", 10_000, 1, NOW, 1_800),
            ("6109", 10_000, 1, day(2010, 1, 1), 500),
        ];
        for (hsn, value, quantity, on, want) in table {
            assert_eq!(rate_bp(hsn, Paise(*value), *quantity, *on), *want, "{hsn} {value} {on}");
        }
    }

    #[test]
    fn golden_amounts() {
        use Supply::{Inter, Intra};
        // (total, rate, supply, taxable, cgst, sgst, igst)
        let table: &[(i64, i64, Supply, i64, i64, i64, i64)] = &[
            (10_500, 500, Intra, 10_000, 250, 250, 0),
            (10_500, 500, Inter, 10_000, 0, 0, 500),
            (11_800, 1_800, Intra, 10_000, 900, 900, 0),
            (11_800, 1_800, Inter, 10_000, 0, 0, 1_800),
            (49_900, 500, Intra, 47_524, 1_188, 1_188, 0),
            (49_900, 500, Inter, 47_524, 0, 0, 2_376),
            (99_900, 1_800, Intra, 84_662, 7_619, 7_619, 0),
            (99_900, 1_800, Inter, 84_661, 0, 0, 15_239),
            // One paisa and other odd ones.
            (1, 1_800, Intra, 1, 0, 0, 0),
            (1, 1_800, Inter, 1, 0, 0, 0),
            (3, 1_800, Inter, 3, 0, 0, 0),
            (4, 1_800, Inter, 3, 0, 0, 1),
            (7, 1_800, Intra, 5, 1, 1, 0),
            (101, 1_800, Intra, 85, 8, 8, 0),
            (101, 1_800, Inter, 86, 0, 0, 15),
            (333, 500, Intra, 317, 8, 8, 0),
            (333, 500, Inter, 317, 0, 0, 16),
            (100, 4_000, Intra, 72, 14, 14, 0),
            (100, 4_000, Inter, 71, 0, 0, 29),
            (14_000, 4_000, Intra, 10_000, 2_000, 2_000, 0),
            (10_025, 25, Inter, 10_000, 0, 0, 25),
            (10_025, 25, Intra, 9_999, 13, 13, 0),
            (10_300, 300, Intra, 10_000, 150, 150, 0),
            (250_000, 500, Intra, 238_096, 5_952, 5_952, 0),
            (250_100, 1_800, Inter, 211_949, 0, 0, 38_151),
            (0, 1_800, Intra, 0, 0, 0, 0),
            (99_900, 0, Inter, 99_900, 0, 0, 0),
        ];
        for (total, rate, supply, taxable, cgst, sgst, igst) in table {
            let got = contained(Paise(*total), *rate, *supply);
            let want = Tax {
                rate_bp: *rate,
                taxable: Paise(*taxable),
                cgst: Paise(*cgst),
                sgst: Paise(*sgst),
                igst: Paise(*igst),
            };
            assert_eq!(got, want, "{total} at {rate} {supply:?}");
        }
    }

    #[test]
    fn places() {
        assert_eq!(supply("27", "27"), Supply::Intra);
        assert_eq!(supply("27", "29"), Supply::Inter);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_negative(
            total in 0..=Paise::MAX_AMOUNT.0,
            rate in prop::sample::select(vec![0, 25, 300, 500, 1_800, 4_000]),
            inter: bool,
        ) {
            let supply = if inter { Supply::Inter } else { Supply::Intra };
            let tax = contained(Paise(total), rate, supply);
            prop_assert_eq!(tax.taxable + tax.sum(), Paise(total));
            prop_assert_eq!(tax.cgst, tax.sgst);
            prop_assert!(tax.taxable.0 >= 0 && tax.cgst.0 >= 0 && tax.igst.0 >= 0);
            // Never further than a paisa from the exact value.
            let exact = i128::from(total) * 10_000 / i128::from(10_000 + rate);
            prop_assert!((i128::from(tax.taxable.0) - exact).abs() <= 1);
        }
    }
}
