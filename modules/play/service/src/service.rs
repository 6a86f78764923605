use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mela_base::ids::PersonId;
use mela_base::{Env, Internal, Op};
use mela_bus::Bus;
use mela_db::{Db, DbError};
use mela_play_api::protocol::{ClientMessage, Resume};
use mela_play_api::{Boards, Leaderboard, Link, Play, PlayError, Window};
use mela_wallet_api::Wallet;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;

use crate::boards::{self, check_nickname, default_nickname};
use crate::hub::{Hub, LEASE_MS, Write};
use crate::jobs;
use crate::questions::Question;
use crate::quiz::QuizConfig;
use crate::room::{Room, read_snapshot, read_standings};
use crate::settle::{ALL_TIME, Ended, settle, week_of};
use crate::store::{self, Board};

/// The one game there is so far.
const QUIZ: &str = "quiz";
/// How often time passes in matches.
const TICK: Duration = Duration::from_millis(100);
/// How often matches of dead processes are looked for.
const RECOVER_EVERY: Duration = Duration::from_secs(10);

/// Play. Cheap to clone.
#[derive(Clone)]
pub struct PlayService {
    db: Db,
    env: Env,
    wallet: Arc<dyn Wallet>,
    config: QuizConfig,
    hub: Arc<Mutex<Hub>>,
}

impl PlayService {
    /// A service without matches; [`PlayService::run`] makes time pass.
    pub fn new(
        db: Db,
        env: Env,
        wallet: Arc<dyn Wallet>,
        config: QuizConfig,
        questions: Vec<Question>,
    ) -> Self {
        let hub = Hub::new(config, questions, env.clone());
        Self { db, env, wallet, config, hub: Arc::new(Mutex::new(hub)) }
    }

    /// Listens to what concerns play.
    pub fn subscribe(&self, bus: &Bus) {
        jobs::subscribe(self, bus);
    }

    /// Ticks until `shutdown`, then lets running matches be: they are settled after the restart.
    pub async fn run(&self, mut shutdown: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut recoveries = tokio::time::interval(RECOVER_EVERY);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    if let Err(error) = self.tick().await {
                        tracing::warn!(?error, "a match could not be written; it is tried again");
                    }
                }
                _ = recoveries.tick() => {
                    if let Err(error) = self.recover().await {
                        tracing::warn!(?error, "matches of dead processes could not be settled");
                    }
                }
                () = stopped(&mut shutdown) => return,
            }
        }
    }

    /// One tick: moves every match and writes what must be written. Tests drive it by hand.
    pub async fn tick(&self) -> Result<(), PlayError> {
        let writes = self.hub.lock().tick();
        let mut failed = Ok(());
        for write in writes {
            if let Err(error) = self.write(write).await {
                failed = Err(error);
            }
        }
        failed
    }

    /// Settles matches whose process is gone, by what had been scored. Returns how many.
    pub async fn recover(&self) -> Result<usize, PlayError> {
        let now = self.env.now();
        let orphans = self.db.read("play.orphans", move |q| store::match_orphans(q, now)).await?;
        let count = orphans.len();
        for (id, game, snapshot) in orphans {
            let Some((players, scores)) = read_snapshot(&snapshot) else {
                tracing::error!(%id, "the snapshot of a match cannot be read");
                continue;
            };
            self.settle(Ended { id, game, players, scores }).await?;
            tracing::info!(%id, "settled a match whose process was gone");
        }
        Ok(count)
    }

    /// True if no match runs or waits to be written.
    pub fn idle(&self) -> bool {
        self.hub.lock().idle()
    }

    pub(crate) async fn merge(&self, from: PersonId, to: PersonId) -> Result<(), Internal> {
        self.hub.lock().rename(from, to);
        self.db
            .write("play.merge", move |tx| store::merge(tx, from, to))
            .await
            .map_err(|e: DbError| Internal::new(e))
    }

    async fn write(&self, write: Write) -> Result<(), PlayError> {
        let now = self.env.now();
        let lease = now.plus_ms(LEASE_MS);
        match write {
            Write::Started { id, players, scores } => {
                let snapshot = Room::snapshot(&players, &scores);
                self.db
                    .write("play.start", move |tx| {
                        store::match_insert(tx, id, QUIZ, &snapshot, now, lease)
                    })
                    .await?;
                Ok(())
            }
            Write::Snapshot { id, players, scores } => {
                let snapshot = Room::snapshot(&players, &scores);
                self.db
                    .write("play.snapshot", move |tx| {
                        store::match_snapshot(tx, id, &snapshot, lease)
                    })
                    .await?;
                Ok(())
            }
            Write::Settle { id, players, scores } => {
                self.settle(Ended { id, game: QUIZ.to_owned(), players, scores }).await
            }
        }
    }

    async fn settle(&self, ended: Ended) -> Result<(), PlayError> {
        let id = ended.id;
        let (env, wallet, config) = (self.env.clone(), self.wallet.clone(), self.config);
        let standings = self
            .db
            .write("play.settle", move |tx| settle(tx, &env, &*wallet, &config, &ended))
            .await?;
        self.hub.lock().settled(id, standings);
        Ok(())
    }

    async fn nickname(&self, person: PersonId) -> Result<String, PlayError> {
        let chosen = self.db.read("play.nickname", move |q| store::nickname(q, person)).await?;
        Ok(chosen.unwrap_or_else(|| default_nickname(person)))
    }
}

