//! Configuration: `mela.toml`, then environment variables, then flags; the last one wins.
//!
//! Nothing has to be set: without any file Mela starts in development mode on a loopback address,
//! with SQLite in `./mela-data` and every provider simulated. What is set is checked strictly, and
//! every mistake is reported at once with its place and with what would be right.
//!
//! - In the file, a setting is `name = value` under its `[section]`.
//! - In the environment it is `MELA_<SECTION>_<NAME>`: `database.url` is `MELA_DATABASE_URL`.
//!   A list is separated by commas.
//! - As a flag it is `--set section.name=value`.
//!
//! All settings stand in one table (`settings.rs`), from which the typed structs, the checks, the
//! printed configuration and `docs/configuration.md` all come.

mod check;
mod load;
mod rule;
mod settings;

pub use load::{ConfigError, Inputs, Problem};
pub use mela_crypto::Secret;
pub use settings::{
    CoinsConfig, Config, DataConfig, DatabaseConfig, LimitsConfig, LogConfig, LogFormat,
    MailConfig, MetricsConfig, Mode, RazorpayConfig, Role, SecurityConfig, ServerConfig,
    ShippingConfig, ShipwayConfig, ShopConfig, SmsConfig, Switch,
};

use mela_base::Env;
use mela_crypto::{CryptoError, KeyFile, Keyring, MasterKey};

use rule::Kind;

/// The master keys as they were opened, and the key file if one was used.
#[derive(Debug)]
pub struct OpenedKeys {
    /// Current and previous master key.
    pub keyring: Keyring,
    /// What is to be told about the key file: that it was made now, that others may read it.
    pub file: Option<KeyFile>,
}

impl SecurityConfig {
    /// The master keys: those set, or that of the key file, which is made if there is none.
    pub fn open_keys(&self, env: &Env) -> Result<OpenedKeys, CryptoError> {
        let given =
            |text: &Secret| (!text.is_empty()).then(|| MasterKey::parse(text.expose())).transpose();
        let (current, file) = match given(&self.master_key)? {
            Some(key) => (key, None),
            None => {
                let file = MasterKey::load_or_create(&self.master_key_file, env)?;
                (file.key.clone(), Some(file))
            }
        };
        Ok(OpenedKeys { keyring: Keyring::new(current, given(&self.master_key_previous)?)?, file })
    }
}

impl Config {
    /// Reads, merges and checks everything.
    pub fn load(inputs: &Inputs) -> Result<Self, ConfigError> {
        load::load(inputs)
    }

    /// All settings as they are in effect, as TOML: secrets masked, and behind each value where it
    /// came from.
    pub fn effective_toml(&self) -> &str {
        &self.effective
    }

    /// True in production mode.
    pub fn is_production(&self) -> bool {
        self.mode == Mode::Production
    }
}

/// The reference of all settings, in Markdown; kept as `docs/configuration.md`.
pub fn reference_markdown() -> String {
    use std::fmt::Write as _;
    let mut out = String::from(
        "# Configuration\n\n\
         <!-- Made from platform/config/src/settings.rs by its test; run it with UPDATE=1 to renew. -->\n\n\
         Nothing has to be set. Settings come from `mela.toml` (or the file that `--config` or\n\
         `MELA_CONFIG` names), then from environment variables, then from flags; the last one wins.\n\
         The variable of `section.name` is `MELA_SECTION_NAME`, its flag is `--set section.name=value`;\n\
         lists are separated by commas there. `mela config` prints what is in effect and where each\n\
         value came from. Unknown or wrong settings stop the start with their line and what would be\n\
         right.\n\n\
         Settings marked **P** have no usable default in production: with `mode = \"production\"` they\n\
         must be set, and addresses of providers must be `https` and not on this machine.\n",
    );
    let mut section = None;
    for s in settings::SETTINGS {
        if section != Some(s.section) {
            section = Some(s.section);
            let heading = if s.section.is_empty() {
                "Top level".into()
            } else {
                format!("`[{}]`", s.section)
            };
            let _ = write!(
                out,
                "\n## {heading}\n\n{}\n\n| Setting | Default | What it is |\n|---|---|---|\n",
                settings::section_doc(s.section)
            );
        }
        let default = match s.rule.kind {
            Kind::Secret if s.default != "\"\"" => "*for simulators*".into(),
            _ if s.default == "\"\"" => "–".into(),
            _ => format!("`{}`", s.default),
        };
        let required = if s.rule.production { " **P**" } else { "" };
        let allowed = s.rule.kind.allowed().map_or(String::new(), |a| format!(" ({a})"));
        let _ = writeln!(out, "| `{}`{required} | {default} | {}{allowed} |", s.name, s.doc());
    }
    out
}
