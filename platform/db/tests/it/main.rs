//! The same behaviour on both engines.

#![allow(clippy::unwrap_used)]

mod group;
mod migrations;
mod postgres;
mod statements;
mod transactions;

use mela_db::{Migration, MigrationSet, Sql};

pub(crate) const SET: MigrationSet = MigrationSet {
    module: "test",
    migrations: &[Migration::new(
        "001_init",
        "CREATE TABLE pot (
            id ID PRIMARY KEY,
            name TEXT NOT NULL,
            kind TEXT NOT NULL DEFAULT 'tea',
            n BIGINT NOT NULL CONSTRAINT pot_n_not_negative CHECK (n >= 0)
        );
        CREATE UNIQUE INDEX pot_name ON pot (name, kind);
        CREATE TABLE lid (
            pot_id ID NOT NULL REFERENCES pot (id),
            colour TEXT NOT NULL UNIQUE,
            PRIMARY KEY (pot_id, colour)
        );
        CREATE TABLE anything (
            k BIGINT PRIMARY KEY, b BOOL, i BIGINT, r REAL, t TEXT, y BYTES, d ID, z INSTANT, j JSON
        );",
    )],
};

pub(crate) const POT_ADD: Sql =
    Sql::new("test.pot_add", "INSERT INTO pot (id, name, n) VALUES (?1, ?2, ?3)");
pub(crate) const POT_N: Sql = Sql::new("test.pot_n", "SELECT n FROM pot WHERE name = ?1");
pub(crate) const POT_PLUS: Sql =
    Sql::new("test.pot_plus", "UPDATE pot SET n = n + ?2 WHERE name = ?1");
pub(crate) const POT_COUNT: Sql = Sql::new("test.pot_count", "SELECT count(*) FROM pot");
