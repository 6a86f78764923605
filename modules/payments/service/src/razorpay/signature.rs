//! HMAC-SHA256 in hex. Comparing is constant in time.

use mela_crypto::{Secret, unhex};
use ring::hmac;

fn verify(secret: &Secret, message: &[u8], signature: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    // An empty secret would let everybody sign.
    !secret.is_empty()
        && signature.len() == 64
        && unhex(signature).is_some_and(|tag| hmac::verify(&key, message, &tag).is_ok())
}

/// The checkout's redirect: over the order id *that we stored* and the payment id.
pub(crate) fn checkout(
    secret: &Secret,
    gateway_order: &str,
    gateway_payment: &str,
    signature: &str,
) -> bool {
    verify(secret, format!("{gateway_order}|{gateway_payment}").as_bytes(), signature)
}

/// A webhook: over the raw body, with any of the secrets that are in use.
pub(crate) fn webhook(secrets: &[&Secret], body: &[u8], signature: &str) -> bool {
    secrets.iter().any(|secret| verify(secret, body, signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = "order_EKwxwAgItmmXdp";
    const PAYMENT: &str = "pay_DESlfW9H8K9uqM";
    const CHECKOUT: &str = "a1d945b1530d03a6920717d37886f01b5bb9eb59bfcbd63f327221ddcc993622";
    const BODY: &[u8] = br#"{"entity":"event","event":"payment.captured"}"#;
    const WEBHOOK: &str = "a438afc6ce7006ee9db518386b03fa11af0ca64eee8a8978885697e4065e9581";

    #[test]
    fn vectors_of_the_official_clients() {
        let key = Secret::from("test_key_secret");
        assert!(checkout(&key, ORDER, PAYMENT, CHECKOUT));
        let (old, new) = (Secret::from("test_webhook_secret"), Secret::from("other"));
        assert!(webhook(&[&new, &old], BODY, WEBHOOK));
        assert!(!webhook(&[&new], BODY, WEBHOOK));
    }

    #[test]
    fn everything_else_is_refused() {
        let key = Secret::from("test_key_secret");
        assert!(!checkout(&key, "order_other", PAYMENT, CHECKOUT));
        assert!(!checkout(&key, ORDER, "pay_other", CHECKOUT));
        assert!(!checkout(&Secret::from("wrong"), ORDER, PAYMENT, CHECKOUT));
        for bad in ["", "00", "zz", &CHECKOUT[..62], &format!("{CHECKOUT}00"), "é"] {
            assert!(!checkout(&key, ORDER, PAYMENT, bad), "{bad}");
        }
        let hook = Secret::from("test_webhook_secret");
        assert!(!webhook(
            &[&hook],
            b"{\"entity\": \"event\",\"event\":\"payment.captured\"}",
            WEBHOOK
        ));
        let empty = Secret::from("");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b""), BODY);
        assert!(!webhook(&[&empty], BODY, &mela_crypto::hex(tag.as_ref())));
    }
}
