//! What all simulators share: ids, clock, bounded shelves.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use ring::rand::SecureRandom;

use crate::agenda::Agenda;
use crate::config::SimConfig;
use crate::faults::Faults;
use crate::hooks::Hooks;
use crate::mail::mailbox::MailBox;
use crate::razorpay::Razorpay;
use crate::shipway::Shipway;
use crate::sms::SmsBox;

/// Everything that is simulated. Each provider sits behind its own short lock.
pub(crate) struct World {
    pub(crate) cfg: SimConfig,
    pub(crate) base_url: String,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) agenda: Agenda,
    pub(crate) faults: Faults,
    pub(crate) hooks: Hooks,
    pub(crate) razorpay: Razorpay,
    pub(crate) shipway: Shipway,
    pub(crate) sms: Mutex<SmsBox>,
    pub(crate) mail: Mutex<MailBox>,
}

impl World {
    pub(crate) fn new(cfg: SimConfig, base_url: String) -> Self {
        let seed = cfg.seed.unwrap_or_else(drawn_seed);
        Self {
            base_url,
            clock: Clock::default(),
            ids: Ids(AtomicU64::new(seed)),
            agenda: Agenda::default(),
            faults: Faults::default(),
            hooks: Hooks::new(&cfg),
            razorpay: Razorpay::new(&cfg),
            shipway: Shipway::new(&cfg),
            sms: Mutex::new(SmsBox::new(&cfg.sms)),
            mail: Mutex::new(MailBox::default()),
            cfg,
        }
    }
}

fn drawn_seed() -> u64 {
    let mut bytes = [0; 8];
    match ring::rand::SystemRandom::new().fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        // Without system randomness the time still keeps two starts apart.
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64),
    }
}

/// System time plus what `/_sim/clock` added.
#[derive(Default)]
pub(crate) struct Clock {
    ahead_ms: AtomicI64,
}

impl Clock {
    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        let system =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
        system + self.ahead_ms.load(Ordering::Relaxed)
    }

    /// Forward only, so that nothing that already happened lies in the future.
    pub(crate) fn advance(&self, ms: u32) {
        self.ahead_ms.fetch_add(i64::from(ms), Ordering::Relaxed);
    }

    pub(crate) fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }
}

/// Repeatable identifiers and dice: SplitMix64 over a counter, so that it needs no lock.
pub(crate) struct Ids(AtomicU64);

impl Ids {
    pub(crate) fn next_u64(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// `prefix` and 14 letters or digits, as Razorpay makes them.
    pub(crate) fn razorpay(&self, prefix: &str) -> String {
        const ALPHABET: &[u8; 62] =
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut dice = (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64());
        let mut id = String::with_capacity(prefix.len() + 14);
        id.push_str(prefix);
        for _ in 0..14 {
            id.push(char::from(ALPHABET[(dice % 62) as usize]));
            dice /= 62;
        }
        id
    }

    /// `count` decimal digits, the first not zero.
    pub(crate) fn digits(&self, count: u32) -> String {
        let low = 10_u64.pow(count - 1);
        (low + self.next_u64() % (low * 9)).to_string()
    }

    /// True with this probability.
    pub(crate) fn chance(&self, probability: f64) -> bool {
        (self.next_u64() >> 11) as f64 / ((1_u64 << 53) as f64) < probability
    }
}

/// A map that remembers the order of arrival and lets the oldest go when it is full.
pub(crate) struct Shelf<T> {
    items: HashMap<String, T>,
    arrival: VecDeque<String>,
    cap: usize,
}

impl<T> Shelf<T> {
    pub(crate) fn new(cap: usize) -> Self {
        Self { items: HashMap::new(), arrival: VecDeque::new(), cap }
    }

    /// Returns what had to go.
    pub(crate) fn insert(&mut self, id: String, item: T) -> Option<T> {
        if self.items.insert(id.clone(), item).is_none() {
            self.arrival.push_back(id);
        }
        if self.arrival.len() <= self.cap {
            return None;
        }
        self.arrival.pop_front().and_then(|oldest| self.items.remove(&oldest))
    }

    pub(crate) fn get(&self, id: &str) -> Option<&T> {
        self.items.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.items.get_mut(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &T> {
        self.arrival.iter().rev().filter_map(|id| self.items.get(id))
    }

    pub(crate) fn oldest_first(&self) -> impl Iterator<Item = &T> {
        self.arrival.iter().filter_map(|id| self.items.get(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_repeat_with_the_seed_and_have_the_right_shape() {
        let make = || Ids(AtomicU64::new(7));
        let (a, b) = (make(), make());
        let first: Vec<_> = (0..50).map(|_| a.razorpay("order_")).collect();
        let second: Vec<_> = (0..50).map(|_| b.razorpay("order_")).collect();
        assert_eq!(first, second);
        assert!(
            first
                .iter()
                .all(|id| id.len() == 20 && id[6..].bytes().all(|c| c.is_ascii_alphanumeric()))
        );
        assert_eq!(a.digits(12).len(), 12);
    }

    #[test]
    fn a_full_shelf_lets_the_oldest_go() {
        let mut shelf = Shelf::new(2);
        assert_eq!(shelf.insert("a".into(), 1), None);
        assert_eq!(shelf.insert("b".into(), 2), None);
        assert_eq!(shelf.insert("c".into(), 3), Some(1));
        assert_eq!(shelf.newest_first().copied().collect::<Vec<_>>(), [3, 2]);
        assert_eq!(shelf.len(), 2);
        assert!(shelf.get("a").is_none());
    }
}
