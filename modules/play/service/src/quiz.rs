//! The quiz as a pure state machine: time and inputs go in, messages come out. The same seed and
//! inputs give the same match, so a match can be replayed.

use mela_base::Timestamp;
use mela_base::ids::PersonId;
use mela_play_api::PlayError;
use mela_play_api::protocol::{Phase, Player, Standing};

use crate::questions::Question;

/// How a round runs.
#[derive(Clone, Copy, Debug)]
pub struct QuizConfig {
    /// Seats in a match; bots fill what people leave empty.
    pub seats: u32,
    /// How long a match waits for people, in ms.
    pub lobby_ms: i64,
    /// Questions in a match.
    pub questions: u32,
    /// How long a question is open, in ms; it closes earlier when everybody has answered.
    pub answer_ms: i64,
    /// How long the answer is shown, in ms.
    pub reveal_ms: i64,
    /// When bots answer at the earliest and latest, in ms after the question opened.
    pub bot_ms: (i64, i64),
    /// Most coins a person can win on one day (India's).
    pub coins_per_day: i64,
}

impl Default for QuizConfig {
    fn default() -> Self {
        Self {
            seats: 4,
            lobby_ms: 4_000,
            questions: 5,
            answer_ms: 10_000,
            reveal_ms: 2_500,
            bot_ms: (1_200, 6_000),
            coins_per_day: 500,
        }
    }
}

/// Points for a right answer, whenever it comes.
const POINTS_RIGHT: i64 = 500;
/// Points on top for an answer at once; they fall evenly to 0 at the deadline.
const POINTS_SPEED: i64 = 500;
/// Coins for every so many points.
const POINTS_PER_COIN: i64 = 100;
/// Coins on top for the best human of a match.
const COINS_WINNER: i64 = 10;
/// A bot knows the answer in so many of ten cases.
const BOT_KNOWS: u64 = 6;

/// A seat with its points.
#[derive(Clone, Debug)]
struct Seat {
    nickname: String,
    person: Option<PersonId>,
    score: i64,
    /// The choice and when it was made, for the open question.
    answer: Option<(u32, Timestamp)>,
    /// What the bot will answer, and when.
    plan: Option<(u32, Timestamp)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open { index: usize, since: Timestamp, until: Timestamp },
    Shown { index: usize, until: Timestamp },
    Over,
}

/// A match of the quiz.
pub(crate) struct Quiz {
    config: QuizConfig,
    questions: Vec<Question>,
    seats: Vec<Seat>,
    stage: Stage,
    seed: u64,
}

/// What a step of the match brought.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Nothing new.
    Nothing,
    /// Show this to everybody. `closed` says that a question was just scored.
    Show { phase: Phase, closed: bool },
    /// The match is over.
    Over,
}

impl Quiz {
    /// A match for these people (with their names), filled up with bots. The choices of every
    /// question are shuffled, so that their numbers cannot be learnt by heart.
    pub(crate) fn start(
        config: QuizConfig,
        mut questions: Vec<Question>,
        people: Vec<(PersonId, String)>,
        seed: u64,
        now: Timestamp,
    ) -> (Self, Phase) {
        let mut random = SplitMix(seed);
        for question in &mut questions {
            for i in (1..question.choices.len()).rev() {
                let j = random.below(i as u64 + 1);
                question.choices.swap(i, j);
                if question.answer == i {
                    question.answer = j;
                } else if question.answer == j {
                    question.answer = i;
                }
            }
        }
        let seat = |(person, nickname)| Seat {
            nickname,
            person: Some(person),
            score: 0,
            answer: None,
            plan: None,
        };
        let mut seats: Vec<Seat> = people.into_iter().map(seat).collect();
        let bots = usize::try_from(config.seats).unwrap_or(1).saturating_sub(seats.len());
        let first = random.below(BOT_NAMES.len() as u64);
        seats.extend((0..bots).map(|i| Seat {
            nickname: BOT_NAMES[(first + i) % BOT_NAMES.len()].to_owned(),
            person: None,
            score: 0,
            answer: None,
            plan: None,
        }));
        let mut quiz = Self { config, questions, seats, stage: Stage::Over, seed: random.next() };
        let phase = quiz.open(0, now);
        (quiz, phase)
    }

    /// Who sits where.
    pub(crate) fn players(&self) -> Vec<Player> {
        (0..)
            .zip(&self.seats)
            .map(|(seat, s)| Player {
                seat,
                nickname: s.nickname.clone(),
                bot: s.person.is_none(),
                person: s.person,
            })
            .collect()
    }

    /// Points by seat.
    pub(crate) fn scores(&self) -> Vec<i64> {
        self.seats.iter().map(|s| s.score).collect()
    }

