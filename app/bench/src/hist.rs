//! Latencies in buckets that grow by 1/32: bounded memory, an error of at most 3 %.

use std::time::Duration;

const SUB: u64 = 32;
const BUCKETS: usize = 60 * SUB as usize;

/// A histogram of durations.
#[derive(Clone)]
pub(crate) struct Histogram {
    buckets: Box<[u64]>,
    count: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS].into(), count: 0, max_us: 0 }
    }
}

/// Below 64 µs each µs has a bucket; above, each power of two has 32.
fn bucket(us: u64) -> usize {
    if us < 2 * SUB {
        return us as usize;
    }
    let power = u64::from(us.ilog2()) - u64::from(SUB.ilog2());
    ((power * SUB + (us >> power)) as usize).min(BUCKETS - 1)
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * SUB {
        return bucket;
    }
    let power = bucket / SUB - 1;
    ((bucket % SUB + SUB + 1) << power) - 1
}

impl Histogram {
    pub(crate) fn record(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(us)] += 1;
        self.count += 1;
        self.max_us = self.max_us.max(us);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max_us = self.max_us.max(other.max_us);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// In ms, of `permille` of all.
    pub(crate) fn ms(&self, permille: u64) -> f64 {
        let rank = (self.count * permille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (i, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return upper(i).min(self.max_us) as f64 / 1_000.0;
            }
        }
        self.max_ms()
    }

    pub(crate) fn max_ms(&self) -> f64 {
        self.max_us as f64 / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_close() {
        for us in (0..100_000).chain([1 << 20, 1 << 33, (1 << 40) + 12_345]) {
            let (low, high) = (bucket(us), upper(bucket(us)));
            assert!(high >= us && high - us <= us / 32 + 1, "{us} in {low} up to {high}");
            assert!(bucket(us + 1) == low || bucket(us + 1) == low + 1, "{us}");
        }
        assert_eq!(bucket(u64::MAX), bucket(u64::MAX - 1));
    }

    #[test]
    fn percentiles() {
        let mut all = Histogram::default();
        for ms in 1..=1_000 {
            let mut one = Histogram::default();
            one.record(Duration::from_millis(ms));
            all.add(&one);
        }
        assert_eq!(all.count(), 1_000);
        assert!((all.ms(500) / 500.0 - 1.0).abs() < 0.04, "{}", all.ms(500));
        assert!((all.ms(990) / 990.0 - 1.0).abs() < 0.04, "{}", all.ms(990));
        assert!((all.max_ms() - 1_000.0).abs() < 0.001);
        assert_eq!(Histogram::default().ms(990), 0.0);
    }
}
