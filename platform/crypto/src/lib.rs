//! Sealing of personal data, keyed hashes, signatures.
