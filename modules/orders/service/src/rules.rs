use std::collections::{BTreeMap, VecDeque};

use mela_base::ids::{OrderId, VariantId};
use mela_base::{Id, IstDate, Op, Paise, Phone, Timestamp, pincode};
use mela_orders_api::{
    Address, Coupon, CouponKind, LineInput, MAX_LINES, MAX_QUANTITY, OrderError, OrderState,
    PlaceOrder,
};
use mela_shipping_api::ParcelState;
use ring::{digest, hmac};

pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> OrderError {
    OrderError::Invalid { field, message: message.into() }
}

/// What is in a cart: quantities by variant, in the order in which they were put in.
pub(crate) type Lines = Vec<(VariantId, i64)>;

/// Adds quantities to lines; the result is within the limits or nothing is changed.
pub(crate) fn add(lines: &Lines, more: &[LineInput]) -> Result<Lines, OrderError> {
    let mut out = lines.clone();
    for line in more {
        if !(1..=MAX_QUANTITY).contains(&line.quantity) {
            return Err(wrong_quantity());
        }
        match out.iter_mut().find(|(v, _)| *v == line.variant_id) {
            Some((_, quantity)) => *quantity += line.quantity,
            None => out.push((line.variant_id, line.quantity)),
        }
        // Here and not at the end: a long list of the same variant must not overflow.
        check(&out)?;
    }
    Ok(out)
}

/// Sets quantities of lines; 0 takes a line out.
pub(crate) fn set(lines: &Lines, wanted: &[LineInput]) -> Result<Lines, OrderError> {
    let mut out = lines.clone();
    for line in wanted {
        if !(0..=MAX_QUANTITY).contains(&line.quantity) {
            return Err(wrong_quantity());
        }
        match out.iter_mut().find(|(v, _)| *v == line.variant_id) {
            Some((_, quantity)) => *quantity = line.quantity,
            None => out.push((line.variant_id, line.quantity)),
        }
        out.retain(|(_, quantity)| *quantity > 0);
        check(&out)?;
    }
    Ok(out)
}

/// Two carts in one. Nobody is there to be told about limits, so they cut.
pub(crate) fn join(lines: &Lines, more: &Lines) -> Lines {
    let mut out = lines.clone();
    for (variant, quantity) in more {
        if let Some((_, have)) = out.iter_mut().find(|(v, _)| v == variant) {
            *have = (*have + quantity).min(MAX_QUANTITY);
        } else if out.len() < MAX_LINES {
            out.push((*variant, *quantity));
        }
    }
    out
}

fn wrong_quantity() -> OrderError {
    invalid("quantity", format!("a quantity is a whole number from 1 to {MAX_QUANTITY}"))
}

fn check(lines: &Lines) -> Result<(), OrderError> {
    if lines.len() > MAX_LINES {
        return Err(invalid("lines", format!("a cart has at most {MAX_LINES} lines")));
    }
    if lines.iter().any(|(_, quantity)| *quantity > MAX_QUANTITY) {
        return Err(wrong_quantity());
    }
    Ok(())
}

/// An address as it is kept: trimmed, the phone in E.164, the pincode known.
pub(crate) fn address(mut a: Address) -> Result<Address, OrderError> {
    let text = |field: &'static str, value: &str, most: usize| -> Result<String, OrderError> {
        let value = value.trim();
        if value.is_empty() {
            return Err(invalid(field, "this part of the address is missing"));
        }
        if value.chars().count() > most || value.chars().any(char::is_control) {
            return Err(invalid(field, format!("at most {most} characters on one line")));
        }
        Ok(value.to_owned())
    };
    a.name = text("name", &a.name, 100)?;
    a.line1 = text("line1", &a.line1, 200)?;
    a.line2 = match a.line2.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(line) => Some(text("line2", line, 200)?),
    };
    a.city = text("city", &a.city, 100)?;
    a.phone =
        Phone::parse(&a.phone).map_err(|e| invalid("phone", e.to_string()))?.e164().to_owned();
    a.email = match a.email.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(mail) => {
            let well_formed = mail.len() <= 254
                && mail.split_once('@').is_some_and(|(user, host)| {
                    !user.is_empty()
                        && host.contains('.')
                        && !host.starts_with('.')
                        && !host.ends_with('.')
                        && !host.contains('@')
                })
                && mail.bytes().all(|c| c.is_ascii_graphic() && !b"<>(),;:\\\"[]".contains(&c));
            if !well_formed {
                return Err(invalid("email", "this is not an e-mail address such as a@b.in"));
            }
            Some(mail.to_owned())
        }
    };
    a.pincode.retain(|c| c != ' ');
    if pincode::lookup(&a.pincode).is_none() {
        return Err(invalid("pincode", "this is not an Indian pincode; write its six digits"));
    }
    Ok(a)
}