    /// The phase as it looks now, for who comes back without having seen it.
    pub(crate) fn phase(&self, now: Timestamp) -> Option<Phase> {
        match self.stage {
            Stage::Open { index, until, .. } => Some(self.question(index, until.since_ms(now))),
            Stage::Shown { index, until } => Some(self.reveal(index, until.since_ms(now))),
            Stage::Over => None,
        }
    }

    /// A guest logged in: the seat goes on under the account.
    pub(crate) fn rename(&mut self, from: PersonId, to: PersonId) {
        for seat in self.seats.iter_mut().filter(|s| s.person == Some(from)) {
            seat.person = Some(to);
        }
    }

    /// Takes a person's answer: only the first one, only to the open question, only in time by the
    /// server's clock.
    pub(crate) fn answer(
        &mut self,
        person: PersonId,
        question: u32,
        choice: u32,
        now: Timestamp,
    ) -> Result<(), PlayError> {
        let Stage::Open { index, until, .. } = self.stage else {
            return Err(PlayError::TooLate);
        };
        let choices = self.questions[index].choices.len();
        let seat =
            self.seats.iter_mut().find(|s| s.person == Some(person)).ok_or(PlayError::NoSeat)?;
        if usize::try_from(question) != Ok(index) || now > until || seat.answer.is_some() {
            return Err(PlayError::TooLate);
        }
        if usize::try_from(choice).map_or(true, |c| c >= choices) {
            return Err(PlayError::Invalid {
                field: "choice",
                message: format!("choose a number from 0 to {}", choices - 1),
            });
        }
        seat.answer = Some((choice, now));
        Ok(())
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, now: Timestamp) -> Step {
        match self.stage {
            Stage::Open { index, since, until } => {
                for seat in &mut self.seats {
                    if seat.answer.is_none() && seat.plan.is_some_and(|(_, at)| at <= now) {
                        seat.answer = seat.plan;
                    }
                }
                if now < until && self.seats.iter().any(|s| s.answer.is_none()) {
                    return Step::Nothing;
                }
                self.score(index, since, until);
                self.stage = Stage::Shown { index, until: now.plus_ms(self.config.reveal_ms) };
                Step::Show { phase: self.reveal(index, self.config.reveal_ms), closed: true }
            }
            Stage::Shown { index, until } if now >= until => {
                if index + 1 < self.questions.len() {
                    Step::Show { phase: self.open(index + 1, now), closed: false }
                } else {
                    self.stage = Stage::Over;
                    Step::Over
                }
            }
            Stage::Shown { .. } => Step::Nothing,
            Stage::Over => Step::Over,
        }
    }

    fn open(&mut self, index: usize, now: Timestamp) -> Phase {
        let until = now.plus_ms(self.config.answer_ms);
        let (earliest, latest) = self.config.bot_ms;
        let mut random = SplitMix(self.seed ^ index as u64);
        let question = &self.questions[index];
        for seat in &mut self.seats {
            seat.answer = None;
            seat.plan = seat.person.is_none().then(|| {
                let spread = u64::try_from((latest - earliest).max(1)).unwrap_or(1);
                let at = now.plus_ms(earliest + i64::try_from(random.below(spread)).unwrap_or(0));
                let choice = if (random.below(10) as u64) < BOT_KNOWS {
                    question.answer
                } else {
                    random.below(question.choices.len() as u64)
                };
                (u32::try_from(choice).unwrap_or(0), at)
            });
        }
        self.stage = Stage::Open { index, since: now, until };
        self.question(index, self.config.answer_ms)
    }

    fn score(&mut self, index: usize, since: Timestamp, until: Timestamp) {
        let right = self.questions[index].answer;
        let whole = until.since_ms(since).max(1);
        for seat in &mut self.seats {
            if let Some((choice, at)) = seat.answer
                && usize::try_from(choice) == Ok(right)
            {
                let left = until.since_ms(at).clamp(0, whole);
                seat.score += POINTS_RIGHT + POINTS_SPEED * left / whole;
            }
        }
    }

    fn question(&self, index: usize, ends_in_ms: i64) -> Phase {
        let question = &self.questions[index];
        Phase::Question {
            index: u32::try_from(index).unwrap_or(0),
            of: u32::try_from(self.questions.len()).unwrap_or(0),
            text: question.text.clone(),
            text_hi: question.text_hi.clone(),
            choices: question.choices.clone(),
            ends_in_ms: ends_in_ms.max(0),
        }
    }

