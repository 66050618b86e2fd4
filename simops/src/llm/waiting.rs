//! Calls that wait for calls in flight to make room in a budget, in order of arrival.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout_at};

use super::CallError;
use crate::usage::Refused;
use crate::usage::admission::RETRY_IN_FLIGHT;

/// How often a call that waits for its turn looks whether it is still wanted.
const POLL: Duration = Duration::from_millis(250);

/// What calls wait for: a use of a budget, as its refusals name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Waited {
    pub(super) reason: Refused,
    pub(super) budget: Arc<str>,
    pub(super) place: Arc<str>,
}

impl Waited {
    /// What a refusal names, if only calls in flight are in the way.
    pub(super) fn of(error: &CallError) -> Option<Self> {
        match error {
            CallError::Refused { reason, budget, place, retry_after: Some(_) } => {
                let (budget, place) = (Arc::clone(budget), Arc::clone(place));
                Some(Self { reason: *reason, budget, place })
            }
            _ => None,
        }
    }

    /// The refusal of a call whose turn does not come in time.
    pub(super) fn refusal(self) -> CallError {
        let Self { reason, budget, place } = self;
        CallError::Refused { reason, budget, place, retry_after: Some(RETRY_IN_FLIGHT) }
    }
}

/// The queues of this process, one for each use of a budget that calls wait for.
#[derive(Debug, Default)]
pub(super) struct Waiting(Arc<Mutex<HashMap<Waited, Queue>>>);

#[derive(Debug, Default)]
struct Queue {
    /// The right to ask again. Tokio hands it on in the order in which it was asked for.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Calls that wait, the one that has the turn among them.
    calls: usize,
}

/// A place in a queue. Dropping it leaves the queue.
#[derive(Debug)]
pub(super) struct Place {
    of: Waited,
    queues: Arc<Mutex<HashMap<Waited, Queue>>>,
    turn: Option<OwnedMutexGuard<()>>,
}

/// The place of a call that is being tried, which whoever admits it takes and drops. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct PlaceUntilAdmitted(Arc<Mutex<Option<Place>>>);

impl PlaceUntilAdmitted {
    /// Puts a place in.
    pub(super) fn put(&self, place: Option<Place>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }

    /// Takes the place out.
    pub(super) fn take(&self) -> Option<Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Waiting {
    /// Joins a queue at its end.
    pub(super) fn join(&self, of: &Waited) -> Place {
        let queues = Arc::clone(&self.0);
        lock(&queues).entry(of.clone()).or_default().calls += 1;
        Place { of: of.clone(), queues, turn: None }
    }

    /// A queue that `counts` says to hold the call, if there is one: it must not overtake others.
    pub(super) fn ahead(&self, counts: impl Fn(&Waited) -> bool) -> Option<Waited> {
        lock(&self.0).keys().find(|of| counts(of)).cloned()
    }
}

impl Place {
    /// What it waits for.
    pub(super) fn of(&self) -> &Waited {
        &self.of
    }

    /// Waits until those before have left; false if that takes until `deadline`, or longer than the call
    /// is `wanted`.
    ///
    /// # Cancel safety
    /// Dropping the future puts it behind those that wait already.
    pub(super) async fn turn(&mut self, deadline: Instant, wanted: impl Fn() -> bool) -> bool {
        if self.turn.is_some() {
            return true;
        }
        let turn = lock(&self.queues).get(&self.of).map(|queue| Arc::clone(&queue.turn));
        let Some(turn) = turn else { return true };
        let mut turn = pin!(turn.lock_owned());
        while self.turn.is_none() {
            let soon = deadline.min(Instant::now() + POLL);
            self.turn = timeout_at(soon, &mut turn).await.ok();
            if self.turn.is_none() && (Instant::now() >= deadline || !wanted()) {
                return false;
            }
        }
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.turn = None;
        let mut queues = lock(&self.queues);
        if let Some(queue) = queues.get_mut(&self.of) {
            queue.calls -= 1;
            if queue.calls == 0 {
                queues.remove(&self.of);
            }
        }
    }
}

fn lock(queues: &Mutex<HashMap<Waited, Queue>>) -> MutexGuard<'_, HashMap<Waited, Queue>> {
    queues.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(budget: &str) -> Waited {
        let (reason, place) = (Refused::BudgetReached, "".into());
        Waited { reason, budget: budget.into(), place }
    }

    #[tokio::test(start_paused = true)]
    async fn turns_come_in_order_of_arrival_and_a_queue_ends_with_its_last_call() {
        let waiting = Waiting::default();
        let soon = || Instant::now() + Duration::from_secs(1);
        let (mut first, mut second) = (waiting.join(&of("b")), waiting.join(&of("b")));
        assert!(first.turn(soon(), || true).await && first.turn(soon(), || true).await);
        assert!(!second.turn(soon(), || true).await, "the first has it");
        assert_eq!(waiting.ahead(|of| &*of.budget == "b"), Some(of("b")));
        assert!(waiting.join(&of("c")).turn(soon(), || true).await, "another queue");
        let mut third = waiting.join(&of("b"));
        assert!(!third.turn(soon(), || false).await, "it is not wanted any more");
        drop((first, third));
        assert!(second.turn(soon(), || true).await);
        drop(second);
        assert_eq!(waiting.ahead(|_| true), None);
    }
}
