//! The JSON protocol of `/play`, message by message. `docs/play-protocol.md` tells it to people.

use mela_base::ids::{MatchId, PersonId};

/// From the client. Unknown types and fields are refused.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "t", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    /// First message: who it is, and where it left off if the connection was lost.
    Hello {
        /// Access token.
        token: String,
        /// Set to get what was missed.
        #[serde(default)]
        resume: Option<Resume>,
    },
    /// Wants a `pong`.
    Ping {
        /// Comes back in the `pong`.
        #[serde(default)]
        n: u64,
    },
    /// Wants a seat in the next match of a game.
    Join {
        /// `quiz`.
        game: String,
    },
    /// Answers a question.
    Input {
        /// Which match.
        #[serde(rename = "match")]
        match_id: MatchId,
        /// Which question, from 0.
        question: u32,
        /// Which choice, from 0.
        choice: u32,
    },
    /// Gives up the seat.
    Leave {},
}

/// Where a client left off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// The match that was going on.
    #[serde(rename = "match")]
    pub match_id: MatchId,
    /// The last `o` that was seen.
    pub offset: u64,
}

/// From the server. Messages of a match carry its id and an offset `o` that grows by one.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The answer to `hello`.
    Welcome {
        /// Who the server takes the client for.
        person: PersonId,
        /// The client should ping when it has been silent for so long.
        heartbeat_s: u32,
        /// True if everything missed follows; false if nothing was to resume or it is gone.
        recovered: bool,
    },
    /// The answer to `ping`.
    Pong {
        /// From the `ping`.
        n: u64,
    },
    /// A seat was taken; sent to everybody in the match whenever its seats change.
    Joined {
        /// Which match.
        #[serde(rename = "match")]
        match_id: MatchId,
        /// Offset in the match's stream.
        o: u64,
        /// Who sits there, by seat.
        players: Vec<Player>,
        /// Until the match starts, in ms.
        starts_in_ms: i64,
    },
    /// What the match looks like now.
    State {
        /// Which match.
        #[serde(rename = "match")]
        match_id: MatchId,
        /// Offset in the match's stream.
        o: u64,
        /// The state.
        #[serde(flatten)]
        phase: Phase,
        /// Points by seat.
        scores: Vec<i64>,
    },
    /// An input was taken. Not part of the match's stream: only its sender gets it.
    Accepted {
        /// Which question.
        question: u32,
    },
    /// The match is over and written.
    Result {
        /// Which match.
        #[serde(rename = "match")]
        match_id: MatchId,
        /// Offset in the match's stream.
        o: u64,
        /// Best first.
        standings: Vec<Standing>,
    },
    /// A refusal; the connection stays unless it is closed after.
    Error {
        /// Stable code.
        code: String,
        /// What happened and what to do.
        message: String,
    },
}

/// A seat.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Player {
    /// From 0.
    pub seat: u32,
    /// The name they play under.
    pub nickname: String,
    /// Played by the server to fill the round.
    pub bot: bool,
    /// Whose seat it is; `None` for bots.
    pub person: Option<PersonId>,
}

/// What goes on in a quiz.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// A question is open.
    Question {
        /// From 0.
        index: u32,
        /// How many there are.
        of: u32,
        /// The question.
        text: String,
        /// In Hindi, if there is a translation.
        text_hi: Option<String>,
        /// What can be chosen, by number from 0.
        choices: Vec<String>,
        /// Until it closes.
        ends_in_ms: i64,
    },
    /// The question is closed and the answer shown.
    Reveal {
        /// From 0.
        index: u32,
        /// The right choice.
        correct: u32,
        /// Until it goes on.
        next_in_ms: i64,
    },
}

/// A row of the result.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Standing {
    /// 1 is best.
    pub rank: u32,
    /// Which seat.
    pub seat: u32,
    /// The name they played under.
    pub nickname: String,
    /// Points.
    pub score: i64,
    /// Coins earned; 0 for bots.
    pub coins: i64,
}
