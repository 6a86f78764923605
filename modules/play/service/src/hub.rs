//! Everything live in this process: who is connected, and the matches. One lock around plain data;
//! what must be written is returned to the caller, who writes it outside the lock.

use std::collections::HashMap;

use mela_base::ids::{MatchId, PersonId};
use mela_base::{DAY_MS, Env, MINUTE_MS, Timestamp};
use mela_play_api::protocol::{Player, Resume, ServerMessage, Standing};
use mela_play_api::{Frame, PlayError};
use tokio::sync::mpsc;

use crate::questions::Question;
use crate::quiz::{Quiz, QuizConfig, Step};
use crate::room::{Room, Stage, encode};

/// Frames waiting for a slow client before it is cut; it can resume.
const OUTBOX: usize = 64;
/// Messages a player may send at once, and per second after that.
const BURST: i64 = 20;
const PER_SECOND: i64 = 10;
/// How long a finished match is kept for those who come back.
const KEEP_OVER_MS: i64 = 2 * MINUTE_MS;
/// How often a running match renews its lease, and how long the lease lasts.
const LEASE_EVERY_MS: i64 = 5_000;
pub(crate) const LEASE_MS: i64 = 20_000;
/// How long to wait before a failed write of a result is tried again.
const RETRY_MS: i64 = 2_000;
/// Matches at once; more people than fit are asked to come back.
const MAX_ROOMS: usize = 20_000;

/// The client should ping when it has been silent for so long.
pub(crate) const HEARTBEAT_S: u32 = 20;

struct Connection {
    id: u64,
    frames: mpsc::Sender<Frame>,
    /// A bucket of messages the player may still send, in thousandths.
    bucket: i64,
    filled_at: Timestamp,
}

/// Something that must be written.
pub(crate) enum Write {
    /// A match began.
    Started { id: MatchId, players: Vec<Player>, scores: Vec<i64> },
    /// A question was scored, or the lease must be renewed.
    Snapshot { id: MatchId, players: Vec<Player>, scores: Vec<i64> },
    /// A match is over.
    Settle { id: MatchId, players: Vec<Player>, scores: Vec<i64> },
}

pub(crate) struct Hub {
    config: QuizConfig,
    questions: Vec<Question>,
    env: Env,
    connections: HashMap<PersonId, Connection>,
    rooms: HashMap<MatchId, Room>,
    /// In which match a person sits.
    seats: HashMap<PersonId, MatchId>,
    /// The match that people are put into now.
    lobby: Option<MatchId>,
    next_link: u64,
}

impl Hub {
    pub(crate) fn new(config: QuizConfig, questions: Vec<Question>, env: Env) -> Self {
        Self {
            config,
            questions,
            env,
            connections: HashMap::new(),
            rooms: HashMap::new(),
            seats: HashMap::new(),
            lobby: None,
            next_link: 1,
        }
    }

    /// Registers a connection; an older one of the same player is cut. `elsewhere` is the result of
    /// a match that is no longer here.
    pub(crate) fn connect(
        &mut self,
        person: PersonId,
        resume: Option<Resume>,
        elsewhere: Option<Vec<Standing>>,
    ) -> (u64, mpsc::Receiver<Frame>) {
        let now = self.env.now();
        let (frames, receiver) = mpsc::channel(OUTBOX);
        let id = self.next_link;
        self.next_link += 1;
        let (recovered, missed) = self.missed(person, resume, elsewhere, now);
        let welcome = ServerMessage::Welcome { person, heartbeat_s: HEARTBEAT_S, recovered };
        for frame in std::iter::once(encode(&welcome)).chain(missed) {
            // A match has fewer frames than the outbox has places, or the client is cut at once
            // and resumes further on.
            let _ = frames.try_send(frame);
        }
        let connection = Connection { id, frames, bucket: BURST * 1_000, filled_at: now };
        self.connections.insert(person, connection);
        (id, receiver)
    }

    fn missed(
        &mut self,
        person: PersonId,
        resume: Option<Resume>,
        elsewhere: Option<Vec<Standing>>,
        now: Timestamp,
    ) -> (bool, Vec<Frame>) {
        let wanted = resume.map(|r| r.match_id).or_else(|| self.seats.get(&person).copied());
        let Some(wanted) = wanted else { return (false, Vec::new()) };
        if let Some(room) = self.rooms.get_mut(&wanted)
            && room.people.iter().any(|(p, _)| *p == person)
        {
            if let Some(resume) = resume {
                let next = usize::try_from(resume.offset).unwrap_or(usize::MAX).saturating_add(1);
                if next <= room.frames.len() {
                    return (true, room.frames[next..].to_vec());
                }
            }
            // Nothing to go on from: show what the match looks like now.
            let snapshot = match &room.stage {
                Stage::Running(quiz) => quiz.phase(now).map(|phase| (phase, quiz.scores())),
                _ => None,
            };
            let frame = snapshot.map(|(phase, scores)| {
                let o = (room.frames.len() as u64).saturating_sub(1);
                encode(&ServerMessage::State { match_id: wanted, o, phase, scores })
            });
            let last = room.frames.last().cloned();
            return (false, frame.or(last).into_iter().collect());
        }
        let result = elsewhere.map(|standings| {
            encode(&ServerMessage::Result { match_id: wanted, o: u64::MAX >> 12, standings })
        });
        (result.is_some(), result.into_iter().collect())
    }