/// A coupon code as it is kept.
pub(crate) fn coupon_code(text: &str) -> Result<String, OrderError> {
    let code = text.trim().to_ascii_uppercase();
    let good = (3..=20).contains(&code.len()) && code.bytes().all(|c| c.is_ascii_alphanumeric());
    if good {
        Ok(code)
    } else {
        Err(invalid("coupon", "a coupon code has 3 to 20 letters and digits"))
    }
}

/// Whether a coupon can be what staff mean.
pub(crate) fn check_coupon(coupon: &Coupon) -> Result<(), OrderError> {
    match coupon.kind {
        CouponKind::Percent { bp, at_most } => {
            if !(1..=10_000).contains(&bp) {
                return Err(invalid("kind", "a percentage is from 0.01 to 100 %"));
            }
            if at_most.is_some_and(|most| most.0 <= 0 || most > Paise::MAX_AMOUNT) {
                return Err(invalid("kind", "the most that it takes off must be above zero"));
            }
        }
        CouponKind::Amount(amount) => {
            if amount.0 <= 0 || amount > Paise::MAX_AMOUNT {
                return Err(invalid("kind", "an amount must be above zero"));
            }
        }
    }
    if coupon.min_subtotal.0 < 0 || coupon.min_subtotal > Paise::MAX_AMOUNT {
        return Err(invalid("minSubtotal", "a least subtotal cannot be below zero"));
    }
    if coupon.max_uses.is_some_and(|n| n < 0) || coupon.max_uses_per_person.is_some_and(|n| n < 0) {
        return Err(invalid("maxUses", "a number of uses cannot be below zero"));
    }
    if coupon.ends_at.is_some_and(|end| end <= coupon.starts_at) {
        return Err(invalid("endsAt", "a coupon ends after it starts"));
    }
    Ok(())
}

/// What a coupon takes off a subtotal, or why it cannot be used. Counters are not looked at for
/// the decision at checkout: there the database counts.
pub(crate) fn discount(
    coupon: &Coupon,
    subtotal: Paise,
    logged_in: bool,
    now: Timestamp,
) -> Result<Paise, OrderError> {
    let refused = |text: String| Err(OrderError::CouponRefused(text));
    if now < coupon.starts_at {
        return refused("this coupon cannot be used yet".into());
    }
    if coupon.ends_at.is_some_and(|end| now >= end) {
        return refused("this coupon has ended; take it off".into());
    }
    if coupon.max_uses.is_some_and(|most| coupon.uses >= most) {
        return refused(used_up());
    }
    // Anybody can be a new guest as often as they like.
    if coupon.max_uses_per_person.is_some() && !logged_in {
        return refused("log in to use this coupon".into());
    }
    if subtotal < coupon.min_subtotal {
        return refused(format!("this coupon is for orders from {} on", coupon.min_subtotal));
    }
    let off = match coupon.kind {
        CouponKind::Amount(amount) => amount,
        CouponKind::Percent { bp, at_most } => {
            let off = subtotal.mul_ratio(bp, 10_000);
            at_most.map_or(off, |most| off.min(most))
        }
    };
    Ok(off.min(subtotal))
}

pub(crate) fn no_such_coupon() -> OrderError {
    OrderError::CouponRefused("there is no such coupon; take it off".into())
}

pub(crate) fn used_up() -> String {
    "this coupon has been used as often as it can be; take it off".into()
}

/// Whether the caller has logged in by phone.
pub(crate) fn logged_in(op: &Op) -> bool {
    matches!(op.actor, mela_base::Actor::Person { guest: false, .. })
}

/// Whether an idempotency key has the right form.
pub(crate) fn check_key(key: &str) -> Result<(), OrderError> {
    let good = (8..=64).contains(&key.len())
        && key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-');
    if good {
        return Ok(());
    }
    Err(invalid("idempotencyKey", "a key has 8 to 64 letters, digits, - and _; make a random one"))
}

/// Stands for the content of a request: the same key with another hash is refused.
pub(crate) fn request_hash(request: &PlaceOrder) -> [u8; 32] {
    let text = format!(
        "{}|{}|{:?}",
        request.cart_id,
        request.method.as_str(),
        request.expected_to_pay.map(|p| p.0)
    );
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    out
}

/// The number that people read out: `M`, eight letters and digits of the time in ms, a dash, four
/// of the id's random part. Two orders of one ms share a number once in a million; the database
/// refuses that and a new one is made.
pub(crate) fn order_number(id: OrderId) -> String {
    // Base 32 without i, l, o, u: the time is in characters 0 – 9 of the id's text, the random part in
    // those at the end.
    let text = id.0.to_string().to_ascii_uppercase();
    format!("M{}-{}", &text[2..10], &text[22..26])
}

