//! Play: game sessions over one socket, matches with a server-authoritative loop, leaderboards.

pub mod protocol;

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures_core::Stream;
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
    /// No seat in that match.
    #[error("you have no seat in that match; join one first")]
    NoSeat,
    /// The question is closed, or was answered before.
    #[error("that question cannot be answered any more; wait for the next one")]
    TooLate,
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
            Self::GameNotFound | Self::NoSeat => ErrorKind::NotFound,
            Self::TooLate => ErrorKind::Conflict,
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
            Self::NoSeat => "NO_SEAT",
            Self::TooLate => "TOO_LATE",
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

/// An encoded message. The same one goes to everybody in a match: it is encoded once.
pub type Frame = Arc<str>;

/// A player's connection, as play sees it.
pub struct Link {
    /// Names the connection in later calls.
    pub id: u64,
    /// What to send to the player, in order. Ends when the player is cut: too slow, or connected
    /// elsewhere.
    pub frames: Pin<Box<dyn Stream<Item = Frame> + Send>>,
}

/// Game sessions, as the socket uses them.
#[async_trait]
pub trait Play: Send + Sync {
    /// A player said hello. The first frame is the `welcome`; a resumed match follows it.
    async fn connect(
        &self,
        person: PersonId,
        resume: Option<protocol::Resume>,
    ) -> Result<Link, PlayError>;
    /// A message after the hello.
    async fn handle(
        &self,
        person: PersonId,
        link: u64,
        message: protocol::ClientMessage,
    ) -> Result<(), PlayError>;
    /// The connection is gone; the seat is kept for the player to come back.
    fn disconnect(&self, person: PersonId, link: u64);
}

impl From<mela_db::DbError> for PlayError {
    fn from(error: mela_db::DbError) -> Self {
        Self::Internal(Internal::new(error))
    }
}
