//! Play: game sessions over one socket, matches with a server-authoritative loop, leaderboards.

use async_trait::async_trait;
use mela_base::ids::{MatchId, PersonId};
use mela_base::{ErrorKind, Event, Fault, Internal, Op};

/// Over which time a leaderboard counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// Since the beginning.
    AllTime,
    /// Since Monday 00:00 in India.
    Weekly,
}

/// A row of a leaderboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rank {
    /// 1 is best; ties go to who reached the score first.
    pub rank: u64,
    /// Who.
    pub person_id: PersonId,
    /// The name they play under; never a phone number.
    pub nickname: String,
    /// Sum of the points of all matches in the window.
    pub score: i64,
}

/// A leaderboard as seen by somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaderboard {
    /// The best, in order.
    pub top: Vec<Rank>,
    /// The caller's own row, if they have one.
    pub me: Option<Rank>,
    /// Rows around the caller's own, it included.
    pub neighbours: Vec<Rank>,
    /// How many are on it.
    pub total: u64,
}

/// A match ended for one player: points and coins are written.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct MatchFinished {
    /// Which match.
    pub match_id: MatchId,
    /// Which player.
    pub person_id: PersonId,
    /// Which game, e.g. `quiz`.
    pub game: String,
    /// Points.
    pub score: i64,
    /// Coins earned.
    pub coins: i64,
}

impl Event for MatchFinished {
    const TOPIC: &'static str = "play.match_finished";
    fn key(&self) -> String {
        self.person_id.to_string()
    }
}

/// How a play call fails.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// The caller must log in or start a guest session.
    #[error("log in or start a guest session first")]
    Unauthenticated,
    /// No such game.
    #[error("there is no such game; `quiz` can be played")]
    GameNotFound,
    /// A value is wrong.
    #[error("{message}")]
    Invalid {
        /// Which input field.
        field: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// Too many messages.
    #[error("too many messages; slow down")]
    TooFast,
    /// No more room.
    #[error("all seats are taken right now; try again in a few seconds")]
    Full,
    /// Our fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

impl Fault for PlayError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unauthenticated => ErrorKind::Unauthenticated,
            Self::GameNotFound => ErrorKind::NotFound,
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::TooFast | Self::Full => ErrorKind::Exhausted,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::GameNotFound => "GAME_NOT_FOUND",
            Self::Invalid { .. } => "INVALID_INPUT",
            Self::TooFast => "TOO_FAST",
            Self::Full => "PLAY_FULL",
            Self::Internal(_) => "INTERNAL",
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid { field, .. } => Some(field),
            _ => None,
        }
    }
}

/// Leaderboards and nicknames: the part of play that is asked for outside the socket.
#[async_trait]
pub trait Boards: Send + Sync {
    /// The board of a game, with the caller's own place.
    async fn leaderboard(
        &self,
        op: &Op,
        game: &str,
        window: Window,
        first: u32,
    ) -> Result<Leaderboard, PlayError>;
    /// Sets the name under which the caller plays (2 – 20 letters, digits, spaces).
    async fn set_nickname(&self, op: &Op, nickname: &str) -> Result<(), PlayError>;
}