/// The key with which a guest reads this order: 130 bits of an HMAC of its id.
pub(crate) fn order_key(secret: &[u8; 32], id: OrderId) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, format!("order-key:{id}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&tag.as_ref()[..16]);
    Id::from_bytes(bytes).to_string()
}

/// The public form of an invoice number: series, financial year, count: `A/2627/000123`. At most
/// 16 characters of capital letters, digits, `-` and `/`, as Rule 46(b) wants.
pub(crate) fn invoice_number(series: &str, on: IstDate, count: i64) -> String {
    let (from, to) = on.financial_year();
    format!("{series}/{:02}{:02}/{count:06}", from.rem_euclid(100), to.rem_euclid(100))
}

/// Where an order should stand when its parcel stands there; `None` says nothing about the order.
pub(crate) fn state_of_parcel(parcel: ParcelState) -> Option<OrderState> {
    match parcel {
        ParcelState::Booked | ParcelState::Cancelled | ParcelState::Lost => None,
        ParcelState::PickedUp | ParcelState::InTransit | ParcelState::Undelivered => {
            Some(OrderState::Shipped)
        }
        ParcelState::OutForDelivery => Some(OrderState::OutForDelivery),
        ParcelState::Delivered => Some(OrderState::Delivered),
        ParcelState::Returning => Some(OrderState::Returning),
        ParcelState::Returned => Some(OrderState::Returned),
    }
}

/// The shortest way from one state to another along allowed moves, without the start. `None` if
/// there is none. A scan that was missed must not leave an order behind; a parcel never cancels.
pub(crate) fn path(from: OrderState, to: OrderState) -> Option<Vec<OrderState>> {
    if from == to {
        return Some(Vec::new());
    }
    let mut came: BTreeMap<&'static str, OrderState> = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        for next in OrderState::ALL {
            let new = next != from && !came.contains_key(next.as_str());
            if next == OrderState::Cancelled || !at.may_become(next) || !new {
                continue;
            }
            came.insert(next.as_str(), at);
            if next == to {
                let mut path = vec![to];
                while let Some(before) = path.last().and_then(|s| came.get(s.as_str()))
                    && *before != from
                {
                    path.push(*before);
                }
                path.reverse();
                return Some(path);
            }
            queue.push_back(next);
        }
    }
    None
}

