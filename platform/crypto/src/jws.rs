//! The little of JOSE that is needed: compact JWS with EdDSA (RFC 7515, RFC 8037).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::sha256;

/// Base64 without padding, in the alphabet for URLs. Decoding is strict (no padding, no stray bits).
pub(crate) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn unb64(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// `header.payload.signature`; the header comes encoded, the payload raw.
pub(crate) fn sign(pair: &Ed25519KeyPair, header_b64: &str, payload: &[u8]) -> String {
    let mut token = format!("{header_b64}.{}", b64(payload));
    let signature = pair.sign(token.as_bytes());
    token.push('.');
    token.push_str(&b64(signature.as_ref()));
    token
}

/// The three parts of a token: signed text, header, payload, signature.
pub(crate) fn split(token: &str) -> Option<(&str, &str, &str, &str)> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    (!payload.contains('.')).then_some((signed, header, payload, signature))
}

pub(crate) fn verify(public: &[u8; 32], signed: &str, signature_b64: &str) -> bool {
    unb64(signature_b64).is_some_and(|s| {
        UnparsedPublicKey::new(&ED25519, public).verify(signed.as_bytes(), &s).is_ok()
    })
}

pub(crate) fn public_key(pair: &Ed25519KeyPair) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(pair.public_key().as_ref());
    out
}

/// The thumbprint of the public key (RFC 7638), used as its `kid`.
pub(crate) fn thumbprint(public: &[u8; 32]) -> String {
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, b64(public));
    b64(&sha256(canonical.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037, appendix A.
    #[test]
    fn the_vectors_of_rfc_8037() {
        let d = unb64("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let pair = Ed25519KeyPair::from_seed_unchecked(&d).unwrap();
        let public = public_key(&pair);
        assert_eq!(b64(&public), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(thumbprint(&public), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let token = sign(&pair, &b64(br#"{"alg":"EdDSA"}"#), b"Example of Ed25519 signing");
        assert_eq!(
            token,
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
             hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt\
             9g7sVvpAr_MuM0KAg"
        );
        let (signed, _, _, signature) = split(&token).unwrap();
        assert!(verify(&public, signed, signature));
        assert!(!verify(&public, &signed[1..], signature));
    }
}
