//! Leaderboards and nicknames.

use mela_base::ids::PersonId;
use mela_db::Query;
use mela_play_api::{Leaderboard, PlayError, Rank};

use crate::store::{self, Board, ScoreRow};

/// Rows shown on each side of the caller.
const AROUND: u32 = 2;

/// The name of somebody who has not chosen one: the same every time, and says nothing.
pub(crate) fn default_nickname(person: PersonId) -> String {
    let bytes = person.0.bytes();
    format!("Player {:04}", u16::from_be_bytes([bytes[14], bytes[15]]) % 10_000)
}

/// Checks a name: 2 – 20 letters, digits, single spaces, no number that could be a phone's, and
/// nothing that is not seen.
pub(crate) fn check_nickname(name: &str) -> Result<String, PlayError> {
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let length = name.chars().count();
    let mut before = ' ';
    let signs = name.chars().all(|c| {
        let before = std::mem::replace(&mut before, c);
        c.is_alphanumeric() || is_mark(c) || c == ' ' || is_joiner(c) && is_virama(before)
    });
    let letters = name.chars().any(char::is_alphanumeric);
    let digits = name.chars().filter(|c| c.is_numeric()).count();
    if (2..=20).contains(&length) && signs && letters && digits <= 5 {
        return Ok(name);
    }
    Err(PlayError::Invalid {
        field: "nickname",
        message: "a nickname has 2 to 20 letters, spaces and at most 5 digits".to_owned(),
    })
}

/// Vowel signs and other marks that Indian scripts write words with.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{0900}'..='\u{0dff}')
}

/// Chooses a letter's form where it follows a virama; elsewhere it is not seen, and would make
/// somebody else's name look like one's own.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// The sign that takes a letter's vowel: at the same place of each script's block but the last.
fn is_virama(c: char) -> bool {
    is_mark(c) && (u32::from(c) & 0x7f == 0x4d || c == '\u{0dca}')
}

/// The board with the caller's own place.
pub(crate) fn read(
    q: &mut Query<'_>,
    board: &Board,
    me: Option<PersonId>,
    first: u32,
) -> Result<Leaderboard, PlayError> {
    let top = ranked(1, store::top(q, board, first)?);
    let total = u64::try_from(store::total(q, board)?).unwrap_or(0);
    let own = match me {
        Some(person) => store::one(q, board, person)?,
        None => None,
    };
    let Some(own) = own else {
        return Ok(Leaderboard { top, me: None, neighbours: Vec::new(), total });
    };
    let better = u64::try_from(store::better(q, board, &own)?).unwrap_or(0);
    let (mut rows, below) = store::around(q, board, &own, AROUND)?;
    rows.reverse();
    let first_rank = better + 1 - rows.len() as u64;
    rows.push(own);
    rows.extend(below);
    let neighbours = ranked(first_rank, rows);
    let me = neighbours.iter().find(|r| Some(r.person_id) == me).cloned();
    Ok(Leaderboard { top, me, neighbours, total })
}

fn ranked(first: u64, rows: Vec<ScoreRow>) -> Vec<Rank> {
    (first..)
        .zip(rows)
        .map(|(rank, row)| Rank {
            rank,
            person_id: row.person,
            nickname: row.nickname.unwrap_or_else(|| default_nickname(row.person)),
            score: row.score,
        })
        .collect()
}