/// What the history says of a cancellation. What people type may hold personal data, which must not
/// rest unsealed: words that look like it are left out.
pub(crate) fn cancel_note(who: &str, reason: &str) -> String {
    let reason: Vec<&str> = reason
        .split_whitespace()
        .filter(|word| !word.contains('@') && word.bytes().filter(u8::is_ascii_digit).count() < 4)
        .collect();
    let reason: String = reason.join(" ").chars().filter(|c| !c.is_control()).take(120).collect();
    if reason.is_empty() {
        format!("cancelled by {who}")
    } else {
        format!("cancelled by {who}: {reason}")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mela_base::{Env, ManualClock};
    use proptest::prelude::*;

    use super::*;

    fn variant(n: u8) -> VariantId {
        VariantId(Id::from_bytes([n; 16]))
    }

    fn line(n: u8, quantity: i64) -> LineInput {
        LineInput { variant_id: variant(n), quantity }
    }

    #[test]
    fn lines_add_up_and_go() {
        let lines = add(&vec![], &[line(1, 2), line(2, 1), line(1, 3)]).unwrap();
        assert_eq!(lines, [(variant(1), 5), (variant(2), 1)]);
        let lines = set(&lines, &[line(1, 0), line(3, 4)]).unwrap();
        assert_eq!(lines, [(variant(2), 1), (variant(3), 4)]);
        assert!(add(&lines, &[line(2, MAX_QUANTITY)]).is_err());
        assert!(add(&lines, &[line(2, 0)]).is_err());
        assert!(set(&lines, &[line(2, -1)]).is_err());
        let many: Vec<_> = (0..=100).map(|n| line(n, 1)).collect();
        assert!(add(&vec![], &many).is_err());
        assert_eq!(join(&vec![(variant(1), 998)], &vec![(variant(1), 5)]), [(variant(1), 999)]);
    }

    fn plain() -> Address {
        Address {
            name: " Asha Rao ".into(),
            phone: "98765 43210".into(),
            email: Some("asha@example.in".into()),
            line1: "12 MG Road".into(),
            line2: Some("  ".into()),
            city: "Bengaluru".into(),
            pincode: "560 001".into(),
        }
    }

    #[test]
    fn addresses() {
        let Ok(good) = address(plain()) else { panic!("a good address") };
        assert_eq!(good.name, "Asha Rao");
        assert_eq!(good.phone, "+919876543210");
        assert_eq!((good.line2, good.pincode.as_str()), (None, "560001"));
        type Spoil = fn(&mut Address);
        let bad: [(&str, Spoil); 9] = [
            ("name", |a| a.name = " ".into()),
            ("name", |a| a.name = "x".repeat(101)),
            ("line1", |a| a.line1 = "a\nb".into()),
            ("city", |a| a.city = String::new()),
            ("phone", |a| a.phone = "12345".into()),
            ("email", |a| a.email = Some("nobody".into())),
            ("email", |a| a.email = Some("a@b.in\r\nBcc: c@d.in".into())),
            ("pincode", |a| a.pincode = "000000".into()),
            ("pincode", |a| a.pincode = "56000é".into()),
        ];
        for (field, spoil) in bad {
            let mut a = plain();
            spoil(&mut a);
            match address(a) {
                Err(OrderError::Invalid { field: at, .. }) => assert_eq!(at, field),
                _ => panic!("{field} was taken"),
            }
        }
    }

    #[test]
    fn numbers() {
        let day = |text: &str| Timestamp::parse_rfc3339(text).unwrap().ist_date();
        assert_eq!(invoice_number("A", day("2026-11-23T00:00:00Z"), 123), "A/2627/000123");
        assert_eq!(invoice_number("A", day("2026-03-31T18:29:59Z"), 1), "A/2526/000001");
        assert!(invoice_number("ABCD", day("2099-11-23T00:00:00Z"), 999_999).len() <= 16);
        let clock =
            Arc::new(ManualClock::new(Timestamp::parse_rfc3339("2026-11-23T00:00:00Z").unwrap()));
        let env = Env::test(clock.clone(), 3);
        let (a, b): (OrderId, OrderId) = (env.new_id(), env.new_id());
        assert_eq!(order_number(a).len(), 14);
        assert_ne!(order_number(a), order_number(b));
        clock.advance_ms(1);
        assert_ne!(order_number(a)[..9], order_number(env.new_id())[..9]);
        assert_eq!(order_key(&[1; 32], a).len(), 26);
        assert_ne!(order_key(&[1; 32], a), order_key(&[2; 32], a));
        assert_ne!(order_key(&[1; 32], a), order_key(&[1; 32], b));
    }

    #[test]
    fn parcels_find_their_way() {
        use OrderState::{Confirmed, Delivered, OutForDelivery, Returned, Returning, Shipped};
        assert_eq!(path(Confirmed, Delivered), Some(vec![Delivered]));
        assert_eq!(path(Confirmed, Returning), Some(vec![Shipped, Returning]));
        assert_eq!(path(Shipped, Shipped), Some(vec![]));
        assert_eq!(path(Returning, Delivered), None);
        assert_eq!(path(Delivered, Shipped), None);
        assert_eq!(path(OutForDelivery, Returned), Some(vec![Returned]));
        assert_eq!(path(OrderState::Cancelled, Delivered), None);
    }

    #[test]
    fn notes_keep_no_numbers_and_addresses() {
        assert_eq!(
            cancel_note("the buyer", "too late,\n call 9876543210 or a@b.in "),
            "cancelled by the buyer: too late, call or"
        );
        assert_eq!(cancel_note("staff", " "), "cancelled by staff");
        assert!(cancel_note("staff", &"x".repeat(9_999)).len() < 200);
    }

    proptest! {
        #[test]
        fn every_path_is_allowed(a in 0usize..8, b in 0usize..8) {
            let (from, to) = (OrderState::ALL[a], OrderState::ALL[b]);
            if let Some(path) = path(from, to) {
                let mut at = from;
                for next in &path {
                    prop_assert!(at.may_become(*next));
                    at = *next;
                }
                prop_assert_eq!(at, to);
            }
        }

        #[test]
        fn coupons_never_take_more_than_there_is(
            subtotal in 0i64..1_000_000_000, bp in 1i64..=10_000, most in 1i64..1_000_000,
        ) {
            let coupon = Coupon {
                code: "FAIR".into(),
                kind: CouponKind::Percent { bp, at_most: Some(Paise(most)) },
                min_subtotal: Paise::ZERO,
                max_uses: None,
                max_uses_per_person: None,
                uses: 0,
                starts_at: Timestamp::default(),
                ends_at: None,
            };
            let off = discount(&coupon, Paise(subtotal), true, Timestamp::from_unix_s(1)).unwrap();
            prop_assert!(off.0 >= 0 && off.0 <= subtotal && off.0 <= most);
        }
    }
}
