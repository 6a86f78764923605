use std::collections::HashSet;
use std::fmt::Write;

use crate::{Db, DbError, Dialect, Value};

/// One statement in the common dialect: placeholders `?1 ?2 …`, optionally one `{list}` or one
/// `{rows}`. A constant in a module's `store.rs`, and in that module's list of statements.
#[derive(Debug, Clone, Copy)]
pub struct Sql {
    /// `orders.order_insert`: in errors and metrics.
    pub name: &'static str,
    /// The text.
    pub text: &'static str,
}

impl Sql {
    /// A named statement.
    pub const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text }
    }
}

/// How a text is expanded before it is prepared.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    Plain,
    /// `fixed` parameters, then a list of `len`.
    List {
        fixed: usize,
        len: usize,
    },
    /// `fixed` parameters, then `rows` rows; one letter of type per column.
    Rows {
        fixed: usize,
        rows: usize,
        types: String,
    },
}

/// What a prepared statement is known by. A `&'static str` never moves and is never freed, so its
/// address stands for its text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    address: usize,
    len: usize,
    shape: Shape,
}

impl Key {
    pub(crate) fn new(sql: &Sql, shape: &Shape) -> Self {
        Self { address: sql.text.as_ptr().addr(), len: sql.text.len(), shape: shape.clone() }
    }
}

/// The letters of `{rows ID, BIGINT, TEXT}`, if the text declares its columns' types.
fn declared_types(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("{rows ")?;
    let (types, _) = rest.split_once('}')?;
    let letter = |word: &str| match word.trim() {
        "BOOL" => 'o',
        "BIGINT" => 'i',
        "REAL" => 'r',
        "TEXT" => 't',
        "BYTES" => 'b',
        "ID" => 'u',
        "INSTANT" => 'z',
        "JSON" => 'j',
        // Postgres will say what it makes of it.
        _ => 'n',
    };
    Some(types.split(',').map(letter).collect())
}

/// One letter per column: as declared, or the kind of the first value that is not NULL.
pub(crate) fn column_types(sql: &Sql, rows: &[Vec<Value>], columns: usize) -> String {
    if let Some(types) = declared_types(sql.text) {
        return types;
    }
    // One text per number of rows where the table itself tells the types.
    if sql.text.split_once("{rows").is_some_and(|(before, _)| is_insert(before)) {
        return "n".repeat(columns);
    }
    (0..columns)
        .map(|c| {
            let value = rows.iter().filter_map(|r| r.get(c)).find(|v| **v != Value::Null);
            match value {
                None | Some(Value::Null) => 'n',
                Some(Value::Bool(_)) => 'o',
                Some(Value::Int(_)) => 'i',
                Some(Value::Real(_)) => 'r',
                Some(Value::Text(_)) => 't',
                Some(Value::Bytes(_)) => 'b',
                Some(Value::Id(_)) => 'u',
                Some(Value::Time(_)) => 'z',
                Some(Value::Json(_)) => 'j',
            }
        })
        .collect()
}

fn cast(letter: char) -> &'static str {
    match letter {
        'o' => "::boolean",
        'i' => "::bigint",
        'r' => "::double precision",
        't' => "::text",
        'b' => "::bytea",
        'u' => "::uuid",
        'z' => "::timestamptz",
        'j' => "::jsonb",
        _ => "",
    }
}

/// The text for one engine and one shape.
pub(crate) fn expand(sql: &Sql, dialect: Dialect, shape: &Shape) -> Result<String, DbError> {
    let text = match shape {
        Shape::Plain => sql.text.to_owned(),
        Shape::List { fixed, len } => {
            let (before, after) = split(sql, "{list}")?;
            let bare = before.trim_end().ends_with('(') && after.trim_start().starts_with(')');
            let mut out = String::with_capacity(sql.text.len() + len * 6);
            out.push_str(before);
            out.push_str(if bare { "" } else { "(" });
            for i in 0..*len {
                let _ = write!(out, "{}?{}", if i == 0 { "" } else { "," }, fixed + i + 1);
            }
            out.push_str(if bare { "" } else { ")" });
            out.push_str(after);
            out
        }
        Shape::Rows { fixed, rows, types } => {
            let (before, rest) = split(sql, "{rows")?;
            let after = rest.split_once('}').map_or("", |(_, after)| after);
            let casts = dialect == Dialect::Postgres && !is_insert(before);
            let mut out = String::with_capacity(sql.text.len() + rows * types.len() * 6);
            out.push_str(before);
            let mut n = *fixed;
            for row in 0..*rows {
                out.push_str(if row == 0 { "(" } else { ",(" });
                for (column, letter) in types.chars().enumerate() {
                    n += 1;
                    let _ = write!(out, "{}?{n}", if column == 0 { "" } else { "," });
                    if casts && row == 0 {
                        out.push_str(cast(letter));
                    }
                }
                out.push(')');
            }
            out.push_str(after);
            out
        }
    };
    Ok(match dialect {
        Dialect::Sqlite => text,
        Dialect::Postgres => dollars(&text),
    })
}

/// Straight into a table the columns give the types; anywhere else the first row must.
fn is_insert(before: &str) -> bool {
    before.trim_end().trim_end_matches("VALUES").trim_end().ends_with(')')
}

