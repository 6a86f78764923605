//! The SQL of play.

use mela_base::Timestamp;
use mela_base::ids::{MatchId, PersonId};
use mela_db::{DbError, Migration, MigrationSet, Query, Row, Sql, Tx, params};

/// Tables of play.
pub const MIGRATIONS: MigrationSet = MigrationSet {
    module: "play",
    migrations: &[Migration {
        name: "001_init",
        sql: include_str!("migrations/001_init.sql"),
        sqlite: None,
        postgres: None,
    }],
};

const MATCH_INSERT: Sql = Sql::new(
    "play.match_insert",
    "INSERT INTO play_match (id, game, state, snapshot, started_at, lease_until)
     VALUES (?1, ?2, 'running', ?3, ?4, ?5)",
);
const MATCH_SNAPSHOT: Sql = Sql::new(
    "play.match_snapshot",
    "UPDATE play_match SET snapshot = ?2, lease_until = ?3 WHERE id = ?1 AND state = 'running'",
);
const MATCH_FINISH: Sql = Sql::new(
    "play.match_finish",
    "UPDATE play_match SET state = 'finished', snapshot = ?2 WHERE id = ?1 AND state = 'running'",
);
const MATCH_ORPHANS: Sql = Sql::new(
    "play.match_orphans",
    "SELECT id, game, snapshot FROM play_match
     WHERE state = 'running' AND lease_until < ?1 ORDER BY lease_until LIMIT 100",
);
const MATCH_RESULT: Sql = Sql::new(
    "play.match_result",
    "SELECT m.snapshot FROM play_match m JOIN play_result r ON r.match_id = m.id
     WHERE m.id = ?1 AND r.person_id = ?2 AND m.state = 'finished'",
);
const RESULT_INSERT: Sql = Sql::new(
    "play.result_insert",
    "INSERT INTO play_result (match_id, person_id, game, score, coins, day, at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (match_id, person_id) DO NOTHING",
);
const COINS_OF_DAY: Sql = Sql::new(
    "play.coins_of_day",
    "SELECT CAST(COALESCE(SUM(coins), 0) AS BIGINT) FROM play_result WHERE person_id = ?1 AND day = ?2",
);
const SCORE_ADD: Sql = Sql::new(
    "play.score_add",
    "INSERT INTO play_score (game, span, person_id, score, reached_at) VALUES (?1, ?2, ?3, ?4, ?5)
     ON CONFLICT (game, span, person_id)
     DO UPDATE SET score = play_score.score + excluded.score, reached_at = excluded.reached_at",
);
const SCORE_TOP: Sql = Sql::new(
    "play.score_top",
    "SELECT s.person_id, s.score, s.reached_at, n.nickname FROM play_score s
     LEFT JOIN play_nickname n ON n.person_id = s.person_id
     WHERE s.game = ?1 AND s.span = ?2
     ORDER BY s.score DESC, s.reached_at, s.person_id LIMIT ?3",
);
const SCORE_ONE: Sql = Sql::new(
    "play.score_one",
    "SELECT s.person_id, s.score, s.reached_at, n.nickname FROM play_score s
     LEFT JOIN play_nickname n ON n.person_id = s.person_id
     WHERE s.game = ?1 AND s.span = ?2 AND s.person_id = ?3",
);
const SCORE_BETTER_COUNT: Sql = Sql::new(
    "play.score_better_count",
    "SELECT COUNT(*) FROM play_score WHERE game = ?1 AND span = ?2
     AND (score > ?3 OR (score = ?3 AND (reached_at, person_id) < (?4, ?5)))",
);
const SCORE_ABOVE: Sql = Sql::new(
    "play.score_above",
    "SELECT s.person_id, s.score, s.reached_at, n.nickname FROM play_score s
     LEFT JOIN play_nickname n ON n.person_id = s.person_id
     WHERE s.game = ?1 AND s.span = ?2
     AND (s.score > ?3 OR (s.score = ?3 AND (s.reached_at, s.person_id) < (?4, ?5)))
     ORDER BY s.score, s.reached_at DESC, s.person_id DESC LIMIT ?6",
);
const SCORE_BELOW: Sql = Sql::new(
    "play.score_below",
    "SELECT s.person_id, s.score, s.reached_at, n.nickname FROM play_score s
     LEFT JOIN play_nickname n ON n.person_id = s.person_id
     WHERE s.game = ?1 AND s.span = ?2
     AND (s.score < ?3 OR (s.score = ?3 AND (s.reached_at, s.person_id) > (?4, ?5)))
     ORDER BY s.score DESC, s.reached_at, s.person_id LIMIT ?6",
);
const SCORE_TOTAL: Sql =
    Sql::new("play.score_total", "SELECT COUNT(*) FROM play_score WHERE game = ?1 AND span = ?2");
