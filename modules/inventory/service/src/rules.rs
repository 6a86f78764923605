use std::collections::BTreeMap;

use mela_base::Gstin;
use mela_base::ids::VariantId;
use mela_inventory_api::{InventoryError, Location, Quantity, StockLevel};

/// More pieces of one variant than any shop has: guards sums against overflow.
pub(crate) const MOST: i64 = 1_000_000_000;

/// Quantities of each variant once, in variant order: the order in which every transaction locks
/// stock rows, so that none waits for another in a circle.
pub(crate) fn merge(lines: &[Quantity]) -> Result<BTreeMap<VariantId, i64>, InventoryError> {
    let mut out = BTreeMap::new();
    for line in lines {
        if !(1..=MOST).contains(&line.quantity) {
            return Err(invalid(
                "quantity",
                "a quantity is a whole number from 1 to 1,000,000,000",
            ));
        }
        let sum = out.entry(line.variant_id).or_insert(0_i64);
        *sum = sum.saturating_add(line.quantity);
    }
    Ok(out)
}

/// Whether stock levels can be what somebody means.
pub(crate) fn check_levels(levels: &[StockLevel]) -> Result<(), InventoryError> {
    if levels.iter().any(|l| !(0..=MOST).contains(&l.on_hand)) {
        return Err(invalid("onHand", "a stock level is a whole number from 0 to 1,000,000,000"));
    }
    Ok(())
}

/// Whether a location can stand on an invoice.
pub(crate) fn check_location(location: &Location) -> Result<(), InventoryError> {
    let digits = |text: &str, n: usize| text.len() == n && text.bytes().all(|c| c.is_ascii_digit());
    if location.name.trim().is_empty() || location.name.chars().count() > 100 {
        return Err(invalid("name", "a location needs a name of at most 100 characters"));
    }
    if !digits(&location.state_code, 2) {
        return Err(invalid("stateCode", "a GST state code has two digits, e.g. 27"));
    }
    let gstin = Gstin::parse(&location.gstin).map_err(|e| invalid("gstin", &e.to_string()))?;
    if gstin.as_str() != location.gstin || gstin.state().code != location.state_code {
        return Err(invalid("gstin", "write the GSTIN in capitals, with the same state code"));
    }
    if !digits(&location.pincode, 6) {
        return Err(invalid("pincode", "a pincode has six digits"));
    }
    if location.address.trim().is_empty() || location.address.chars().count() > 500 {
        return Err(invalid(
            "address",
            "the address is printed on invoices; at most 500 characters",
        ));
    }
    Ok(())
}

pub(crate) fn invalid(field: &'static str, message: &str) -> InventoryError {
    InventoryError::Invalid { field, message: message.to_owned() }
}

/// Whether a change from `before` to `after` makes something buyable or sold out.
pub(crate) fn crosses_zero(before: i64, after: i64) -> bool {
    (before > 0) != (after > 0)
}

#[cfg(test)]
mod tests {
    use mela_base::Id;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn merging_keeps_the_sum(lines in prop::collection::vec((0u8..5, 1i64..100), 0..30)) {
            let lines: Vec<_> = lines
                .into_iter()
                .map(|(v, quantity)| Quantity { variant_id: VariantId(Id::from_bytes([v; 16])), quantity })
                .collect();
            let merged = merge(&lines).unwrap();
            prop_assert_eq!(merged.values().sum::<i64>(), lines.iter().map(|l| l.quantity).sum::<i64>());
        }
    }

    #[test]
    fn nothing_and_less_are_refused() {
        for quantity in [0, -1, i64::MIN, i64::MAX] {
            let line = Quantity { variant_id: VariantId::default(), quantity };
            assert!(merge(&[line]).is_err(), "{quantity}");
        }
    }
}
