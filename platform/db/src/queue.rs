use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

/// A bounded queue that several threads may take from. Full means "try later", not "wait".
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    bound: usize,
}

struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

/// Why a push was refused.
pub(crate) enum Refused {
    Full,
    Closed,
}

impl<T> Queue<T> {
    pub(crate) fn new(bound: usize) -> Self {
        let state = State { items: VecDeque::new(), closed: false };
        Self { state: Mutex::new(state), filled: Condvar::new(), bound: bound.max(1) }
    }

    pub(crate) fn push(&self, item: T) -> Result<(), (Refused, T)> {
        let mut state = self.state.lock();
        if state.closed {
            return Err((Refused::Closed, item));
        }
        if state.items.len() >= self.bound {
            return Err((Refused::Full, item));
        }
        state.items.push_back(item);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for an item; none after the queue was closed and drained.
    pub(crate) fn pop(&self) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                return Some(item);
            }
            if state.closed {
                return None;
            }
            self.filled.wait(&mut state);
        }
    }

    pub(crate) fn try_pop(&self) -> Option<T> {
        self.state.lock().items.pop_front()
    }

    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_all();
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().items.len()
    }
}
