//! Passwords of staff: argon2id, kept as PHC strings. About 30 ms of work by design, so callers run
//! these functions on a blocking thread.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use mela_base::Env;

use crate::{CryptoError, ct_eq};

/// 19 MiB, two passes, one lane: OWASP's first recommendation.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// A stored hash that asks for more than this was not made by us.
const MAX_MEMORY_KIB: u32 = 262_144;
const MAX_PASSES: u32 = 16;

/// The longest password that is looked at, in bytes.
pub const MAX_LEN: usize = 1_024;

/// The PHC string (`$argon2id$v=19$m=19456,t=2,p=1$…`) to store for `password`.
pub fn hash(env: &Env, password: &str) -> Result<String, CryptoError> {
    let salt: [u8; 16] = env.random();
    let digest = digest(MEMORY_KIB, PASSES, LANES, password, &salt)
        .ok_or_else(|| CryptoError::Key(format!("a password has at most {MAX_LEN} bytes")))?;
    Ok(format!(
        "$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${}${}",
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(digest)
    ))
}

/// True if `password` is the one that `phc` was made of. A malformed `phc` fits nothing.
pub fn verify(password: &str, phc: &str) -> bool {
    check(password, phc).unwrap_or(false)
}

/// The work of [`verify`] for a user that does not exist, so that the answer's time does not tell.
/// Always false.
pub fn verify_dummy(password: &str) -> bool {
    let _ = std::hint::black_box(digest(MEMORY_KIB, PASSES, LANES, password, b"no such user ever"));
    false
}

fn check(password: &str, phc: &str) -> Option<bool> {
    let mut parts = phc.strip_prefix("$argon2id$v=19$")?.split('$');
    let (params, salt, expected) = (parts.next()?, parts.next()?, parts.next()?);
    let mut params = params.split(',');
    let mut number = |name: &str| params.next()?.strip_prefix(name)?.parse::<u32>().ok();
    let (memory, passes, lanes) = (number("m=")?, number("t=")?, number("p=")?);
    if parts.next().is_some() || memory > MAX_MEMORY_KIB || passes > MAX_PASSES || lanes > 4 {
        return None;
    }
    let salt = STANDARD_NO_PAD.decode(salt).ok()?;
    let expected = STANDARD_NO_PAD.decode(expected).ok()?;
    Some(ct_eq(&digest(memory, passes, lanes, password, &salt)?, &expected))
}

fn digest(memory: u32, passes: u32, lanes: u32, password: &str, salt: &[u8]) -> Option<[u8; 32]> {
    if password.len() > MAX_LEN {
        return None;
    }
    let params = Params::new(memory, passes, lanes, Some(32)).ok()?;
    let mut out = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, &mut out)
        .ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_and_wrong() {
        let phc = hash(&Env::system(), "correct horse").unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(verify("correct horse", &phc));
        assert!(!verify("correct horsf", &phc));
        assert!(!verify_dummy("correct horse"));
        assert_ne!(phc, hash(&Env::system(), "correct horse").unwrap());
        assert!(hash(&Env::system(), &"x".repeat(MAX_LEN + 1)).is_err());
    }

    /// Made by the reference implementation's command line tool, so that hashes can be carried over.
    #[test]
    fn reads_other_peoples_hashes() {
        let phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(verify("password", phc));
    }

    #[test]
    fn garbage_fits_nothing_and_costs_nothing() {
        for bad in [
            "",
            "$",
            "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$aaaa",
            "$argon2i$v=19$m=8,t=1,p=1$a$a",
            "$argon2id$v=19$t=2,m=8,p=1$c29tZXNhbHQ$aaaa",
        ] {
            assert!(!verify("password", bad), "{bad}");
        }
    }
}
