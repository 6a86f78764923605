//! The table of all settings.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::Secret;
use crate::check;
use crate::rule::{Kind, Rule, rule};

/// One row of the table.
pub(crate) struct Setting {
    /// Empty for the top level.
    pub(crate) section: &'static str,
    pub(crate) name: &'static str,
    /// TOML text.
    pub(crate) default: &'static str,
    pub(crate) rule: Rule,
    doc: &'static [&'static str],
}

impl Setting {
    /// `section.name`.
    pub(crate) fn key(&self) -> String {
        if self.section.is_empty() {
            self.name.into()
        } else {
            format!("{}.{}", self.section, self.name)
        }
    }

    /// `MELA_SECTION_NAME`.
    pub(crate) fn variable(&self) -> String {
        format!("MELA_{}", self.key().replace('.', "_").to_ascii_uppercase())
    }

    pub(crate) fn doc(&self) -> String {
        self.doc.iter().map(|l| l.trim()).collect::<Vec<_>>().join(" ")
    }
}

pub(crate) fn section_doc(section: &str) -> &'static str {
    SECTIONS.iter().find(|(name, _)| *name == section).map_or("", |(_, doc)| doc.trim())
}

/// Writes the struct of each section and its rows of the table from one description, so that the
/// documentation of a field is also that of the setting.
macro_rules! settings {
    ($(
        #[doc = $sdoc:literal]
        $section:ident : $struct:ident {
            $( $(#[doc = $doc:literal])+ $name:ident : $ty:ty = $default:literal, $rule:expr; )*
        }
    )*) => {
        $(
            #[doc = $sdoc]
            #[derive(Clone, Debug, Deserialize)]
            #[serde(deny_unknown_fields)]
            pub struct $struct {
                $( $(#[doc = $doc])+ pub $name: $ty, )*
            }
        )*

        /// Everything that can be set.
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Config {
            /// Development or production.
            pub mode: Mode,
            $( #[doc = $sdoc] pub $section: $struct, )*
            #[serde(skip)]
            pub(crate) effective: String,
        }

        pub(crate) const SECTIONS: &[(&str, &str)] = &[
            ("", " What holds for everything."),
            $( (stringify!($section), $sdoc), )*
        ];

        pub(crate) const SETTINGS: &[Setting] = &[
            Setting {
                section: "",
                name: "mode",
                default: r#""development""#,
                rule: rule(Kind::OneOf(&["development", "production"])),
                doc: &["In development providers are simulated and secrets have defaults; production refuses both."],
            },
            $($( Setting {
                section: stringify!($section),
                name: stringify!($name),
                default: $default,
                rule: $rule,
                doc: &[$($doc),+],
            }, )*)*
        ];
    };
}

/// Development or production.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everything simulated, defaults for all secrets.
    Development,
    /// Real providers; nothing may be left at a default that is public.
    Production,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Storefront and the GraphQL API.
    Web,
    /// Carts, checkout, payments and their webhooks.
    Checkout,
    /// Game sessions.
    Play,
    /// Jobs, events and schedules.
    Worker,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

const fn int(min: i64, max: i64) -> Rule {
    rule(Kind::Int(min, max))
}

const TEXT: Rule = rule(Kind::Text);
const SECRET: Rule = rule(Kind::Secret);
const URL: Rule = rule(Kind::Url);
const NAME: Rule = rule(Kind::Like(check::is_not_empty, "a text that is not empty"));
const HOST: Rule = rule(Kind::Like(check::is_host, "a host name or an IP address"));
const EMAIL: Rule =
    rule(Kind::Like(check::is_email, "an e-mail address such as \"help@shop.example\""));
/// ₹10 lakh: no rule about one order needs more.
const ORDER_PAISE: i64 = 100_000_000;

settings! {
    /// How the server is reached and how long it waits.
    server: ServerConfig {
        /// Address and port to listen on.
        listen: SocketAddr = r#""127.0.0.1:8080""#, rule(Kind::Address);
        /// The address under which shoppers reach the shop; empty means `http://` and `listen`.
        public_url: String = r#""""#, URL.production();
        /// How many proxies stand in front of the server, each of which adds the address it hears from to `x-forwarded-for`. With 0 that header is not believed, and limits by address count all that comes through a proxy as one caller.
        proxies: usize = "0", int(0, 8);
        /// What this process does.
        roles: Vec<Role> = r#"["web", "checkout", "play", "worker"]"#, rule(Kind::ListOf(&["web", "checkout", "play", "worker"]));
        /// How many seconds requests under way get to finish when the server is told to stop.
        shutdown_grace_s: u64 = "20", int(0, 600);
        /// The largest request body, in KiB (uploads have their own limit).
        body_limit_kib: usize = "256", int(1, 16_384);
        /// `on` keeps answers to anonymous catalogue queries ready for a few seconds; `off` computes each anew.
        answer_cache: Switch = r#""on""#, rule(Kind::OneOf(&["on", "off"]));
        /// After how many ms a request is given up.
        request_timeout_ms: u64 = "15000", int(100, 600_000);
    }

    /// Where rows are kept.
    database: DatabaseConfig {
        /// `sqlite:` and a file, or `postgres://user:password@host/name`; empty means the file `mela.db` in `data.dir`.
        url: Secret = r#""""#, rule(Kind::Database);
        /// Threads that read, on SQLite; 0 means two per core.
        readers: usize = "0", int(0, 256);
        /// Connections, on PostgreSQL.
        connections: usize = "16", int(1, 1_000);
    }

    /// Where files are kept.
    data: DataConfig {
        /// The folder for the database (SQLite), the master key, media, invoices and the search index.
        dir: PathBuf = r#""mela-data""#, NAME;
    }

    /// Keys and sessions.
    security: SecurityConfig {
        /// The master key itself: 64 hex digits or 32 bytes in base64. Prefer the environment to the file for it.
        master_key: Secret = r#""""#, rule(Kind::Secret);
        /// The file that holds the master key, made on the first start; empty means `master.key` in `data.dir`.
        master_key_file: PathBuf = r#""""#, TEXT;
        /// The master key before this one, while data is being wrapped anew.
        master_key_previous: Secret = r#""""#, rule(Kind::Secret);
        /// How many minutes an access token lives.
        access_token_minutes: u32 = "15", int(1, 60);
        /// How many days a refresh token lives after it was last used.
        refresh_token_days: u32 = "60", int(1, 365);
        /// How many minutes a one-time code can be used.
        otp_minutes: u32 = "10", int(1, 10);
        /// How many times a one-time code can be tried.
        otp_tries: u32 = "5", int(1, 5);
    }

    /// The merchant, as invoices and pages name it.
    shop: ShopConfig {
        /// What shoppers call it.
        name: String = r#""Mela""#, NAME.production();
        /// The name under which it is registered.
        legal_name: String = r#""Mela Demo Traders""#, NAME.production();
        /// Its GSTIN, with which invoices are issued.
        gstin: String = r#""29AAACM0000A1ZI""#, rule(Kind::Like(check::is_gstin, "a GSTIN: 15 characters of which the last is a check character, such as \"27AAPFU0939F1ZV\"")).production();
        /// The GST code of the state from which goods are dispatched; the first two digits of the GSTIN.
        state_code: String = r#""29""#, rule(Kind::Like(check::is_state_code, "a GST state code: two digits, such as \"29\" for Karnataka")).production();
        /// Street and house.
        address: String = r#""1 Fair Ground Road""#, NAME.production();
        /// Town.
        city: String = r#""Bengaluru""#, NAME.production();
        /// Postal code.
        pincode: String = r#""560001""#, rule(Kind::Like(check::is_pincode, "a PIN code of six digits")).production();
        /// What invoice numbers begin with; each series is counted per GSTIN and financial year.
        invoice_series: String = r#""ML""#, rule(Kind::Like(check::is_series, "1 to 4 capital letters or digits, so that a whole invoice number fits into 16 characters"));
        /// Where shoppers write to.
        support_email: String = r#""help@mela.example""#, EMAIL.production();
        /// The UPI address that the QR code on an invoice pays to.
        vpa: String = r#""mela@upi""#, rule(Kind::Like(check::is_vpa, "a UPI address such as \"shop@bank\"")).production();
    }

    /// What delivery costs.
    shipping: ShippingConfig {
        /// Charge per order, in paise.
        flat_paise: i64 = "4900", int(0, ORDER_PAISE);
        /// From this value of goods on, in paise, delivery is free; 0 means never.
        free_above_paise: i64 = "49900", int(0, ORDER_PAISE);
        /// Extra charge for cash on delivery, in paise.
        cod_fee_paise: i64 = "2900", int(0, ORDER_PAISE);
        /// The highest total, in paise, that can be paid in cash on delivery.
        cod_max_paise: i64 = "500000", int(0, ORDER_PAISE);
    }

    /// What coins are worth. They are earned by playing; there is no way to buy them or cash them out.
    coins: CoinsConfig {
        /// The largest part of an order, in percent of its goods, that coins can pay.
        max_percent_of_order: u32 = "20", int(0, 90);
        /// What a coin takes off, in paise.
        paise_per_coin: i64 = "10", int(1, 10_000);
    }

    /// The payment gateway.
    razorpay: RazorpayConfig {
        /// Where its API is.
        base_url: String = r#""http://127.0.0.1:9701""#, URL.production();
        /// Public half of the API key.
        key_id: String = r#""rzp_test_simulator01""#, NAME.production();
        /// Secret half of the API key.
        key_secret: Secret = r#""simulator-key-secret""#, SECRET.production();
        /// The secret that signs webhooks.
        webhook_secret: Secret = r#""simulator-webhook-secret""#, SECRET.production();
        /// The webhook secret before this one: webhooks sent before a change still verify.
        webhook_secret_previous: Secret = r#""""#, SECRET;
    }

    /// The shipping aggregator.
    shipway: ShipwayConfig {
        /// Where its API is.
        base_url: String = r#""http://127.0.0.1:9701/shipway/api""#, URL.production();
        /// The account's e-mail address.
        email: String = r#""demo@mela.example""#, EMAIL.production();
        /// The account's licence key.
        license_key: Secret = r#""simulator-license-key""#, SECRET.production();
        /// The secret part of the address to which tracking webhooks come, since they carry no signature.
        webhook_token: Secret = r#""simulator-webhook-token""#, SECRET.production();
    }

    /// Text messages. In India each text must match a template registered with the operators (DLT).
    sms: SmsConfig {
        /// Where the provider's API is.
        base_url: String = r#""http://127.0.0.1:9701""#, URL.production();
        /// The API key.
        api_key: Secret = r#""simulator-sms-key""#, SECRET.production();
        /// The merchant's id in the DLT registry.
        entity_id: String = r#""1201150000000000001""#, NAME.production();
        /// The registered sender, six letters.
        header: String = r#""MELAIN""#, NAME.production();
        /// The registered template of one-time codes.
        otp_template_id: String = r#""1207160000000000001""#, NAME.production();
    }

    /// Outgoing mail (SMTP).
    mail: MailConfig {
        /// The mail server.
        host: String = r#""127.0.0.1""#, HOST.production();
        /// Its port.
        port: u16 = "9725", int(1, 65_535);
        /// The sender's address.
        from: String = r#""orders@mela.example""#, EMAIL.production();
        /// The account, if the server wants one.
        username: String = r#""""#, TEXT;
        /// The account's password.
        password: Secret = r#""""#, SECRET;
    }

    /// How much one caller may ask for.
    limits: LimitsConfig {
        /// One-time codes per phone number in ten minutes.
        otp_per_number_10min: u32 = "3", int(1, 1_000);
        /// One-time codes per phone number in a day.
        otp_per_number_day: u32 = "10", int(1, 10_000);
        /// One-time codes per device in an hour.
        otp_per_device_hour: u32 = "10", int(1, 10_000);
        /// One-time codes per IP address in an hour; many shoppers share one behind a mobile network.
        otp_per_ip_hour: u32 = "60", int(1, 1_000_000);
        /// How deep a GraphQL query may nest.
        graphql_depth: usize = "16", int(3, 50);
        /// What a GraphQL query may cost: about the number of fields it can return.
        graphql_cost: usize = "20000", int(100, 1_000_000);
    }

    /// Log lines, on standard error. They never hold personal data.
    log: LogConfig {
        /// For people or for machines.
        format: LogFormat = r#""pretty""#, rule(Kind::OneOf(&["pretty", "json"]));
        /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, also per part: `info,mela_orders=debug`.
        level: String = r#""info""#, NAME;
    }

    /// Figures for Prometheus.
    metrics: MetricsConfig {
        /// Address and port of `/metrics`; empty means the server's own.
        listen: String = r#""""#, rule(Kind::Address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_variables_are_unique() {
        let mut names: Vec<_> = SETTINGS.iter().map(Setting::variable).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