fn split<'t>(sql: &'t Sql, mark: &str) -> Result<(&'t str, &'t str), DbError> {
    sql.text
        .split_once(mark)
        .ok_or_else(|| DbError::other(format_args!("{} has no {mark} in its text", sql.name)))
}

/// `?12` becomes `$12`, outside of string literals.
fn dollars(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            quoted = !quoted;
        }
        let placeholder = c == '?' && !quoted && chars.peek().is_some_and(char::is_ascii_digit);
        out.push(if placeholder { '$' } else { c });
    }
    out
}

/// The numbers of the placeholders, without those in string literals.
fn placeholders(text: &str) -> HashSet<usize> {
    let mut out = HashSet::new();
    for (i, part) in text.split('\'').enumerate() {
        if i % 2 == 0 {
            for after in part.split('?').skip(1) {
                let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
                // A bare `?` counts as number 0, which is refused.
                out.insert(digits.parse().unwrap_or(0));
            }
        }
    }
    out
}

/// Prepares every statement on the engine and looks at its text: no `SELECT *`, a name of its own,
/// parameters `?1 … ?n` without holes. Returns what is wrong; a module's test wants it empty.
pub fn check_statements(db: &Db, statements: &[&Sql]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut whole = Vec::new();
    let mut names = HashSet::new();
    for sql in statements {
        let mut complain = |text: &str| wrong.push(format!("{}: {text}", sql.name));
        if sql.name.is_empty() || !sql.name.contains('.') {
            complain("a statement's name is `module.what_it_does`");
        }
        if !names.insert(sql.name) {
            complain("two statements have this name");
        }
        let flat = sql.text.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase();
        if flat.contains("SELECT *") || flat.contains("RETURNING *") || flat.contains(".*") {
            complain("name the columns instead of *");
        }
        let used = placeholders(sql.text);
        if used.contains(&0) || (1..=used.len()).any(|n| !used.contains(&n)) {
            complain("parameters must be ?1 … ?n without holes");
        }
        if let Some((before, rest)) = sql.text.split_once("{rows") {
            if sql.text.contains("{list}") {
                complain("{list} and {rows} do not go together");
            }
            if !is_insert(before) && rest.starts_with('}') {
                complain("outside of INSERT the rows' types must be told: {rows ID, BIGINT, TEXT}");
                continue;
            }
        }
        whole.push(**sql);
    }
    let prepared = db.write_blocking("db.check_statements", move |tx| {
        let mut wrong = Vec::new();
        for sql in &whole {
            if let Err(error) = tx.check(sql) {
                wrong.push(format!("{}: {error}", sql.name));
            }
        }
        Ok::<_, DbError>(wrong)
    });
    match prepared {
        Ok(more) => wrong.extend(more),
        Err(error) => wrong.push(error.to_string()),
    }
    wrong
}

/// The letters of the `{rows}` of this statement for [`check_statements`]: as declared, or as many
/// as the parenthesis before `VALUES {rows}` has columns.
pub(crate) fn row_types(text: &str) -> String {
    declared_types(text).unwrap_or_else(|| {
        let before = text.split("{rows").next().unwrap_or_default();
        let values = before.trim_end().trim_end_matches("VALUES").trim_end();
        let columns = values.strip_suffix(')').and_then(|v| v.rsplit_once('('));
        "n".repeat(columns.map_or(1, |(_, columns)| columns.split(',').count()))
    })
}

/// How many fixed parameters stand beside the list or the rows.
pub(crate) fn fixed_count(text: &str) -> usize {
    placeholders(text).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(sql: &'static str, dialect: Dialect, shape: Shape) -> String {
        expand(&Sql::new("t.t", sql), dialect, &shape).unwrap()
    }

    #[test]
    fn expansion() {
        let list = Shape::List { fixed: 1, len: 2 };
        for sql in [
            "SELECT a FROM t WHERE b = ?1 AND a IN {list}",
            "SELECT a FROM t WHERE b = ?1 AND a IN ({list})",
        ] {
            assert_eq!(
                text(sql, Dialect::Postgres, list.clone()),
                "SELECT a FROM t WHERE b = $1 AND a IN ($2,$3)"
            );
        }
        let rows = Shape::Rows { fixed: 0, rows: 2, types: "ui".into() };
        assert_eq!(
            text("INSERT INTO t (a, b) VALUES {rows}", Dialect::Postgres, rows.clone()),
            "INSERT INTO t (a, b) VALUES ($1,$2),($3,$4)"
        );
        assert_eq!(
            text(
                "WITH v(a, b) AS (VALUES {rows}) UPDATE t SET b = v.b FROM v WHERE t.a = v.a",
                Dialect::Postgres,
                rows.clone()
            ),
            "WITH v(a, b) AS (VALUES ($1::uuid,$2::bigint),($3,$4)) UPDATE t SET b = v.b FROM v WHERE t.a = v.a"
        );
        assert_eq!(
            text("INSERT INTO t (a, b) VALUES {rows}", Dialect::Sqlite, rows),
            "INSERT INTO t (a, b) VALUES (?1,?2),(?3,?4)"
        );
        assert_eq!(text("SELECT '?1', ?1", Dialect::Postgres, Shape::Plain), "SELECT '?1', $1");
        assert_eq!(row_types("INSERT INTO t (a, b) VALUES {rows}"), "nn");
        assert_eq!(row_types("WITH v(a, b, c) AS (VALUES {rows ID, BIGINT,TEXT}) SELECT 1"), "uit");
    }
}