    /// Forgets a connection; the seat stays.
    pub(crate) fn disconnect(&mut self, person: PersonId, link: u64) {
        if self.connections.get(&person).is_some_and(|c| c.id == link) {
            self.connections.remove(&person);
        }
    }

    /// Counts a message against the player's limit.
    pub(crate) fn admit(&mut self, person: PersonId, link: u64) -> Result<(), PlayError> {
        let now = self.env.now();
        let connection = self
            .connections
            .get_mut(&person)
            .filter(|c| c.id == link)
            .ok_or(PlayError::Unauthenticated)?;
        let passed = now.since_ms(connection.filled_at).clamp(0, DAY_MS);
        connection.bucket = (connection.bucket + passed * PER_SECOND).min(BURST * 1_000);
        connection.filled_at = now;
        if connection.bucket < 1_000 {
            return Err(PlayError::TooFast);
        }
        connection.bucket -= 1_000;
        Ok(())
    }

    /// Gives the player a seat in the next match, or the one they have.
    pub(crate) fn join(&mut self, person: PersonId, nickname: String) -> Result<(), PlayError> {
        let now = self.env.now();
        if let Some(room) = self.seats.get(&person).and_then(|id| self.rooms.get(id))
            && !matches!(room.stage, Stage::Over { .. })
        {
            // Already seated: a repeated join shows the match again.
            let (_, frames) = self.missed(person, None, None, now);
            for frame in frames {
                self.send(person, frame);
            }
            return Ok(());
        }
        let id = match self.lobby {
            Some(id) => id,
            None if self.rooms.len() >= MAX_ROOMS => return Err(PlayError::Full),
            None => {
                let id: MatchId = self.env.new_id();
                self.rooms.insert(id, Room::new(id, now.plus_ms(self.config.lobby_ms), now));
                self.lobby = Some(id);
                id
            }
        };
        let Some(room) = self.rooms.get_mut(&id) else { return Err(PlayError::Full) };
        room.people.push((person, nickname));
        self.seats.insert(person, id);
        let full = room.people.len() >= usize::try_from(self.config.seats).unwrap_or(1);
        if full {
            room.stage = Stage::Lobby { starts_at: now };
            self.lobby = None;
        }
        let frame = room.joined(now);
        self.broadcast(id, frame);
        Ok(())
    }

    /// Takes an answer.
    pub(crate) fn input(
        &mut self,
        person: PersonId,
        match_id: MatchId,
        question: u32,
        choice: u32,
    ) -> Result<(), PlayError> {
        let now = self.env.now();
        if self.seats.get(&person) != Some(&match_id) {
            return Err(PlayError::NoSeat);
        }
        let room = self.rooms.get_mut(&match_id).ok_or(PlayError::NoSeat)?;
        let Stage::Running(quiz) = &mut room.stage else { return Err(PlayError::TooLate) };
        quiz.answer(person, question, choice, now)?;
        self.send(person, encode(&ServerMessage::Accepted { question }));
        Ok(())
    }

    /// Gives up a seat in the lobby; in a running match the seat stays and earns nothing more.
    pub(crate) fn leave(&mut self, person: PersonId) {
        let now = self.env.now();
        let Some(id) = self.seats.remove(&person) else { return };
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if matches!(room.stage, Stage::Lobby { .. }) {
            room.people.retain(|(p, _)| *p != person);
            let frame = room.joined(now);
            self.broadcast(id, frame);
        }
    }

    /// A guest logged in: the seat goes on under the account, so that the result is written there.
    pub(crate) fn rename(&mut self, from: PersonId, to: PersonId) {
        let Some(id) = self.seats.remove(&from) else { return };
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if room.people.iter().any(|(person, _)| *person == to) {
            return;
        }
        self.seats.insert(to, id);
        for (person, _) in room.people.iter_mut().filter(|(person, _)| *person == from) {
            *person = to;
        }
        if let Stage::Running(quiz) = &mut room.stage {
            quiz.rename(from, to);
        }
    }

    /// Answers a ping.
    pub(crate) fn pong(&mut self, person: PersonId, n: u64) {
        self.send(person, encode(&ServerMessage::Pong { n }));
    }

    /// Lets time pass in every match.
    pub(crate) fn tick(&mut self) -> Vec<Write> {
        let now = self.env.now();
        let mut writes = Vec::new();
        let ids: Vec<MatchId> = self.rooms.keys().copied().collect();
        for id in ids {
            let frame = self.tick_room(id, now, &mut writes);
            self.broadcast(id, frame);
        }
        writes
    }

