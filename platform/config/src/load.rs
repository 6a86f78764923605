//! Reading, merging, checking, showing.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeString, DeTable, DeValue};
use toml::{Spanned, Table, Value};

use crate::rule::Kind;
use crate::settings::{SECTIONS, SETTINGS, Setting};
use crate::{Config, check};

/// Where settings come from. [`Inputs::default`] has none, which gives the defaults.
#[derive(Clone, Default)]
pub struct Inputs {
    /// Name and text of the file.
    pub file: Option<(String, String)>,
    /// Environment variables; only `MELA_*` are looked at.
    pub env: Vec<(String, String)>,
    /// `section.name` and value of each flag.
    pub flags: Vec<(String, String)>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `mela.toml:3:8`, `MELA_SERVER_LISTEN`, `--set server.listen`.
    pub place: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Everything that is wrong with the settings, one line each.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, p) in self.0.iter().enumerate() {
            let line = if i == 0 { "" } else { "\n" };
            write!(f, "{line}{}: {}", p.place, p.message)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigError {}

const DEFAULT_FILE: &str = "mela.toml";
const MAX_FILE: u64 = 1 << 20;

impl Inputs {
    /// The inputs of this process: the file that `config` or `MELA_CONFIG` names (which must exist)
    /// or else `mela.toml` in the current folder (which need not), the environment, and `flags`.
    pub fn of_process(
        config: Option<&Path>,
        flags: Vec<(String, String)>,
    ) -> Result<Self, ConfigError> {
        let env: Vec<_> = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v)))
            .filter(|(k, _)| k.starts_with("MELA_"))
            .map(|(k, v)| (k, v.to_string_lossy().into_owned()))
            .collect();
        let named = config.map(|p| p.to_string_lossy().into_owned()).or_else(|| {
            env.iter().find(|(k, v)| k == "MELA_CONFIG" && !v.is_empty()).map(|(_, v)| v.clone())
        });
        let path = named.as_deref().unwrap_or(DEFAULT_FILE);
        let refuse = |message: String| ConfigError(vec![Problem { place: path.into(), message }]);
        let file = match fs::metadata(path) {
            Err(e) if e.kind() == ErrorKind::NotFound && named.is_none() => None,
            Err(e) => return Err(refuse(format!("cannot read this file: {e}"))),
            Ok(m) if m.len() > MAX_FILE => {
                return Err(refuse("a configuration file has at most 1 MiB".into()));
            }
            Ok(_) => {
                let text = fs::read_to_string(path)
                    .map_err(|e| refuse(format!("cannot read this file: {e}")))?;
                Some((path.to_owned(), text))
            }
        };
        Ok(Self { file, env, flags })
    }
}

/// A value and where it came from, for messages and for `mela config`.
struct Entry {
    value: Value,
    place: String,
    is_default: bool,
}

struct Loader {
    values: HashMap<String, Entry>,
    problems: Vec<Problem>,
}

pub(crate) fn load(inputs: &Inputs) -> Result<Config, ConfigError> {
    let mut loader = Loader { values: HashMap::new(), problems: Vec::new() };
    for setting in SETTINGS {
        let value = default_of(setting);
        loader
            .values
            .insert(setting.key(), Entry { value, place: "default".into(), is_default: true });
    }
    if let Some((name, text)) = &inputs.file {
        loader.file(name, text);
    }
    for (variable, text) in &inputs.env {
        loader.variable(variable, text);
    }
    for (key, text) in &inputs.flags {
        let place = format!("--set {key}");
        match SETTINGS.iter().find(|s| s.key() == *key) {
            Some(setting) => loader.text(setting, place, text),
            None => loader.refuse(place, unknown(key, SETTINGS.iter().map(Setting::key))),
        }
    }
    loader.derive();
    loader.whole();
    loader.finish()
}

impl Loader {
    fn refuse(&mut self, place: String, message: String) {
        self.problems.push(Problem { place, message });
    }

    /// Takes a value if it is right.
    fn set(&mut self, setting: &Setting, place: String, value: Value) {
        match setting.rule.kind.check(&value, &default_of(setting)) {
            Ok(()) => {
                self.values.insert(setting.key(), Entry { value, place, is_default: false });
            }
            Err(message) => self.refuse(place, format!("{}: {message}", setting.key())),
        }
    }

    fn text(&mut self, setting: &Setting, place: String, text: &str) {
        match setting.rule.kind.read_text(text) {
            Ok(value) => self.set(setting, place, value),
            Err(message) => self.refuse(place, format!("{}: {message}", setting.key())),
        }
    }

