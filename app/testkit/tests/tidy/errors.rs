//! Every error code: one meaning in the whole system, and told in `docs/errors.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::source::{arms, block, literals, variants};
use super::{none, root, texts};

/// A code as one crate uses it.
#[derive(Clone, Debug, PartialEq)]
struct Code {
    code: String,
    /// As in `extensions.kind`, or an HTTP status where an edge refuses before it knows more.
    kind: String,
    from: String,
    message: String,
}

fn shout(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_uppercase());
    }
    out
}

/// The crate of a source file, by its folder.
fn krate(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["modules", module, _, ..] => module.to_owned(),
        ["edge" | "platform", name, ..] => name.to_owned(),
        _ => parts[0].to_owned(),
    }
}

/// The codes of the enums that implement `Fault` in a file.
fn faults(path: &str, text: &str) -> Vec<Code> {
    let mut found = Vec::new();
    for implementation in text.split("impl Fault for ").skip(1) {
        let name = implementation.split([' ', '{']).next().unwrap_or("");
        let body = block(implementation, name).unwrap_or_else(|| panic!("{path}: {name}"));
        let enumeration = block(text, &format!("pub enum {name}"))
            .unwrap_or_else(|| panic!("{path}: the enum {name} is not in this file"));
        let variants = variants(enumeration);
        let kinds = arms(block(body, "fn kind").unwrap());
        for (names, given) in arms(block(body, "fn code").unwrap()) {
            let Some(code) = given.strip_prefix('"').and_then(|g| g.strip_suffix('"')) else {
                // Passes on the code of the error that it wraps.
                assert!(given.ends_with(".code()"), "{path}: {name}: `{given}`");
                continue;
            };
            for variant in &names {
                let variant = variants
                    .iter()
                    .find(|v| v.name == *variant)
                    .unwrap_or_else(|| panic!("{path}: {name} has no {variant}"));
                let kind = kinds
                    .iter()
                    .find(|(names, _)| names.contains(&variant.name))
                    .or_else(|| kinds.iter().find(|(names, _)| names.contains(&"_".to_owned())))
                    .map(|(_, given)| given.trim_start_matches("ErrorKind::"))
                    .unwrap_or_else(|| panic!("{path}: {name}::{} has no kind", variant.name));
                // A text that is all placeholder says nothing here; the doc comment does.
                let message = match &variant.message {
                    Some(text) if !(text.starts_with('{') && text.ends_with('}')) => text.clone(),
                    _ => format!("*{}*", variant.doc.trim_end_matches('.')),
                };
                found.push(Code {
                    code: code.to_owned(),
                    kind: shout(kind),
                    from: krate(path),
                    message,
                });
            }
        }
    }
    found
}

/// The codes that an edge gives by itself: the literals in calls of its few refusing functions.
fn refusals(path: &str, text: &str) -> Vec<Code> {
    let literals = literals(text);
    let mut found = Vec::new();
    for (index, (at, code)) in literals.iter().enumerate() {
        let shouted = code.contains('_')
            && code.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        if !shouted {
            continue;
        }
        let start = text.floor_char_boundary(at.saturating_sub(90));
        let before = &text[start..*at];
        let opened = ["invalid(", "refusal(", "bad(", "document(", ".set(\"code\","]
            .into_iter()
            .filter_map(|opener| before.rfind(opener).map(|place| (start + place, opener)))
            .filter(|(place, _)| place + call(&text[*place..]) > *at)
            .max();
        let Some((place, opener)) = opened else {
            // A kind's name, or a code whose kind stands right beside it.
            if code != "NOT_FOUND" {
                let kind = kind_beside(&text[*at..])
                    .unwrap_or_else(|| panic!("{path}: no kind is told beside the code {code}"));
                found.push(Code {
                    code: code.clone(),
                    kind,
                    from: krate(path),
                    message: UNTOLD.into(),
                });
            }
            continue;
        };
        let end = place + call(&text[place..]);
        let inside = literals[index + 1..].iter().take_while(|(at, _)| *at < end).last();
        let is_sentence = |text: &str| text.contains(' ');
        let (kind, message) = match opener {
            "invalid(" => ("INVALID".to_owned(), inside.filter(|(_, text)| is_sentence(text))),
            // `set` follows at once upon the error's text.
            ".set(\"code\"," => {
                let after = &text[end..text.floor_char_boundary(end + 90)];
                let named = after.split("ErrorKind::").nth(1).map(|rest| {
                    shout(&rest.chars().take_while(|c| c.is_alphabetic()).collect::<String>())
                });
                let made = text[..place].rfind("Error::new(").unwrap_or(0);
                let made = literals[..index].iter().find(|(at, text)| {
                    *at > made && *at < made + 40 && place - made < 250 && is_sentence(text)
                });
                (named.unwrap_or_else(|| "INVALID".to_owned()), made)
            }
            "bad(" => (http("BAD_REQUEST"), inside),
            _ => {
                let status = before.rsplit("StatusCode::").next().unwrap_or("");
                let status: String =
                    status.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
                // A long text stands in a variable on the line before.
                let made = || literals[..index].iter().rev().find(|(_, text)| is_sentence(text));
                (http(&status), inside.or_else(made))
            }
        };
        let message = message.map_or(UNTOLD.to_owned(), |(_, text)| text.clone());
        found.push(Code { code: code.clone(), kind, from: krate(path), message });
    }
    found
}