    fn reveal(&self, index: usize, next_in_ms: i64) -> Phase {
        Phase::Reveal {
            index: u32::try_from(index).unwrap_or(0),
            correct: u32::try_from(self.questions[index].answer).unwrap_or(0),
            next_in_ms: next_in_ms.max(0),
        }
    }
}

/// Ranks seats by points and says what each wins; also used to settle a match that was cut short.
pub(crate) fn standings(players: &[Player], scores: &[i64]) -> Vec<Standing> {
    let mut order: Vec<(&Player, i64)> = players.iter().zip(scores.iter().copied()).collect();
    order.sort_by_key(|(player, score)| (-score, player.seat));
    let winner = order.iter().find(|(p, score)| !p.bot && *score > 0).map(|(p, _)| p.seat);
    (1..)
        .zip(order)
        .map(|(rank, (player, score))| Standing {
            rank,
            seat: player.seat,
            nickname: player.nickname.clone(),
            score,
            coins: if player.bot {
                0
            } else {
                score / POINTS_PER_COIN + if winner == Some(player.seat) { COINS_WINNER } else { 0 }
            },
        })
        .collect()
}

const BOT_NAMES: [&str; 12] = [
    "Gulab", "Moti", "Chanda", "Bijli", "Sheru", "Tota", "Mithu", "Kesar", "Ganga", "Pawan",
    "Bulbul", "Sitara",
];

/// A small repeatable generator, so that a match depends on its seed alone.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> usize {
        usize::try_from(self.next() % bound.max(1)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn questions(n: usize) -> Vec<Question> {
        (0..n)
            .map(|i| Question {
                id: format!("q{i}"),
                text: format!("question {i}"),
                text_hi: None,
                choices: vec!["right".into(), "b".into(), "c".into(), "d".into()],
                answer: 0,
            })
            .collect()
    }

    fn person(n: u8) -> PersonId {
        PersonId(mela_base::Id::from_bytes([n; 16]))
    }

    fn alone(seed: u64) -> (Quiz, Phase) {
        let config = QuizConfig { seats: 2, ..QuizConfig::default() };
        Quiz::start(
            config,
            questions(3),
            vec![(person(1), "Asha".into())],
            seed,
            Timestamp::default(),
        )
    }

    fn right_choice(phase: &Phase) -> u32 {
        let Phase::Question { choices, .. } = phase else { panic!("no question: {phase:?}") };
        u32::try_from(choices.iter().position(|c| c == "right").unwrap()).unwrap()
    }

    #[test]
    fn faster_right_answers_win_more() {
        let answer_at = |ms: i64| {
            let (mut quiz, phase) = alone(7);
            let at = Timestamp::default().plus_ms(ms);
            quiz.answer(person(1), 0, right_choice(&phase), at).unwrap();
            quiz.tick(Timestamp::default().plus_ms(10_000));
            quiz.scores()[0]
        };
        assert_eq!(answer_at(0), 1_000);
        assert_eq!(answer_at(5_000), 750);
        assert_eq!(answer_at(10_000), 500);
    }

    #[test]
    fn one_answer_in_time_to_the_open_question_only() {
        let (mut quiz, phase) = alone(7);
        let now = Timestamp::default();
        let right = right_choice(&phase);
        assert!(matches!(quiz.answer(person(9), 0, 0, now), Err(PlayError::NoSeat)));
        assert!(matches!(quiz.answer(person(1), 1, 0, now), Err(PlayError::TooLate)));
        assert!(matches!(quiz.answer(person(1), 0, 4, now), Err(PlayError::Invalid { .. })));
        assert!(matches!(
            quiz.answer(person(1), 0, 0, now.plus_ms(10_001)),
            Err(PlayError::TooLate)
        ));
        quiz.answer(person(1), 0, right, now).unwrap();
        assert!(matches!(quiz.answer(person(1), 0, right, now), Err(PlayError::TooLate)));
    }

    proptest! {
        #[test]
        fn every_match_ends_and_depends_on_its_seed_alone(seed: u64, inputs: Vec<(u16, u32, u32)>) {
            let run = || {
                let (mut quiz, _) = alone(seed);
                let (mut now, mut inputs) = (Timestamp::default(), inputs.iter());
                for _ in 0..2_000 {
                    if let Some((ms, question, choice)) = inputs.next() {
                        now = now.plus_ms(i64::from(*ms % 3_000));
                        let _ = quiz.answer(person(1), *question % 4, *choice % 5, now);
                    } else {
                        now = now.plus_ms(100);
                    }
                    if quiz.tick(now) == Step::Over {
                        return Some(standings(&quiz.players(), &quiz.scores()));
                    }
                }
                None
            };
            let first = run();
            prop_assert!(first.is_some());
            prop_assert_eq!(first, run());
        }
    }
}
