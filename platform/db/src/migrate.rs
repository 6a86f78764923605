use mela_base::{Env, Id};

use crate::query::Conn;
use crate::{DbError, Dialect, Sql, Tx, Value};

/// The migrations of one module, in order.
#[derive(Debug, Clone, Copy)]
pub struct MigrationSet {
    /// The module's name.
    pub module: &'static str,
    /// Its migrations.
    pub migrations: &'static [Migration],
}

/// One migration: a script in the common dialect, whose type words are translated
/// (`ID INSTANT JSON BYTES BIGINT BOOL REAL TEXT`), or one per engine where they must differ.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// `001_init`.
    pub name: &'static str,
    /// The script for both engines.
    pub sql: &'static str,
    /// Replaces `sql` on SQLite.
    pub sqlite: Option<&'static str>,
    /// Replaces `sql` on Postgres.
    pub postgres: Option<&'static str>,
}

impl Migration {
    /// A migration whose script serves both engines.
    pub const fn new(name: &'static str, sql: &'static str) -> Self {
        Self { name, sql, sqlite: None, postgres: None }
    }

    /// Follows from all three texts, so that it is the same on both engines.
    fn checksum(&self) -> String {
        let parts = [self.sql, self.sqlite.unwrap_or_default(), self.postgres.unwrap_or_default()];
        Id::from_name(&parts.join("\0")).to_string()
    }
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS mela_migration (
    module TEXT NOT NULL,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at INSTANT NOT NULL,
    PRIMARY KEY (module, name)
);";
const APPLIED: Sql =
    Sql::new("db.migrations_applied", "SELECT module, name, checksum FROM mela_migration");
const APPLY: Sql = Sql::new(
    "db.migration_insert",
    "INSERT INTO mela_migration (module, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)",
);

/// Applies what is missing, all in the caller's transaction: a failure leaves nothing behind.
pub(crate) fn run(
    tx: &mut Tx<'_>,
    sets: &[MigrationSet],
    env: &Env,
) -> Result<Vec<String>, DbError> {
    let dialect = tx.dialect();
    script(tx, &translate(TABLE, dialect))?;
    let mut applied = Vec::new();
    for row in tx.all(&APPLIED, &[])? {
        applied.push((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<String>(2)?));
    }
    let mut done = Vec::new();
    for set in sets {
        let ours = applied.iter().filter(|(module, _, _)| module == set.module);
        for (module, name, checksum) in ours {
            let Some(known) = set.migrations.iter().find(|m| m.name == name) else {
                return Err(DbError::other(format_args!(
                    "the database has migration {module}/{name}, which this program does not know: it is newer than the program; run a newer version"
                )));
            };
            if known.checksum() != *checksum {
                return Err(DbError::other(format_args!(
                    "migration {module}/{name} was changed after it had been applied to this database; restore its text and write a new migration instead"
                )));
            }
        }
        for migration in set.migrations {
            if applied.iter().any(|(m, n, _)| m == set.module && n == migration.name) {
                continue;
            }
            let own = match dialect {
                Dialect::Sqlite => migration.sqlite,
                Dialect::Postgres => migration.postgres,
            };
            let text = translate(own.unwrap_or(migration.sql), dialect);
            let full = format!("{}/{}", set.module, migration.name);
            script(tx, &text)
                .map_err(|e| DbError::other(format_args!("migration {full} failed: {e}")))?;
            let params: [Value; 4] = [
                set.module.into(),
                migration.name.into(),
                migration.checksum().into(),
                env.now().into(),
            ];
            tx.exec(&APPLY, &params)?;
            done.push(full);
        }
    }
    Ok(done)
}

fn script(tx: &mut Tx<'_>, text: &str) -> Result<(), DbError> {
    match &mut tx.query.conn {
        Conn::Sqlite(c) => c.script(text),
        Conn::Postgres(c) => c.script(text),
    }
}

fn type_word(word: &str, dialect: Dialect) -> Option<&'static str> {
    let (sqlite, postgres) = match word {
        "ID" => ("BLOB", "UUID"),
        "INSTANT" => ("INTEGER", "TIMESTAMPTZ"),
        "JSON" => ("TEXT", "JSONB"),
        "BYTES" => ("BLOB", "BYTEA"),
        "BIGINT" => ("INTEGER", "BIGINT"),
        "BOOL" => ("INTEGER", "BOOLEAN"),
        "REAL" => ("REAL", "DOUBLE PRECISION"),
        _ => return None,
    };
    Some(if dialect == Dialect::Sqlite { sqlite } else { postgres })
}

/// Translates type words (whole upper-case words outside of literals, quoted names and comments,
/// which are dropped); makes tables STRICT on SQLite; drops WITHOUT ROWID on Postgres.
pub(crate) fn translate(text: &str, dialect: Dialect) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    // The statement so far, to know a CREATE TABLE at its end.
    let mut start = 0;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let piece = if rest.starts_with("--") {
            let end = rest.find('\n').unwrap_or(rest.len());
            rest = &rest[end..];
            continue;
        } else if c == '\'' || c == '"' {
            let end = rest[1..].find(c).map_or(rest.len(), |i| i + 2);
            &rest[..end]
        } else if c.is_ascii_alphanumeric() || c == '_' {
            let end =
                rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            &rest[..end]
        } else {
            &rest[..c.len_utf8()]
        };
        rest = &rest[piece.len()..];
        if piece == ";" {
            finish_table(&mut out, start, dialect);
            out.push(';');
            start = out.len();
        } else {
            out.push_str(type_word(piece, dialect).unwrap_or(piece));
        }
    }
    finish_table(&mut out, start, dialect);
    out
}

fn finish_table(out: &mut String, start: usize, dialect: Dialect) {
    const WITHOUT: &str = "WITHOUT ROWID";
    let statement = out[start..].trim();
    if !statement.starts_with("CREATE TABLE") {
        return;
    }
    let without = statement.ends_with(WITHOUT);
    let table = statement.ends_with(')');
    out.truncate(out.trim_end().len());
    match dialect {
        Dialect::Sqlite if without => out.push_str(", STRICT"),
        Dialect::Sqlite if table => out.push_str(" STRICT"),
        Dialect::Postgres if without => out.truncate(out.len() - WITHOUT.len()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translation() {
        let text = "-- an ID; of things\nCREATE TABLE t (id ID PRIMARY KEY, at INSTANT, x TEXT DEFAULT 'ID;');\nCREATE INDEX t_at ON t (at);\nCREATE TABLE u (a BIGINT, b BOOL, c JSON, d REAL, PRIMARY KEY (a)) WITHOUT ROWID;\n";
        assert_eq!(
            translate(text, Dialect::Sqlite),
            "\nCREATE TABLE t (id BLOB PRIMARY KEY, at INTEGER, x TEXT DEFAULT 'ID;') STRICT;\nCREATE INDEX t_at ON t (at);\nCREATE TABLE u (a INTEGER, b INTEGER, c TEXT, d REAL, PRIMARY KEY (a)) WITHOUT ROWID, STRICT;\n"
        );
        assert_eq!(
            translate(text, Dialect::Postgres),
            "\nCREATE TABLE t (id UUID PRIMARY KEY, at TIMESTAMPTZ, x TEXT DEFAULT 'ID;');\nCREATE INDEX t_at ON t (at);\nCREATE TABLE u (a BIGINT, b BOOLEAN, c JSONB, d DOUBLE PRECISION, PRIMARY KEY (a)) ;\n"
        );
    }
}
