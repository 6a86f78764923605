//! A play service with its neighbours, and players who read what they are sent.

use std::sync::Arc;

use mela_base::ids::{MatchId, PersonId};
use mela_base::{Actor, Op};
use mela_db::MigrationSet;
use mela_play::{PlayService, Question, QuizConfig};
use mela_play_api::protocol::{ClientMessage, Phase, Resume, ServerMessage, Standing};
use mela_play_api::{Link, Play, PlayError};
use mela_testkit::TestDb;
use mela_wallet::WalletService;
use mela_wallet_api::Wallet;
use tokio_stream::StreamExt;

pub(crate) const SETS: &[MigrationSet] =
    &[mela_bus::MIGRATIONS, mela_wallet::MIGRATIONS, mela_play::MIGRATIONS];

pub(crate) fn config() -> QuizConfig {
    QuizConfig { seats: 2, questions: 2, ..QuizConfig::default() }
}

pub(crate) struct World<'a> {
    pub(crate) t: &'a TestDb,
    pub(crate) play: PlayService,
    pub(crate) wallet: Arc<dyn Wallet>,
}

pub(crate) fn questions() -> Vec<Question> {
    (0..10)
        .map(|i| Question {
            id: format!("q{i}"),
            text: format!("question {i}"),
            text_hi: None,
            choices: vec!["right".into(), "b".into(), "c".into(), "d".into()],
            answer: 0,
        })
        .collect()
}

impl<'a> World<'a> {
    pub(crate) fn new(t: &'a TestDb) -> Self {
        let wallet: Arc<dyn Wallet> = Arc::new(WalletService::new(t.db.clone(), t.env.clone()));
        let play =
            PlayService::new(t.db.clone(), t.env.clone(), wallet.clone(), config(), questions());
        Self { t, play, wallet }
    }

    /// The same database after a restart: nothing in memory is left.
    pub(crate) fn restarted(&self) -> Self {
        Self::new(self.t)
    }

    pub(crate) async fn tick(&self, ms: i64) {
        self.t.clock.advance_ms(ms);
        self.play.tick().await.unwrap();
    }

    pub(crate) async fn coins(&self, person: PersonId) -> i64 {
        self.wallet.balance(person).await.unwrap().available
    }
}

pub(crate) fn op(person: PersonId) -> Op {
    Op {
        request_id: "test".into(),
        actor: Actor::Person { id: person, guest: false, session: Default::default() },
        ip: None,
        device: None,
    }
}

pub(crate) struct Client {
    pub(crate) person: PersonId,
    link: Link,
    pub(crate) seen: Vec<ServerMessage>,
}

impl Client {
    pub(crate) async fn connect(w: &World<'_>, person: PersonId, resume: Option<Resume>) -> Self {
        let link = w.play.connect(person, resume).await.unwrap();
        let mut client = Self { person, link, seen: Vec::new() };
        client.read().await;
        client
    }

    /// Reads what has been sent so far.
    pub(crate) async fn read(&mut self) {
        loop {
            let next = tokio::select! {
                biased;
                frame = self.link.frames.next() => frame,
                () = tokio::task::yield_now() => None,
            };
            let Some(frame) = next else { return };
            self.seen.push(serde_json::from_str(&frame).unwrap());
        }
    }

    pub(crate) async fn say(
        &mut self,
        w: &World<'_>,
        message: ClientMessage,
    ) -> Result<(), PlayError> {
        let said = w.play.handle(self.person, self.link.id, message).await;
        self.read().await;
        said
    }

    pub(crate) async fn join(&mut self, w: &World<'_>) {
        self.say(w, ClientMessage::Join { game: "quiz".into() }).await.unwrap();
    }

    /// The match and the last offset seen in it.
    pub(crate) fn place(&self) -> Resume {
        let place = self.seen.iter().rev().find_map(|m| match m {
            ServerMessage::Joined { match_id, o, .. }
            | ServerMessage::State { match_id, o, .. }
            | ServerMessage::Result { match_id, o, .. } => Some((*match_id, *o)),
            _ => None,
        });
        let (match_id, offset) = place.expect("no message of a match was seen");
        Resume { match_id, offset }
    }

    pub(crate) fn match_id(&self) -> MatchId {
        self.place().match_id
    }

    /// The open question and the number of its right choice.
    pub(crate) fn question(&self) -> Option<(u32, u32)> {
        self.seen.iter().rev().find_map(|m| match m {
            ServerMessage::State { phase: Phase::Question { index, choices, .. }, .. } => {
                let right = choices.iter().position(|c| c == "right").unwrap();
                Some((*index, u32::try_from(right).unwrap()))
            }
            _ => None,
        })
    }

    pub(crate) async fn answer_right(&mut self, w: &World<'_>) -> Result<(), PlayError> {
        let (question, choice) = self.question().unwrap();
        let match_id = self.match_id();
        self.say(w, ClientMessage::Input { match_id, question, choice }).await
    }

    pub(crate) fn result(&self) -> Option<&[Standing]> {
        self.seen.iter().find_map(|m| match m {
            ServerMessage::Result { standings, .. } => Some(standings.as_slice()),
            _ => None,
        })
    }

    /// The offsets of a match's messages, in the order in which they came.
    pub(crate) fn offsets(&self) -> Vec<u64> {
        let offset = |m: &ServerMessage| match m {
            ServerMessage::Joined { o, .. }
            | ServerMessage::State { o, .. }
            | ServerMessage::Result { o, .. } => Some(*o),
            _ => None,
        };
        self.seen.iter().filter_map(offset).collect()
    }
}
