//! mela.toml + environment + flags.