    /// A variable that begins like a section, or is nearly the name of a setting, must be one. Others
    /// are left alone, also what container platforms set by themselves for a service `mela-shop`.
    fn variable(&mut self, variable: &str, text: &str) {
        if variable == "MELA_CONFIG" {
            return;
        }
        if let Some(setting) = SETTINGS.iter().find(|s| s.variable() == variable) {
            return self.text(setting, variable.into(), text);
        }
        let platform = ["_PORT", "_SERVICE_"].iter().any(|part| variable.contains(part));
        let ours = !platform
            && SECTIONS.iter().any(|(section, _)| {
                !section.is_empty()
                    && variable.starts_with(&format!("MELA_{}_", section.to_ascii_uppercase()))
            });
        let names = || SETTINGS.iter().map(Setting::variable);
        if ours || names().any(|n| strsim::damerau_levenshtein(&n, variable) <= 2) {
            self.refuse(variable.into(), unknown(variable, names()));
        }
    }

    fn file(&mut self, name: &str, text: &str) {
        let place = |span: Range<usize>| {
            let before = &text[..text.floor_char_boundary(span.start)];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            format!("{name}:{line}:{column}")
        };
        // Parsed twice: once for the places, once for the values.
        let (spans, values) = match (DeTable::parse(text), text.parse::<Table>()) {
            (Ok(spans), Ok(values)) => (spans, values),
            (Err(e), _) | (_, Err(e)) => {
                let place = e.span().map_or(name.to_owned(), place);
                let message = e.message().lines().collect::<Vec<_>>().join("; ");
                return self.refuse(place, message);
            }
        };
        for (key, value) in in_order(spans.get_ref()) {
            let Some(parsed) = values.get(key.get_ref().as_ref()) else { continue };
            let top = SETTINGS.iter().find(|s| s.section.is_empty() && s.name == *key.get_ref());
            let is_section = SECTIONS.iter().any(|(s, _)| !s.is_empty() && s == key.get_ref());
            match (top, is_section, value.get_ref(), parsed) {
                (Some(setting), ..) => self.set(setting, place(value.span()), parsed.clone()),
                (None, true, DeValue::Table(spans), Value::Table(values)) => {
                    self.section(key.get_ref(), spans, values, &place);
                }
                (None, true, ..) => {
                    let message = format!(
                        "`{0}` is a section; write [{0}] and its settings below",
                        key.get_ref()
                    );
                    self.refuse(place(key.span()), message);
                }
                (None, false, ..) => {
                    let names =
                        SECTIONS.iter().map(|(s, _)| (*s).to_owned()).chain(["mode".into()]);
                    let mut message = unknown(key.get_ref(), names);
                    // Right name, missing section.
                    if let Some(s) = SETTINGS.iter().find(|s| s.name == *key.get_ref()) {
                        message = format!("`{}` belongs under [{}]", s.name, s.section);
                    }
                    self.refuse(place(key.span()), message);
                }
            }
        }
    }

    fn section(
        &mut self,
        section: &str,
        spans: &DeTable<'_>,
        values: &Table,
        place: &impl Fn(Range<usize>) -> String,
    ) {
        for (key, span) in in_order(spans) {
            let Some(value) = values.get(key.get_ref().as_ref()) else { continue };
            let mut of_section = SETTINGS.iter().filter(|s| s.section == section);
            match of_section.clone().find(|s| s.name == *key.get_ref()) {
                Some(setting) => self.set(setting, place(span.span()), value.clone()),
                None => {
                    let mut message =
                        unknown(key.get_ref(), of_section.by_ref().map(|s| s.name.to_owned()));
                    if let Some(s) = SETTINGS.iter().find(|s| s.name == *key.get_ref()) {
                        let _ = write!(message, " There is one of this name: {}.", s.key());
                    }
                    self.refuse(place(key.span()), format!("[{section}] {message}"));
                }
            }
        }
    }

    /// Fills in what follows from other settings.
    fn derive(&mut self) {
        let data = self.str("data.dir").to_owned();
        let in_data = |name: &str| Path::new(&data).join(name).to_string_lossy().into_owned();
        // Who listens everywhere is reached here at least.
        let listen = self.str("server.listen").replace("0.0.0.0:", "127.0.0.1:");
        let public = format!("http://{}", listen.replace("[::]:", "[::1]:"));
        for (key, value) in [
            ("database.url", format!("sqlite:{}", in_data("mela.db"))),
            ("security.master_key_file", in_data("master.key")),
            ("server.public_url", public),
        ] {
            if let Some(entry) = self.values.get_mut(key)
                && entry.value.as_str() == Some("")
            {
                entry.value = value.into();
            }
        }
    }

