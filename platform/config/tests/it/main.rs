//! Configuration through its public interface: defaults, precedence, refusals, the reference.

// Helpers of tests are tests, but clippy does not know.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use mela_base::{Env, Id};
use mela_config::{Config, ConfigError, Inputs, LogFormat, Mode, Role, reference_markdown};
use proptest::prelude::*;

fn file(text: &str) -> Inputs {
    Inputs { file: Some(("mela.toml".into(), text.into())), ..Inputs::default() }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

fn refusals(inputs: &Inputs) -> Vec<String> {
    let ConfigError(problems) = Config::load(inputs).unwrap_err();
    problems.iter().map(|p| format!("{}: {}", p.place, p.message)).collect()
}

#[test]
fn nothing_has_to_be_set() {
    let config = Config::load(&Inputs::default()).unwrap();
    assert_eq!(config.mode, Mode::Development);
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.public_url, "http://127.0.0.1:8080");
    assert_eq!(config.server.roles, [Role::Web, Role::Checkout, Role::Play, Role::Worker]);
    assert_eq!(config.database.url.expose(), "sqlite:mela-data/mela.db");
    assert_eq!(config.security.master_key_file, Path::new("mela-data/master.key"));
    assert_eq!(config.log.format, LogFormat::Pretty);
}

#[test]
fn flags_over_environment_over_file_over_default() {
    let mut inputs = file(
        "[server]\nlisten = '127.0.0.1:1'\nshutdown_grace_s = 1\n[coins]\nmax_percent_of_order = 1\n",
    );
    inputs.env = pairs(&[
        ("MELA_SERVER_LISTEN", "127.0.0.1:2"),
        ("MELA_SERVER_SHUTDOWN_GRACE_S", "2"),
        ("MELA_SERVER_ROLES", "web, play"),
        ("MELA_SHOP_SERVICE_HOST", "10.0.0.1"),
        ("MELA_PORT_8080_TCP", "tcp://10.0.0.1"),
    ]);
    inputs.flags = pairs(&[("server.listen", "127.0.0.1:3"), ("data.dir", "/tmp/x")]);
    let config = Config::load(&inputs).unwrap();
    assert_eq!(config.server.listen.port(), 3);
    assert_eq!(config.server.shutdown_grace_s, 2);
    assert_eq!(config.coins.max_percent_of_order, 1);
    assert_eq!(config.server.roles, [Role::Web, Role::Play]);
    assert_eq!(config.database.url.expose(), "sqlite:/tmp/x/mela.db");
    let shown = config.effective_toml();
    for (setting, source) in [
        ("listen = \"127.0.0.1:3\"", "# --set server.listen"),
        ("shutdown_grace_s = 2", "# MELA_SERVER_SHUTDOWN_GRACE_S"),
        ("max_percent_of_order = 1", "# mela.toml:5:24"),
        ("body_limit_kib = 256", "# default"),
    ] {
        let line =
            shown.lines().find(|l| l.starts_with(setting)).unwrap_or_else(|| panic!("{setting}"));
        assert!(line.ends_with(source), "{line}");
    }
}

#[test]
fn the_printed_configuration_is_masked_and_can_be_read_back() {
    let mut inputs = file(
        "[razorpay]\nkey_secret = 'verysecret1'\n[database]\nurl = 'postgres://me:verysecret2@db/x'",
    );
    inputs.flags =
        pairs(&[("security.master_key", &"ab".repeat(32)), ("mail.password", "verysecret3")]);
    let config = Config::load(&inputs).unwrap();
    let shown = config.effective_toml();
    assert!(
        shown.contains("key_secret = \"***\"") && shown.contains("postgres://me:***@db/x"),
        "{shown}"
    );
    for text in [shown, &format!("{config:?}")] {
        assert!(!text.contains("verysecret") && !text.contains("abab"), "{text}");
    }
    // Empty secrets stay empty, so that one sees what is not set.
    assert!(shown.contains("webhook_secret_previous = \"\""));
    let again = shown.replace("security.master_key", "").replace("master_key = \"***\"", "");
    assert!(Config::load(&file(&again)).is_ok(), "{again}");
}

#[test]
fn every_mistake_is_reported_at_its_place_with_what_would_be_right() {
    let text = "\
[server]
lisen = '127.0.0.1:80'
listen = 'localhost'
shutdown_grace_s = -1
body_limit_kib = 'big'
roles = ['web', 'wokrer']

[shop]
gstin = '27AAPFU0939F1ZX'
state_code = 7
url = 'x'

[servr]
listen = 'x'

[log]
format = 'jsn'

[razorpay]
key_secret = 12345678
base_url = 'api.razorpay.com/'
";
    let mut inputs = file(text);
    inputs.env = pairs(&[
        ("MELA_DATABASE_URI", "x"),
        ("MELA_LOG_LEVL", "x"),
        ("MELA_COINS_PAISE_PER_COIN", "ten"),
    ]);
    inputs.flags = pairs(&[("server.lisen", "x"), ("listen", "x")]);
    insta::assert_snapshot!(refusals(&inputs).join("\n"));
}