    fn tick_room(&mut self, id: MatchId, now: Timestamp, writes: &mut Vec<Write>) -> Option<Frame> {
        let room = self.rooms.get_mut(&id)?;
        match &mut room.stage {
            Stage::Lobby { starts_at } if now < *starts_at => None,
            Stage::Lobby { .. } => {
                self.lobby = self.lobby.filter(|open| *open != id);
                if room.people.is_empty() {
                    self.rooms.remove(&id);
                    return None;
                }
                let seed = u64::from_le_bytes(self.env.random());
                let questions = draw(&self.questions, self.config.questions, seed);
                let people = room.people.clone();
                let (quiz, phase) = Quiz::start(self.config, questions, people, seed, now);
                let (players, scores) = (quiz.players(), quiz.scores());
                let shown = players.clone();
                room.stage = Stage::Running(quiz);
                room.leased_at = now;
                writes.push(Write::Started { id, players, scores: scores.clone() });
                // The bots take their seats in everybody's sight.
                let seated = room.push(|match_id, o| ServerMessage::Joined {
                    match_id,
                    o,
                    players: shown,
                    starts_in_ms: 0,
                });
                let first =
                    room.push(|match_id, o| ServerMessage::State { match_id, o, phase, scores });
                self.broadcast(id, Some(seated));
                Some(first)
            }
            Stage::Running(quiz) => match quiz.tick(now) {
                Step::Nothing => {
                    if now.since_ms(room.leased_at) >= LEASE_EVERY_MS {
                        let (players, scores) = (quiz.players(), quiz.scores());
                        room.leased_at = now;
                        writes.push(Write::Snapshot { id, players, scores });
                    }
                    None
                }
                Step::Show { phase, closed } => {
                    let (players, scores) = (quiz.players(), quiz.scores());
                    if closed {
                        room.leased_at = now;
                        writes.push(Write::Snapshot { id, players, scores: scores.clone() });
                    }
                    Some(room.push(|match_id, o| ServerMessage::State {
                        match_id,
                        o,
                        phase,
                        scores,
                    }))
                }
                Step::Over => {
                    let (players, scores) = (quiz.players(), quiz.scores());
                    writes.push(Write::Settle {
                        id,
                        players: players.clone(),
                        scores: scores.clone(),
                    });
                    room.stage = Stage::Settling { players, scores, tried_at: now };
                    None
                }
            },
            Stage::Settling { players, scores, tried_at } => {
                if now.since_ms(*tried_at) >= RETRY_MS {
                    *tried_at = now;
                    let (players, scores) = (players.clone(), scores.clone());
                    writes.push(Write::Settle { id, players, scores });
                }
                None
            }
            Stage::Over { until } if now < *until => None,
            Stage::Over { .. } => {
                self.rooms.remove(&id);
                None
            }
        }
    }

    /// The result is written: everybody learns it.
    pub(crate) fn settled(&mut self, id: MatchId, standings: Vec<Standing>) {
        let now = self.env.now();
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if !matches!(room.stage, Stage::Settling { .. }) {
            return;
        }
        let frame = room.push(|match_id, o| ServerMessage::Result { match_id, o, standings });
        room.stage = Stage::Over { until: now.plus_ms(KEEP_OVER_MS) };
        self.broadcast(id, Some(frame));
        self.seats.retain(|_, seat| *seat != id);
    }

    /// True if nobody waits for anything: no match runs or is being written.
    pub(crate) fn idle(&self) -> bool {
        self.rooms.values().all(|r| matches!(r.stage, Stage::Over { .. }))
    }

    fn broadcast(&mut self, id: MatchId, frame: Option<Frame>) {
        let (Some(frame), Some(room)) = (frame, self.rooms.get(&id)) else { return };
        let people: Vec<PersonId> = room.people.iter().map(|(p, _)| *p).collect();
        for person in people {
            self.send(person, frame.clone());
        }
    }

    /// Sends or, if the client is too slow, cuts it: it can resume where it left off.
    fn send(&mut self, person: PersonId, frame: Frame) {
        if let Some(connection) = self.connections.get(&person)
            && connection.frames.try_send(frame).is_err()
        {
            self.connections.remove(&person);
        }
    }
}

/// `n` different questions, by seed.
fn draw(questions: &[Question], n: u32, seed: u64) -> Vec<Question> {
    let mut order: Vec<usize> = (0..questions.len()).collect();
    let mut state = seed | 1;
    for i in (1..order.len()).rev() {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(i, usize::try_from(state >> 33).unwrap_or(0) % (i + 1));
    }
    order.truncate(usize::try_from(n).unwrap_or(1).max(1));
    order.into_iter().map(|i| questions[i].clone()).collect()
}