    /// What only shows when all is together.
    fn whole(&mut self) {
        for key in ["security.master_key", "security.master_key_previous"] {
            if !self.str(key).is_empty() && !check::is_master_key(self.str(key)) {
                let message = format!(
                    "{key}: a master key is 64 hex digits or 32 bytes in base64; `openssl rand -hex 32` makes one"
                );
                self.refuse(self.place(key), message);
            }
        }
        let (gstin, state) = (self.str("shop.gstin"), self.str("shop.state_code"));
        if !gstin.starts_with(state) {
            let message = format!(
                "shop.state_code: `{state}` does not fit the GSTIN, which begins with {}",
                &gstin[..2]
            );
            self.refuse(self.place("shop.state_code"), message);
        }
        if self.str("mode") == "production" {
            self.production();
        }
    }

    fn production(&mut self) {
        for setting in SETTINGS {
            let key = setting.key();
            let Some(entry) = self.values.get(&key) else { continue };
            let (place, value) =
                (entry.place.clone(), entry.value.as_str().unwrap_or_default().to_owned());
            let is_default = entry.is_default || entry.value == default_of(setting);
            if setting.rule.production && (is_default || value.is_empty()) {
                let message = format!(
                    "{key} must be set in production ({}); set it in the file or as {}",
                    setting.doc().trim_end_matches('.'),
                    setting.variable()
                );
                self.refuse(place, message);
            } else if matches!(setting.rule.kind, Kind::Url) && !check::is_public_https(&value) {
                let message =
                    format!("{key}: in production this must be https and not on this machine");
                self.refuse(place, message);
            }
        }
    }

    fn str(&self, key: &str) -> &str {
        self.values.get(key).and_then(|e| e.value.as_str()).unwrap_or_default()
    }

    fn place(&self, key: &str) -> String {
        self.values.get(key).map_or_else(String::new, |e| e.place.clone())
    }

    fn finish(self) -> Result<Config, ConfigError> {
        if !self.problems.is_empty() {
            return Err(ConfigError(self.problems));
        }
        let effective = self.show();
        let mut table = Table::new();
        for setting in SETTINGS {
            let Some(entry) = self.values.get(&setting.key()) else { continue };
            let target = match setting.section {
                "" => Some(&mut table),
                section => {
                    table.entry(section).or_insert_with(|| Table::new().into()).as_table_mut()
                }
            };
            if let Some(target) = target {
                target.insert(setting.name.into(), entry.value.clone());
            }
        }
        // The checks above leave nothing for serde to refuse; if they do, say so.
        let mut config: Config = table.try_into().map_err(|e: toml::de::Error| {
            ConfigError(vec![Problem {
                place: "configuration".into(),
                message: e.message().to_owned(),
            }])
        })?;
        config.effective = effective;
        Ok(config)
    }

    fn show(&self) -> String {
        let mut out = String::new();
        let mut section = "";
        for setting in SETTINGS {
            let Some(entry) = self.values.get(&setting.key()) else { continue };
            if setting.section != section {
                section = setting.section;
                let _ = write!(out, "\n[{section}]\n");
            }
            let shown = match (setting.rule.kind, entry.value.as_str()) {
                (Kind::Secret, Some(s)) if !s.is_empty() => Value::from("***"),
                (Kind::Database, Some(url)) => check::masked_database_url(url).into(),
                _ => entry.value.clone(),
            };
            let _ =
                writeln!(out, "{:<40} # {}", format!("{} = {shown}", setting.name), entry.place);
        }
        out
    }
}

/// As they stand in the file.
fn in_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut all: Vec<_> = table.iter().collect();
    all.sort_by_key(|(key, _)| key.span().start);
    all
}

/// The value that a setting has if nobody sets it.
fn default_of(setting: &Setting) -> Value {
    // A test proves that each default is right TOML.
    format!("v = {}", setting.default)
        .parse::<Table>()
        .ok()
        .and_then(|mut t| t.remove("v"))
        .unwrap_or_else(|| Value::from(""))
}

fn unknown(name: &str, known: impl Iterator<Item = String>) -> String {
    let known: Vec<String> = known.filter(|k| !k.is_empty()).collect();
    let shown: String = name.chars().take(60).collect();
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("unknown setting `{shown}`; did you mean `{near}`?"),
        None if known.len() <= 20 => {
            format!("unknown setting `{shown}`; there are: {}.", known.join(", "))
        }
        None => format!("unknown setting `{shown}`; docs/configuration.md lists all."),
    }
}

/// The known word that is most like `word`, if one is like it at all.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 100 {
        return None;
    }
    known
        .map(|k| (strsim::damerau_levenshtein(word, k), k))
        .filter(|(distance, k)| *distance <= (k.len() / 3).clamp(1, 4))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}