#[test]
fn broken_files_are_refused_with_their_line() {
    for (text, place) in [
        ("[server\nlisten = 1", "mela.toml:1:"),
        ("mode = \"development\"\nmode = \"production\"", "mela.toml:2:1"),
        ("[server]\nlisten = ", "mela.toml:2:"),
        ("\n\nserver = 5", "mela.toml:3:1"),
        ("listen = '127.0.0.1:1'", "mela.toml:1:1: `listen` belongs under [server]"),
        ("[[server]]\nlisten = '127.0.0.1:1'", "mela.toml:1:"),
        ("'नमस्ते' = 1\n", "mela.toml:1:1"),
    ] {
        let all = refusals(&file(text));
        assert!(all.iter().any(|r| r.starts_with(place)), "{text:?} gives {all:?}");
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    for (key, value, part) in [
        ("shop.state_code", "27", "does not fit the GSTIN"),
        ("security.master_key", "short", "64 hex digits"),
        ("mail.port", "0", "from 1 to 65535"),
        ("coins.max_percent_of_order", "91", "from 0 to 90"),
        ("shop.invoice_series", "TOOLONG", "16 characters"),
        ("data.dir", "", "not empty"),
    ] {
        let inputs = Inputs { flags: pairs(&[(key, value)]), ..Inputs::default() };
        let all = refusals(&inputs);
        assert!(all.len() == 1 && all[0].contains(part) && all[0].contains(key), "{all:?}");
        assert!(key != "security.master_key" || !all[0].contains("short"), "{all:?}");
    }
}

#[test]
fn the_master_key_comes_from_the_setting_or_from_a_file_that_is_made() {
    let env = Env::system();
    let dir = std::env::temp_dir().join(format!("mela-config-{}", env.new_id::<Id>()));
    let mut inputs =
        Inputs { flags: pairs(&[("data.dir", &dir.to_string_lossy())]), ..Inputs::default() };
    let open = |inputs: &Inputs| Config::load(inputs).unwrap().security.open_keys(&env).unwrap();
    let (first, second) = (open(&inputs), open(&inputs));
    assert!(first.file.unwrap().created && !second.file.unwrap().created);
    assert_eq!(first.keyring.current_id(), second.keyring.current_id());
    inputs.flags.push(("security.master_key".into(), "ab".repeat(32)));
    let set = open(&inputs);
    assert!(set.file.is_none() && set.keyring.current_id() != first.keyring.current_id());
    std::fs::remove_dir_all(dir).unwrap();
}

const PRODUCTION: &str = "
mode = 'production'
[server]
public_url = 'https://shop.example'
[shop]
name = 'Shop'
legal_name = 'Shop Pvt Ltd'
gstin = '27AAPFU0939F1ZV'
state_code = '27'
address = '2 Road'
city = 'Pune'
pincode = '411001'
support_email = 'help@shop.example'
vpa = 'shop@bank'
[razorpay]
base_url = 'https://api.razorpay.com'
key_id = 'rzp_live_1'
key_secret = 's1'
webhook_secret = 's2'
[shipway]
base_url = 'https://app.shipway.com'
email = 'a@shop.example'
license_key = 's3'
webhook_token = 's4'
[sms]
base_url = 'https://sms.example'
api_key = 's5'
entity_id = '1'
header = 'SHOPIN'
otp_template_id = '2'
[mail]
host = 'mail.example'
from = 'orders@shop.example'
";

#[test]
fn production_takes_no_defaults_for_secrets_and_no_simulators() {
    let config = Config::load(&file(PRODUCTION)).unwrap();
    assert!(config.is_production());

    let all = refusals(&file("mode = 'production'"));
    for key in [
        "razorpay.key_secret",
        "razorpay.base_url",
        "shop.gstin",
        "server.public_url",
        "sms.api_key",
    ] {
        assert!(all.iter().any(|r| r.contains(key)), "{key} in {all:#?}");
    }
    for (from, to, part) in [
        ("'s2'", "'simulator-webhook-secret'", "razorpay.webhook_secret must be set"),
        ("'s2'", "''", "razorpay.webhook_secret must be set"),
        ("https://api.razorpay.com", "https://127.0.0.1:9701", "not on this machine"),
        ("https://shop.example", "http://shop.example", "https"),
    ] {
        let all = refusals(&file(&PRODUCTION.replacen(from, to, 1)));
        assert!(all.len() == 1 && all[0].contains(part), "{all:?}");
    }
}

#[test]
fn the_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let made = reference_markdown();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "docs/configuration.md is not current: run this test with UPDATE=1");
}

proptest! {
    #[test]
    fn garbage_never_panics(text in "\\PC{0,200}", key in "[a-z._]{0,20}", value in "\\PC{0,40}") {
        let mut inputs = file(&text);
        inputs.env = vec![(format!("MELA_{}", key.to_uppercase()), value.clone())];
        inputs.flags = vec![(key, value)];
        let _ = Config::load(&inputs);
    }

    #[test]
    fn any_value_for_any_setting_is_taken_or_refused(
        line in 0usize..200,
        value in prop_oneof!["-?[0-9]{1,20}", "\"\\PC{0,30}\"", "true", "\\[\\]", "\\{\\}", "1.5", "2026-01-01"],
    ) {
        let shown = Config::load(&Inputs::default()).unwrap().effective_toml().to_owned();
        let mut lines: Vec<String> = shown.lines().map(str::to_owned).collect();
        let at = line % lines.len();
        if let Some((name, _)) = lines[at].clone().split_once(" = ") {
            lines[at] = format!("{name} = {value}");
        }
        if let Err(ConfigError(problems)) = Config::load(&file(&lines.join("\n"))) {
            let place = format!("mela.toml:{}:", at + 1);
            prop_assert!(problems.iter().any(|p| p.place.starts_with(&place) || p.place == "mela.toml"), "{problems:?}");
        }
    }
}