const SCORES_OF: Sql = Sql::new(
    "play.scores_of",
    "SELECT game, span, score, reached_at FROM play_score WHERE person_id = ?1",
);
const SCORES_DELETE: Sql =
    Sql::new("play.scores_delete", "DELETE FROM play_score WHERE person_id = ?1");
const RESULTS_MOVE: Sql = Sql::new(
    "play.results_move",
    "UPDATE play_result SET person_id = ?2 WHERE person_id = ?1
     AND match_id NOT IN (SELECT match_id FROM play_result WHERE person_id = ?2)",
);
const NICKNAME: Sql =
    Sql::new("play.nickname", "SELECT nickname FROM play_nickname WHERE person_id = ?1");
const NICKNAME_SET: Sql = Sql::new(
    "play.nickname_set",
    "INSERT INTO play_nickname (person_id, nickname) VALUES (?1, ?2)
     ON CONFLICT (person_id) DO UPDATE SET nickname = excluded.nickname",
);
/// Every statement, for the test that prepares them on both engines.
pub const STATEMENTS: &[&Sql] = &[
    &MATCH_INSERT,
    &MATCH_SNAPSHOT,
    &MATCH_FINISH,
    &MATCH_ORPHANS,
    &MATCH_RESULT,
    &RESULT_INSERT,
    &COINS_OF_DAY,
    &SCORE_ADD,
    &SCORE_TOP,
    &SCORE_ONE,
    &SCORE_BETTER_COUNT,
    &SCORE_ABOVE,
    &SCORE_BELOW,
    &SCORE_TOTAL,
    &SCORES_OF,
    &SCORES_DELETE,
    &RESULTS_MOVE,
    &NICKNAME,
    &NICKNAME_SET,
];

/// A row of a board.
pub(crate) struct ScoreRow {
    pub(crate) person: PersonId,
    pub(crate) score: i64,
    pub(crate) reached_at: Timestamp,
    pub(crate) nickname: Option<String>,
}

impl ScoreRow {
    fn read(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            person: row.get(0)?,
            score: row.get(1)?,
            reached_at: row.get(2)?,
            nickname: row.get(3)?,
        })
    }
}

/// Which board: a game and the time it counts.
#[derive(Clone)]
pub(crate) struct Board {
    pub(crate) game: String,
    pub(crate) span: String,
}

pub(crate) fn match_insert(
    tx: &mut Tx<'_>,
    id: MatchId,
    game: &str,
    snapshot: &serde_json::Value,
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<(), DbError> {
    tx.exec(&MATCH_INSERT, &params![id, game, snapshot.clone(), now, lease_until]).map(drop)
}

pub(crate) fn match_snapshot(
    tx: &mut Tx<'_>,
    id: MatchId,
    snapshot: &serde_json::Value,
    lease_until: Timestamp,
) -> Result<(), DbError> {
    tx.exec(&MATCH_SNAPSHOT, &params![id, snapshot.clone(), lease_until]).map(drop)
}

/// False if it was finished before.
pub(crate) fn match_finish(
    tx: &mut Tx<'_>,
    id: MatchId,
    snapshot: &serde_json::Value,
) -> Result<bool, DbError> {
    Ok(tx.exec(&MATCH_FINISH, &params![id, snapshot.clone()])? == 1)
}

/// Matches whose process is gone.
pub(crate) fn match_orphans(
    q: &mut Query<'_>,
    now: Timestamp,
) -> Result<Vec<(MatchId, String, serde_json::Value)>, DbError> {
    let rows = q.all(&MATCH_ORPHANS, &params![now])?;
    rows.iter().map(|r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).collect()
}

/// The final snapshot of a match that the person played in.
pub(crate) fn match_result(
    q: &mut Query<'_>,
    id: MatchId,
    person: PersonId,
) -> Result<Option<serde_json::Value>, DbError> {
    q.opt(&MATCH_RESULT, &params![id, person])?.map(|r| r.get(0)).transpose()
}

/// What a person got out of a match.
pub(crate) struct ResultRow<'a> {
    pub(crate) match_id: MatchId,
    pub(crate) person: PersonId,
    pub(crate) game: &'a str,
    pub(crate) score: i64,
    pub(crate) coins: i64,
    pub(crate) day: &'a str,
    pub(crate) at: Timestamp,
}

