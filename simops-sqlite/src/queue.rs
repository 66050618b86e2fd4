//! A bounded queue of jobs for the threads: under a slow disk, calls are refused instead of filling
//! memory.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use simops::Error;

/// Jobs that wait for a thread.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    capacity: usize,
}

struct State<T> {
    waiting: VecDeque<T>,
    /// Taken one at a time, and never two in a row while others wait.
    yielding: VecDeque<T>,
    has_yielded: bool,
    running: usize,
    closed: bool,
}

impl<T> State<T> {
    fn take(&mut self, limit: usize) -> Vec<T> {
        let count = self.waiting.len().min(limit);
        self.running += count;
        self.waiting.drain(..count).collect()
    }

    fn take_any(&mut self, limit: usize) -> Vec<T> {
        self.has_yielded = self.waiting.is_empty() || !self.has_yielded;
        match self.yielding.pop_front_if(|_| self.has_yielded) {
            Some(item) => {
                self.running += 1;
                vec![item]
            }
            None => self.take(limit),
        }
    }
}

impl<T> Queue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            yielding: VecDeque::new(),
            has_yielded: false,
            running: 0,
            closed: false,
        };
        Self { state: Mutex::new(state), arrived: Condvar::new(), capacity: capacity.max(1) }
    }

    /// Appends `item`.
    ///
    /// # Errors
    /// `Unavailable` if the queue is full or the store is closed.
    pub(crate) fn push(&self, item: T) -> Result<(), Error> {
        self.push_to(item, |state| &mut state.waiting)
    }

    /// As [`Queue::push`], for an item of which there may be many slow ones: it lets others pass.
    pub(crate) fn push_yielding(&self, item: T) -> Result<(), Error> {
        self.push_to(item, |state| &mut state.yielding)
    }

    fn push_to(
        &self,
        item: T,
        lane: impl FnOnce(&mut State<T>) -> &mut VecDeque<T>,
    ) -> Result<(), Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::unavailable("the store is closed"));
        }
        let lane = lane(&mut state);
        if lane.len() >= self.capacity {
            return Err(Error::unavailable("too many calls wait for the database"));
        }
        lane.push_back(item);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes up to `limit` items, waiting for the first. `None` once the queue is closed and empty.
    pub(crate) fn take(&self, limit: usize) -> Option<Vec<T>> {
        let mut state = self.lock();
        loop {
            let items = state.take_any(limit);
            if !items.is_empty() {
                return Some(items);
            }
            if state.closed {
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes up to `limit` items that wait now and do not yield.
    pub(crate) fn take_now(&self, limit: usize) -> Vec<T> {
        self.lock().take(limit)
    }

    /// Marks `count` taken items as finished.
    pub(crate) fn done(&self, count: usize) {
        let mut state = self.lock();
        state.running = state.running.saturating_sub(count);
    }

    /// Refuses new items. Those that wait are still taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Waiting and running items as a share of the capacity.
    pub(crate) fn utilization(&self) -> f64 {
        let state = self.lock();
        let used = state.waiting.len() + state.yielding.len() + state.running;
        #[expect(clippy::cast_precision_loss, reason = "a share, not a count")]
        let share = used as f64 / self.capacity as f64;
        share.min(1.0)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // No code that can panic runs under the lock, so the state is consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
