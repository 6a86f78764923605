//! Where a parcel stands, from what was scanned: pure decisions.

use mela_base::{DAY_MS, HOUR_MS, MINUTE_MS, Timestamp};
use mela_shipping_api::{ParcelState, Scan};

/// What a courier's code means. Codes that we do not know mean that it is on its way.
pub(crate) fn state_of_code(code: &str) -> ParcelState {
    match code {
        "NEW" | "SCH" | "SMD" | "OFP" | "PNR" | "PKF" | "PCAN" => ParcelState::Booked,
        "PKP" => ParcelState::PickedUp,
        "OOD" => ParcelState::OutForDelivery,
        "DEL" => ParcelState::Delivered,
        "UND" | "DEX" | "DRE" | "CNA" | "CRTA" | "ODA" | "DNB" | "FDR" | "22" | "23" | "24"
        | "25" => ParcelState::Undelivered,
        "RTO" => ParcelState::Returning,
        "RTD" => ParcelState::Returned,
        "CAN" => ParcelState::Cancelled,
        "LOST" => ParcelState::Lost,
        _ => ParcelState::InTransit,
    }
}

/// Of scans at the same second, which one is the later: couriers stamp whole seconds.
fn rank(state: ParcelState) -> u8 {
    match state {
        ParcelState::Booked => 0,
        ParcelState::PickedUp => 1,
        ParcelState::InTransit => 2,
        ParcelState::OutForDelivery => 3,
        ParcelState::Undelivered => 4,
        ParcelState::Returning => 5,
        ParcelState::Cancelled => 6,
        ParcelState::Lost => 7,
        ParcelState::Returned => 8,
        ParcelState::Delivered => 9,
    }
}

/// Oldest first.
pub(crate) fn sort(scans: &mut [Scan]) {
    scans.sort_by(|a, b| {
        let key = |s: &Scan| (s.at, rank(state_of_code(&s.code)));
        key(a).cmp(&key(b)).then_with(|| a.code.cmp(&b.code))
    });
}

/// State and time from all scans, in whatever order they are known: the latest one decides. Once
/// one is final only final ones count, since stray scans come after the delivery.
pub(crate) fn state_of(scans: &[Scan]) -> Option<(ParcelState, Timestamp)> {
    scans
        .iter()
        .map(|scan| (state_of_code(&scan.code), scan.at))
        .max_by_key(|(state, at)| (state.is_final(), *at, rank(*state)))
}

/// Without news a parcel is looked at this often.
const QUIET_MS: i64 = 30 * MINUTE_MS;
/// After so long nobody follows a parcel any more.
const FOLLOWED_MS: i64 = 60 * DAY_MS;

/// When to look again, if no webhook comes before.
pub(crate) fn next_check(
    state: ParcelState,
    now: Timestamp,
    created: Timestamp,
) -> Option<Timestamp> {
    let age = now.since_ms(created);
    if state.is_final() || age > FOLLOWED_MS {
        return None;
    }
    let wait = match state {
        // Fresh ones get their number and pick-up soon; on the last van, things move.
        ParcelState::Booked => (age / 4).clamp(MINUTE_MS, 2 * HOUR_MS),
        ParcelState::OutForDelivery => QUIET_MS / 2,
        _ if age > 15 * DAY_MS => 6 * HOUR_MS,
        _ => QUIET_MS,
    };
    Some(now.plus_ms(wait))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(second: i64, code: &str) -> Scan {
        Scan {
            at: Timestamp::from_unix_s(1_700_000_000 + second),
            code: code.to_owned(),
            text: String::new(),
            place: None,
        }
    }

    fn state(scans: &[(i64, &str)]) -> Option<ParcelState> {
        let scans: Vec<_> = scans.iter().map(|(at, code)| scan(*at, code)).collect();
        state_of(&scans).map(|(state, _)| state)
    }

    #[test]
    fn the_latest_scan_decides() {
        use ParcelState::{Delivered, InTransit, OutForDelivery, Undelivered};
        assert_eq!(state(&[]), None);
        assert_eq!(state(&[(1, "OOD"), (2, "UND")]), Some(Undelivered));
        assert_eq!(state(&[(1, "OOD"), (2, "UND"), (3, "OOD")]), Some(OutForDelivery));
        assert_eq!(state(&[(1, "OOD"), (2, "DEL"), (3, "INT")]), Some(Delivered));
        assert_eq!(state(&[(1, "PKP"), (2, "XYZZY")]), Some(InTransit));
        // A whole way within one second.
        assert_eq!(
            state(&[(1, "SCH"), (1, "PKP"), (1, "INT"), (1, "OOD"), (1, "DEL")]),
            Some(Delivered)
        );
    }

    proptest! {
        #[test]
        fn the_order_in_which_scans_are_learnt_does_not_matter(
            scans in prop::collection::vec(
                (0i64..6, prop::sample::select(vec![
                    "SCH", "PKP", "INT", "OOD", "UND", "DEL", "RTO", "RTD", "LOST", "ZZZ",
                ])),
                1..12,
            ),
            seed in any::<u64>(),
        ) {
            let scans: Vec<_> = scans.iter().map(|(at, code)| scan(*at, code)).collect();
            let mut mixed = scans.clone();
            mixed.extend(scans.iter().take(3).cloned());
            let mut random = seed;
            for i in (1..mixed.len()).rev() {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                mixed.swap(i, usize::try_from(random >> 33).unwrap() % (i + 1));
            }
            prop_assert_eq!(state_of(&scans), state_of(&mixed));
            let last = scans.iter().map(|s| s.at).max().unwrap();
            let (state, at) = state_of(&scans).unwrap();
            prop_assert!(state.is_final() || at == last);
        }
    }

    #[test]
    fn checks_end() {
        let begun = Timestamp::from_unix_s(1_700_000_000);
        let (mut now, mut checks) = (begun, 0);
        while let Some(next) = next_check(ParcelState::InTransit, now, begun) {
            assert!(next > now);
            (now, checks) = (next, checks + 1);
        }
        assert!((700..1_500).contains(&checks), "{checks}");
        assert_eq!(next_check(ParcelState::Delivered, begun, begun), None);
    }
}
