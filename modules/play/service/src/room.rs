//! A match while it runs: its people, its stream of frames, and the quiz.

use mela_base::Timestamp;
use mela_base::ids::{MatchId, PersonId};
use mela_play_api::Frame;
use mela_play_api::protocol::{Player, ServerMessage, Standing};

use crate::quiz::Quiz;

/// Where a match stands.
pub(crate) enum Stage {
    /// Waits for people.
    Lobby {
        /// When it starts with whoever is there.
        starts_at: Timestamp,
    },
    /// Runs.
    Running(Quiz),
    /// Is being written; nothing more can change it.
    Settling {
        players: Vec<Player>,
        scores: Vec<i64>,
        /// When the last try to write it began; it is tried again until it succeeds.
        tried_at: Timestamp,
    },
    /// Written. Kept a while for those who come back.
    Over { until: Timestamp },
}

/// A match.
pub(crate) struct Room {
    pub(crate) id: MatchId,
    pub(crate) people: Vec<(PersonId, String)>,
    pub(crate) stage: Stage,
    /// Every frame so far; its index is its offset. A match sends a few dozen.
    pub(crate) frames: Vec<Frame>,
    /// When the process last said in the store that the match is alive.
    pub(crate) leased_at: Timestamp,
}

impl Room {
    pub(crate) fn new(id: MatchId, starts_at: Timestamp, now: Timestamp) -> Self {
        Self {
            id,
            people: Vec::new(),
            stage: Stage::Lobby { starts_at },
            frames: Vec::new(),
            leased_at: now,
        }
    }

    /// Encodes a message once, for everybody, with the next offset.
    pub(crate) fn push(&mut self, message: impl FnOnce(MatchId, u64) -> ServerMessage) -> Frame {
        let frame = encode(&message(self.id, self.frames.len() as u64));
        self.frames.push(frame.clone());
        frame
    }

    /// What the store should know to settle the match without this process.
    pub(crate) fn snapshot(players: &[Player], scores: &[i64]) -> serde_json::Value {
        serde_json::json!({ "players": players, "scores": scores })
    }

    /// The message that says who sits here.
    pub(crate) fn joined(&mut self, now: Timestamp) -> Option<Frame> {
        let Stage::Lobby { starts_at } = self.stage else { return None };
        let players = (0..)
            .zip(&self.people)
            .map(|(seat, (person, nickname))| Player {
                seat,
                nickname: nickname.clone(),
                bot: false,
                person: Some(*person),
            })
            .collect();
        let starts_in_ms = starts_at.since_ms(now).max(0);
        Some(self.push(|match_id, o| ServerMessage::Joined { match_id, o, players, starts_in_ms }))
    }
}

/// The JSON text of a message.
pub(crate) fn encode(message: &ServerMessage) -> Frame {
    // These types have string keys and finite numbers only, so encoding cannot fail.
    serde_json::to_string(message).unwrap_or_default().into()
}

/// What a snapshot says.
pub(crate) fn read_snapshot(snapshot: &serde_json::Value) -> Option<(Vec<Player>, Vec<i64>)> {
    let players = serde_json::from_value(snapshot.get("players")?.clone()).ok()?;
    let scores = serde_json::from_value(snapshot.get("scores")?.clone()).ok()?;
    Some((players, scores))
}

/// The standings that a finished snapshot holds.
pub(crate) fn read_standings(snapshot: &serde_json::Value) -> Option<Vec<Standing>> {
    serde_json::from_value(snapshot.get("standings")?.clone()).ok()
}
