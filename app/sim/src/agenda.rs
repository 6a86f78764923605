//! What happens by itself later: timeouts, late bank answers, parcels under way, webhook retries.
//! Due times are on the simulated clock, so moving the clock makes them happen.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::hooks::Delivery;
use crate::world::World;

/// Something that is due later.
pub(crate) enum Act {
    /// The bank did not answer for ten minutes.
    PaymentTimeout(String),
    /// The bank's yes arrives after the payment was given up.
    LateAuthorisation(String),
    /// Nobody captured in time.
    CaptureExpiry(String),
    /// A pending refund ends.
    RefundEnds(String),
    /// A payment link was not paid in time.
    LinkExpiry(String),
    /// A QR code closes at its time.
    QrExpiry(String),
    /// The parcel takes its next step, and so on in steps of this many milliseconds.
    ParcelStep(String, u64),
    /// A webhook goes out.
    Deliver(Box<Delivery>),
    /// Webhooks that were held back go out in reverse order.
    ReleaseHeld,
}

/// More than this waits for nothing reasonable; what comes on top is dropped and counted.
const MAX_WAITING: usize = 200_000;

#[derive(Default)]
pub(crate) struct Agenda {
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Default)]
struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    arrivals: u64,
    dropped: u64,
}

struct Entry {
    due_ms: i64,
    arrival: u64,
    act: Act,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due_ms, self.arrival).cmp(&(other.due_ms, other.arrival))
    }
}

impl Agenda {
    pub(crate) fn at(&self, due_ms: i64, act: Act) {
        let earlier = {
            let mut queue = self.queue.lock();
            if queue.heap.len() >= MAX_WAITING {
                queue.dropped += 1;
                return;
            }
            queue.arrivals += 1;
            let arrival = queue.arrivals;
            let earlier = queue.heap.peek().is_none_or(|Reverse(first)| due_ms < first.due_ms);
            queue.heap.push(Reverse(Entry { due_ms, arrival, act }));
            earlier
        };
        if earlier {
            self.changed.notify_one();
        }
    }

    /// After the clock moved.
    pub(crate) fn look_again(&self) {
        self.changed.notify_one();
    }

    /// How many wait, and how many were dropped because too many waited.
    pub(crate) fn counts(&self) -> (usize, u64) {
        let queue = self.queue.lock();
        (queue.heap.len(), queue.dropped)
    }

    /// Either what is due, or how long there is nothing to do.
    fn next(&self, now_ms: i64) -> Result<Act, Duration> {
        const LONGEST_NAP_MS: i64 = 60_000;
        let mut queue = self.queue.lock();
        match queue.heap.peek() {
            None => Err(Duration::from_millis(LONGEST_NAP_MS as u64)),
            Some(Reverse(first)) if first.due_ms > now_ms => {
                let wait = (first.due_ms - now_ms).clamp(1, LONGEST_NAP_MS);
                Err(Duration::from_millis(wait as u64))
            }
            Some(_) => match queue.heap.pop() {
                Some(Reverse(entry)) => Ok(entry.act),
                None => Err(Duration::from_millis(1)),
            },
        }
    }
}

/// Does what is due until told to stop.
pub(crate) async fn run(world: Arc<World>, mut stopped: watch::Receiver<bool>) {
    loop {
        match world.agenda.next(world.clock.now_ms()) {
            Ok(act) => {
                perform(&world, act);
                tokio::task::consume_budget().await;
            }
            Err(nap) => tokio::select! {
                () = tokio::time::sleep(nap) => {}
                () = world.agenda.changed.notified() => {}
                _ = stopped.changed() => return,
            },
        }
        if *stopped.borrow() {
            return;
        }
    }
}

fn perform(world: &Arc<World>, act: Act) {
    match act {
        Act::PaymentTimeout(id) => world.razorpay.payment_timed_out(world, &id),
        Act::LateAuthorisation(id) => world.razorpay.authorised_late(world, &id),
        Act::CaptureExpiry(id) => world.razorpay.capture_expired(world, &id),
        Act::LinkExpiry(id) => world.razorpay.link_expired(world, &id),
        Act::QrExpiry(id) => world.razorpay.qr_expired(world, &id),
        Act::RefundEnds(id) => world.razorpay.refund_ends(world, &id),
        Act::ParcelStep(id, step_ms) => world.shipway.step(world, &id, step_ms),
        Act::Deliver(delivery) => crate::hooks::deliver(world.clone(), *delivery),
        Act::ReleaseHeld => world.hooks.release_held(world),
    }
}
