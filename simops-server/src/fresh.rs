//! A value that many ask for and that is computed once: shared while fresh, computed by one caller
//! at a time.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::problem::Problem;

/// A shared value.
pub(crate) struct Fresh<T> {
    max_age: Duration,
    last: RwLock<Option<Entry<T>>>,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Entry<T> {
    value: Result<T, Problem>,
    revision: u64,
    taken: Instant,
}

impl<T: Clone> Fresh<T> {
    /// A value that is good for `max_age` at most.
    pub(crate) fn new(max_age: Duration) -> Self {
        Self { max_age, last: RwLock::new(None), turn: tokio::sync::Mutex::new(()) }
    }

    /// The value, computed unless one is there that is young enough and belongs to the `revision`
    /// of now. A failure is shared only with those who waited for it.
    pub(crate) async fn get<F>(
        &self,
        revision: impl Fn() -> u64,
        compute: impl FnOnce() -> F,
    ) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, Problem>>,
    {
        let asked = Instant::now();
        match self.usable(&revision, asked) {
            Some(Ok(value)) => Ok(value),
            // Boxed, so that those who find a value do not carry the room to compute it.
            _ => Box::pin(self.renew(asked, revision, compute)).await,
        }
    }

    async fn renew<F>(
        &self,
        asked: Instant,
        revision: impl Fn() -> u64,
        compute: impl FnOnce() -> F,
    ) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, Problem>>,
    {
        let _turn = self.turn.lock().await;
        if let Some(value) = self.usable(&revision, asked) {
            return value;
        }
        // Both are read before the value, so that neither promises more than it holds.
        let (revision, taken) = (revision(), Instant::now());
        let value = compute().await;
        let taken = if value.is_ok() { taken } else { Instant::now() };
        let entry = Entry { value: value.clone(), revision, taken };
        *self.last.write().unwrap_or_else(PoisonError::into_inner) = Some(entry);
        value
    }

    fn usable(&self, revision: impl Fn() -> u64, asked: Instant) -> Option<Result<T, Problem>> {
        let last = self.last.read().unwrap_or_else(PoisonError::into_inner);
        let entry = last.as_ref()?;
        let good = match entry.value {
            // A computation that began after the question answers it, however long it took.
            Ok(_) if entry.taken >= asked => true,
            Ok(_) => entry.revision == revision() && asked - entry.taken < self.max_age,
            Err(_) => entry.taken >= asked,
        };
        good.then(|| entry.value.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn is_computed_once_for_many_and_anew_when_the_revision_moves() {
        let fresh = Fresh::new(Duration::from_secs(60));
        let (revision, computed) = (AtomicU64::new(1), AtomicU64::new(0));
        let ask = async || {
            let now = || revision.load(Ordering::SeqCst);
            let compute = async || {
                tokio::task::yield_now().await;
                Ok(computed.fetch_add(1, Ordering::SeqCst))
            };
            fresh.get(now, compute).await.unwrap()
        };
        let (first, second) = tokio::join!(ask(), ask());
        assert_eq!((first, second), (0, 0));
        revision.store(2, Ordering::SeqCst);
        assert_eq!(ask().await, 1);
    }

    #[tokio::test]
    async fn a_failure_is_shared_with_those_who_waited_and_with_nobody_else() {
        let fresh = Fresh::<u64>::new(Duration::from_secs(60));
        let tried = AtomicU64::new(0);
        let ask = async || {
            let compute = async || {
                tokio::task::yield_now().await;
                tried.fetch_add(1, Ordering::SeqCst);
                Err(Problem::no_such_path())
            };
            fresh.get(|| 1, compute).await.unwrap_err()
        };
        tokio::join!(ask(), ask(), ask());
        assert_eq!(tried.load(Ordering::SeqCst), 1);
        ask().await;
        assert_eq!(tried.load(Ordering::SeqCst), 2);
    }
}
