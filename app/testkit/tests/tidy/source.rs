//! A little reading of Rust source: enough for enums and `match` arms as they are written here.

/// An enum's variant, as far as the list of errors needs it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Variant {
    pub(crate) name: String,
    /// The doc comment.
    pub(crate) doc: String,
    /// The text of `#[error("…")]`; `None` for `transparent`.
    pub(crate) message: Option<String>,
}

/// What stands between the braces that follow `head`.
pub(crate) fn block<'a>(text: &'a str, head: &str) -> Option<&'a str> {
    let start = text.find(head)? + head.len();
    let open = start + text[start..].find('{')?;
    let mut depth = 0usize;
    let mut in_text = false;
    let mut escaped = false;
    for (at, c) in text[open..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            '{' if !in_text => depth += 1,
            '}' if !in_text => {
                depth -= 1;
                if depth == 0 {
                    return Some(&text[open + 1..open + at]);
                }
            }
            _ => {}
        }
    }
    None
}

/// The string literals of a piece of code with the place where each begins.
pub(crate) fn literals(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(line) = text[at..].split_inclusive('\n').next().filter(|line| !line.is_empty()) {
        let code = line.trim_start();
        if code.starts_with("//") {
            at += line.len();
            continue;
        }
        let Some(open) = line.find('"') else {
            at += line.len();
            continue;
        };
        let start = at + open;
        // A quote as a character, not as the start of a text.
        if text[..start].ends_with('\'') {
            at = start + 1;
            continue;
        }
        let mut value = String::new();
        let mut chars = text[start + 1..].char_indices();
        let mut end = text.len();
        while let Some((offset, c)) = chars.next() {
            match c {
                '"' => {
                    end = start + 1 + offset + 1;
                    break;
                }
                '\\' => value.extend(chars.next().map(|(_, c)| c)),
                c => value.push(c),
            }
        }
        found.push((start, value));
        at = end;
    }
    found
}

/// The variants of an error enum's body.
pub(crate) fn variants(body: &str) -> Vec<Variant> {
    let mut found = Vec::new();
    let mut next = Variant::default();
    let mut depth = 0i32;
    let mut attribute: Option<String> = None;
    for line in body.lines().map(str::trim) {
        if let Some(text) = &mut attribute {
            text.push_str(line);
            text.push('\n');
        } else if depth == 0 && line.starts_with("#[error(") {
            attribute = Some(format!("{line}\n"));
        } else if depth == 0 && line.starts_with("/// ") {
            if !next.doc.is_empty() {
                next.doc.push(' ');
            }
            next.doc.push_str(&line[4..]);
        } else if !line.is_empty() && !line.starts_with("//") && !line.starts_with("#[") {
            if depth == 0 {
                next.name = line.chars().take_while(|c| c.is_alphanumeric()).collect();
                found.push(std::mem::take(&mut next));
            }
            for c in line.chars() {
                depth += i32::from("{(".contains(c)) - i32::from("})".contains(c));
            }
        }
        if let Some(text) = attribute.take() {
            if text.trim_end().ends_with(")]") {
                next.message = literals(&text).into_iter().map(|(_, value)| value).next();
            } else {
                attribute = Some(text);
            }
        }
    }
    found
}

/// The arms of the `match self` in a function's body: names of variants (`_` for the rest) and
/// what they give. A body without a match is one arm for all.
pub(crate) fn arms(body: &str) -> Vec<(Vec<String>, String)> {
    let Some(inner) = block(body, "match self") else {
        return vec![(vec!["_".to_owned()], body.trim().to_owned())];
    };
    let mut found = Vec::new();
    let mut rest = inner;
    while let Some(arrow) = rest.find("=>") {
        let names = rest[..arrow]
            .split('|')
            .map(|pattern| {
                let name = pattern.trim().trim_start_matches("Self::");
                let name: String =
                    name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                name
            })
            .filter(|name| !name.is_empty())
            .collect();
        let given = &rest[arrow + 2..];
        let end = given.find(",\n").unwrap_or(given.len());
        found.push((names, given[..end].trim().trim_end_matches(',').to_owned()));
        rest = given.get(end + 1..).unwrap_or("");
    }
    found
}

#[test]
fn reads_an_error_enum() {
    let text = r#"
pub enum E {
    /// First.
    #[error("one {a}")]
    One {
        /// Inner.
        a: i64,
    },
    /// Second
    /// goes on.
    #[error(
        "two \"quoted\""
    )]
    Two(String),
    /// Third.
    #[error(transparent)]
    Three(#[from] X),
}
impl Fault for E {
    fn code(&self) -> &'static str {
        match self {
            Self::One { .. } | Self::Two(_) => "A_B",
            Self::Three(inner) => inner.code(),
        }
    }
}
"#;
    let found = variants(block(text, "pub enum E ").unwrap());
    let names: Vec<&str> = found.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["One", "Two", "Three"]);
    assert_eq!(found[0].message.as_deref(), Some("one {a}"));
    assert_eq!(found[1].message.as_deref(), Some("two \"quoted\""));
    assert_eq!(found[1].doc, "Second goes on.");
    assert_eq!(found[2].message, None);
    let body = block(block(text, "impl Fault for E ").unwrap(), "fn code").unwrap();
    assert_eq!(
        arms(body),
        [
            (vec!["One".to_owned(), "Two".to_owned()], "\"A_B\"".to_owned()),
            (vec!["Three".to_owned()], "inner.code()".to_owned()),
        ]
    );
}
