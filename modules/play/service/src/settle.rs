//! Writing what a match brought: once, whatever is cut, killed or repeated.

use mela_base::ids::{MatchId, PersonId, TransferId};
use mela_base::{Env, Id, IstDate};
use mela_bus::{EventRow, emit_all};
use mela_db::Tx;
use mela_play_api::protocol::{Player, Standing};
use mela_play_api::{MatchFinished, PlayError};
use mela_wallet_api::{Account, Transfer, TransferCode, Wallet};

use crate::quiz::{QuizConfig, standings};
use crate::store::{self, Board, ResultRow};

/// The board of all time.
pub(crate) const ALL_TIME: &str = "all";

/// The board of the week that `day` falls in: its Monday.
pub(crate) fn week_of(day: IstDate) -> String {
    let monday = day.start().plus_ms(-i64::from(day.weekday()) * mela_base::DAY_MS);
    monday.ist_date().to_string()
}

/// A match that is over.
pub(crate) struct Ended {
    pub(crate) id: MatchId,
    pub(crate) game: String,
    pub(crate) players: Vec<Player>,
    /// Points by seat.
    pub(crate) scores: Vec<i64>,
}

/// Writes results, coins, points and the match's end in the caller's transaction. If the match was
/// finished before, nothing changes and the standings that were written are returned.
pub(crate) fn settle(
    tx: &mut Tx<'_>,
    env: &Env,
    wallet: &dyn Wallet,
    config: &QuizConfig,
    ended: &Ended,
) -> Result<Vec<Standing>, PlayError> {
    let Ended { id, game, players, scores } = ended;
    let id = *id;
    let now = env.now();
    let day = now.ist_date();
    let mut table = standings(players, scores);
    for row in &mut table {
        if let Some(person) = person_of(players, row) {
            let won = store::coins_of_day(tx, person, &day.to_string())?;
            row.coins = row.coins.min((config.coins_per_day - won).max(0));
        }
    }
    let mut snapshot = crate::room::Room::snapshot(players, scores);
    snapshot["standings"] = serde_json::json!(table);
    if !store::match_finish(tx, id, &snapshot)? {
        return Ok(table);
    }
    let mut events = Vec::new();
    for row in &table {
        let Some(person) = person_of(players, row) else { continue };
        let day = day.to_string();
        let result = ResultRow {
            match_id: id,
            person,
            game,
            score: row.score,
            coins: row.coins,
            day: &day,
            at: now,
        };
        if !store::result_insert(tx, &result)? {
            continue;
        }
        for span in [ALL_TIME.to_owned(), week_of(now.ist_date())] {
            let board = Board { game: game.clone(), span };
            store::score_add(tx, &board, person, row.score, now)?;
        }
        if row.coins > 0 {
            let reward = Transfer {
                id: TransferId(Id::from_name(&format!("game_reward:{id}:{person}"))),
                from: Account::CoinIssuer,
                to: Account::Coins(person),
                amount: row.coins,
                code: TransferCode::GameReward,
                reference: id.0,
            };
            wallet.post_in(tx, &[reward]).map_err(|e| {
                PlayError::Internal(mela_base::Internal::new(format_args!("{e:?}")))
            })?;
        }
        let finished = MatchFinished {
            match_id: id,
            person_id: person,
            game: game.clone(),
            score: row.score,
            coins: row.coins,
        };
        events.push(EventRow::new(&finished)?);
    }
    emit_all(tx, env, &events)?;
    Ok(table)
}

fn person_of(players: &[Player], row: &Standing) -> Option<PersonId> {
    players.iter().find(|p| p.seat == row.seat)?.person
}