/// What stands for a message that is made when it happens.
const UNTOLD: &str = "*The message says what*";

/// The kind that is set within a few lines after a code.
fn kind_beside(text: &str) -> Option<String> {
    let near = &text[..text.floor_char_boundary(400)];
    let (_, rest) = near.split_once("\"kind\"")?;
    literals(rest).into_iter().map(|(_, kind)| kind).next()
}

/// The length of a call, from its name to its closing bracket.
fn call(text: &str) -> usize {
    let mut depth = 0usize;
    let mut in_text = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => in_text = !in_text,
            '(' if !in_text => depth += 1,
            ')' if !in_text && depth <= 1 => return at,
            ')' if !in_text => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

fn http(name: &str) -> String {
    let number = match name {
        "OK" => 200,
        "BAD_REQUEST" => 400,
        "NOT_FOUND" => return "NOT_FOUND".to_owned(),
        "METHOD_NOT_ALLOWED" => 405,
        "NOT_ACCEPTABLE" => 406,
        "PAYLOAD_TOO_LARGE" => 413,
        "UNSUPPORTED_MEDIA_TYPE" => 415,
        other => panic!("no number is known for the status `{other}`; add it here"),
    };
    format!("HTTP {number}")
}

fn codes() -> Vec<Code> {
    let source = |path: &str| path.ends_with(".rs") && path.contains("src/");
    let mut found = Vec::new();
    for (path, text) in
        texts(|p| source(p) && (p.starts_with("modules/") || p.starts_with("platform/")))
    {
        found.extend(faults(&path, &text));
    }
    assert!(found.len() > 60, "only {} codes were found", found.len());
    for (path, text) in texts(|p| source(p) && p.starts_with("edge/")) {
        let shipped = text.split("#[cfg(test)]").next().unwrap_or("");
        found.extend(refusals(&path, shipped));
    }
    found
}

/// Codes that mean two things: the kind decides what a client does, so it must be one.
fn clashes(codes: &[Code]) -> Vec<String> {
    let mut seen: BTreeMap<&str, &Code> = BTreeMap::new();
    let mut findings = Vec::new();
    for code in codes {
        let first = seen.entry(&code.code).or_insert(code);
        // An edge's own refusal has a status, not a kind.
        let both_kinds = !first.kind.starts_with("HTTP") && !code.kind.starts_with("HTTP");
        if both_kinds && first.kind != code.kind {
            findings.push(format!(
                "{}: {} in {} but {} in {}",
                code.code, first.kind, first.from, code.kind, code.from
            ));
        }
    }
    findings
}

#[test]
fn a_code_means_one_thing() {
    none(&clashes(&codes()));
}

#[test]
fn codes_are_well_formed() {
    let findings: Vec<String> = codes()
        .into_iter()
        .filter(|c| {
            let shouted =
                c.code.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            !shouted || c.code.len() < 4
        })
        .map(|c| format!("{} in {}", c.code, c.from))
        .collect();
    none(&findings);
}

#[test]
fn the_checker_finds_clashes() {
    let code = |kind: &str, from: &str| Code {
        code: "TOO_LATE".into(),
        kind: kind.into(),
        from: from.into(),
        message: String::new(),
    };
    assert!(clashes(&[code("CONFLICT", "a"), code("CONFLICT", "b")]).is_empty());
    assert!(clashes(&[code("CONFLICT", "a"), code("HTTP 400", "b")]).is_empty());
    assert_eq!(clashes(&[code("CONFLICT", "a"), code("INVALID", "b")]).len(), 1);
}

const HEAD: &str = "# Error codes

<!-- Made from the source by app/testkit/tests/tidy/errors.rs; run it with UPDATE=1 to renew. -->

Every refusal has a stable code. Programs look at the code; people read the message, which says
what to do. The kind tells what a program can do about it:

| Kind | HTTP status | What to do |
|---|---|---|
| `NOT_FOUND` | 404 | It is not there, or not for you to see. |
| `CONFLICT` | 409 | It clashes with what is so already. Load it again, then decide. |
| `INVALID` | 400 | The input is wrong; `field` says where. |
| `DENIED` | 403 | You are known, and may not do this. |
| `UNAUTHENTICATED` | 401 | Log in, or refresh the token. |
| `EXHAUSTED` | 429 | Too much or too often. Come back after `retryAfterS` or `Retry-After`. |
| `UNAVAILABLE` | 503 | A part or a provider does not answer now. The same call may work later. |
| `INTERNAL` | 500 | Our fault. Give the request id to whoever runs the shop. |

Where a code appears:

- GraphQL: in `errors[].extensions`, with `kind`, `field`, `retryAfterS` and `requestId`.
- Other HTTP routes: an `application/problem+json` document with the status above and `code`.
- The game socket: an `error` message, see [play-protocol.md](play-protocol.md).

An entry such as `HTTP 415` in place of a kind is a request that was refused before it was
understood. Texts in italics describe the case, because its message is made when it happens.
`{…}` in a message stands for a value.

";

/// What a code's uses say, each thing once.
fn join(uses: &[&Code], of: &dyn Fn(&Code) -> String, with: &str) -> String {
    let mut seen = BTreeSet::new();
    let different: Vec<String> =
        uses.iter().map(|c| of(c)).filter(|text| seen.insert(text.clone())).collect();
    different.join(with)
}

fn document(codes: &[Code]) -> String {
    let mut by_code: BTreeMap<&str, Vec<&Code>> = BTreeMap::new();
    for code in codes {
        by_code.entry(&code.code).or_default().push(code);
    }
    let mut out = HEAD.to_owned();
    let _ = writeln!(out, "## The {} codes\n", by_code.len());
    out.push_str("| Code | Kind | From | Message |\n|---|---|---|---|\n");
    for (code, mut uses) in by_code {
        let kind = join(&uses, &|c| c.kind.clone(), ", ");
        let from = join(&uses, &|c| c.from.clone(), ", ");
        let message = match code {
            // The text of `mela_base::Internal`, the same for all.
            "INTERNAL" => {
                "something went wrong on our side; try again, and give the request id to \
                           support if it stays"
                    .to_owned()
            }
            _ => {
                let told = uses.iter().any(|c| c.message != UNTOLD);
                uses.retain(|c| !told || c.message != UNTOLD);
                join(&uses, &|c| c.message.replace('|', "\\|"), " <br> ")
            }
        };
        let _ = writeln!(out, "| `{code}` | {kind} | {from} | {message} |");
    }
    out
}

#[test]
fn the_list_in_the_docs_is_current() {
    let path = root().join("docs/errors.md");
    let now = document(&codes());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == now,
        "docs/errors.md is stale; renew it with `UPDATE=1 cargo test -p mela-testkit --test tidy`"
    );
}

#[test]
fn every_way_to_refuse_at_an_edge_is_read() {
    let text = r#"
fn a() { invalid("NOT_GOOD", "field", "write it otherwise") }
fn b() { bad("NO_QUERY", &format!("`{name}` is missing")) }
fn c() {
    let text = "send it by POST".to_owned();
    refusal(StatusCode::METHOD_NOT_ALLOWED, "NO_METHOD", text)
}
fn d() {
    let code = if heavy { "TOO_HEAVY" } else { "NO_ARGUMENT" };
    e.set("code", code);
    e.set("kind", "INVALID");
}
"#;
    let found: Vec<[String; 3]> = refusals("edge/gql/src/x.rs", text)
        .into_iter()
        .map(|c| [c.code, c.kind, c.message])
        .collect();
    assert_eq!(
        found,
        [
            ["NOT_GOOD", "INVALID", "write it otherwise"],
            ["NO_QUERY", "HTTP 400", "`{name}` is missing"],
            ["NO_METHOD", "HTTP 405", "send it by POST"],
            ["TOO_HEAVY", "INVALID", UNTOLD],
            ["NO_ARGUMENT", "INVALID", UNTOLD],
        ]
    );
}