/// False if it was written before.
pub(crate) fn result_insert(tx: &mut Tx<'_>, r: &ResultRow<'_>) -> Result<bool, DbError> {
    let values = params![r.match_id, r.person, r.game, r.score, r.coins, r.day, r.at];
    Ok(tx.exec(&RESULT_INSERT, &values)? == 1)
}

pub(crate) fn coins_of_day(q: &mut Query<'_>, person: PersonId, day: &str) -> Result<i64, DbError> {
    q.one(&COINS_OF_DAY, &params![person, day])?.get(0)
}

pub(crate) fn score_add(
    tx: &mut Tx<'_>,
    board: &Board,
    person: PersonId,
    score: i64,
    at: Timestamp,
) -> Result<(), DbError> {
    let values = params![board.game.as_str(), board.span.as_str(), person, score, at];
    tx.exec(&SCORE_ADD, &values).map(drop)
}

pub(crate) fn top(q: &mut Query<'_>, board: &Board, limit: u32) -> Result<Vec<ScoreRow>, DbError> {
    let values = params![board.game.as_str(), board.span.as_str(), limit];
    q.all(&SCORE_TOP, &values)?.iter().map(ScoreRow::read).collect()
}

pub(crate) fn one(
    q: &mut Query<'_>,
    board: &Board,
    person: PersonId,
) -> Result<Option<ScoreRow>, DbError> {
    let values = params![board.game.as_str(), board.span.as_str(), person];
    q.opt(&SCORE_ONE, &values)?.as_ref().map(ScoreRow::read).transpose()
}

/// How many stand before `row`.
pub(crate) fn better(q: &mut Query<'_>, board: &Board, row: &ScoreRow) -> Result<i64, DbError> {
    let values =
        params![board.game.as_str(), board.span.as_str(), row.score, row.reached_at, row.person];
    q.one(&SCORE_BETTER_COUNT, &values)?.get(0)
}

/// Up to `n` rows before and after `row`, each nearest first.
pub(crate) fn around(
    q: &mut Query<'_>,
    board: &Board,
    row: &ScoreRow,
    n: u32,
) -> Result<(Vec<ScoreRow>, Vec<ScoreRow>), DbError> {
    let values =
        params![board.game.as_str(), board.span.as_str(), row.score, row.reached_at, row.person, n];
    let above =
        q.all(&SCORE_ABOVE, &values)?.iter().map(ScoreRow::read).collect::<Result<_, _>>()?;
    let below =
        q.all(&SCORE_BELOW, &values)?.iter().map(ScoreRow::read).collect::<Result<_, _>>()?;
    Ok((above, below))
}

pub(crate) fn total(q: &mut Query<'_>, board: &Board) -> Result<i64, DbError> {
    q.one(&SCORE_TOTAL, &params![board.game.as_str(), board.span.as_str()])?.get(0)
}

pub(crate) fn nickname(q: &mut Query<'_>, person: PersonId) -> Result<Option<String>, DbError> {
    q.opt(&NICKNAME, &params![person])?.map(|r| r.get(0)).transpose()
}

pub(crate) fn nickname_set(tx: &mut Tx<'_>, person: PersonId, name: &str) -> Result<(), DbError> {
    tx.exec(&NICKNAME_SET, &params![person, name]).map(drop)
}

/// A guest's results, points and name follow into the account that logged in. Points are added
/// once: the guest's own rows are gone after.
pub(crate) fn merge(tx: &mut Tx<'_>, from: PersonId, to: PersonId) -> Result<(), DbError> {
    let rows = tx.all(&SCORES_OF, &params![from])?;
    for row in &rows {
        let board = Board { game: row.get(0)?, span: row.get(1)? };
        score_add(tx, &board, to, row.get(2)?, row.get(3)?)?;
    }
    tx.exec(&SCORES_DELETE, &params![from])?;
    tx.exec(&RESULTS_MOVE, &params![from, to])?;
    if nickname(tx, to)?.is_none()
        && let Some(name) = nickname(tx, from)?
    {
        nickname_set(tx, to, &name)?;
    }
    Ok(())
}