/// Returns once the server stops. A function of its own, because the guard that the channel hands
/// out must not live across an await.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

#[async_trait]
impl Play for PlayService {
    async fn connect(&self, person: PersonId, resume: Option<Resume>) -> Result<Link, PlayError> {
        let mut elsewhere = None;
        if let Some(Resume { match_id, .. }) = resume {
            // The match may have ended, or its process died, while the player was away.
            elsewhere = self
                .db
                .read("play.result", move |q| store::match_result(q, match_id, person))
                .await?
                .as_ref()
                .and_then(read_standings);
        }
        let (id, frames) = self.hub.lock().connect(person, resume, elsewhere);
        Ok(Link { id, frames: Box::pin(ReceiverStream::new(frames)) })
    }

    async fn handle(
        &self,
        person: PersonId,
        link: u64,
        message: ClientMessage,
    ) -> Result<(), PlayError> {
        self.hub.lock().admit(person, link)?;
        match message {
            ClientMessage::Hello { .. } => Err(PlayError::Invalid {
                field: "t",
                message: "`hello` is said once, as the first message".to_owned(),
            }),
            ClientMessage::Ping { n } => {
                self.hub.lock().pong(person, n);
                Ok(())
            }
            ClientMessage::Join { game } if game == QUIZ => {
                let nickname = self.nickname(person).await?;
                self.hub.lock().join(person, nickname)
            }
            ClientMessage::Join { .. } => Err(PlayError::GameNotFound),
            ClientMessage::Input { match_id, question, choice } => {
                self.hub.lock().input(person, match_id, question, choice)
            }
            ClientMessage::Leave {} => {
                self.hub.lock().leave(person);
                Ok(())
            }
        }
    }

    fn disconnect(&self, person: PersonId, link: u64) {
        self.hub.lock().disconnect(person, link);
    }
}

#[async_trait]
impl Boards for PlayService {
    async fn leaderboard(
        &self,
        op: &Op,
        game: &str,
        window: Window,
        first: u32,
    ) -> Result<Leaderboard, PlayError> {
        if game != QUIZ {
            return Err(PlayError::GameNotFound);
        }
        let span = match window {
            Window::AllTime => ALL_TIME.to_owned(),
            Window::Weekly => week_of(self.env.now().ist_date()),
        };
        let board = Board { game: game.to_owned(), span };
        let (me, first) = (op.person(), first.clamp(1, 100));
        self.db.read_snapshot("play.leaderboard", move |q| boards::read(q, &board, me, first)).await
    }

    async fn set_nickname(&self, op: &Op, nickname: &str) -> Result<(), PlayError> {
        let person = op.person().ok_or(PlayError::Unauthenticated)?;
        let name = check_nickname(nickname)?;
        self.db
            .write("play.nickname_set", move |tx| store::nickname_set(tx, person, &name))
            .await?;
        Ok(())
    }
}
