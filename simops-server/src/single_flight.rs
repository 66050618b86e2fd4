//! A cached value that one caller at a time computes for all that wait for it.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::problem::Problem;

/// A value of limited age.
pub(crate) struct SingleFlight<T> {
    max_age: Duration,
    last: RwLock<Option<Entry<T>>>,
    computing: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Entry<T> {
    value: Result<T, Problem>,
    revision: u64,
    taken: Instant,
}

impl<T: Clone> SingleFlight<T> {
    /// A value that is recomputed once it is older than `max_age`.
    pub(crate) fn new(max_age: Duration) -> Self {
        Self { max_age, last: RwLock::new(None), computing: tokio::sync::Mutex::new(()) }
    }

    /// Returns the cached value if it is younger than the maximum age and of the current
    /// `revision`; computes it otherwise.
    ///
    /// # Errors
    /// The error of `compute`, shared with the callers that waited for it and with no other.
    pub(crate) async fn get<F>(
        &self,
        revision: impl Fn() -> u64,
        compute: impl FnOnce() -> F,
    ) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, Problem>>,
    {
        let requested = Instant::now();
        match self.usable(&revision, requested) {
            Some(Ok(value)) => Ok(value),
            // Boxed, to keep the future small for callers that find a value.
            _ => Box::pin(self.renew(requested, revision, compute)).await,
        }
    }

    async fn renew<F>(
        &self,
        requested: Instant,
        revision: impl Fn() -> u64,
        compute: impl FnOnce() -> F,
    ) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, Problem>>,
    {
        let _computing = self.computing.lock().await;
        if let Some(value) = self.usable(&revision, requested) {
            return value;
        }
        // Both are read before the value, so that it is at least as new as they say.
        let (revision, taken) = (revision(), Instant::now());
        let value = compute().await;
        let taken = if value.is_ok() { taken } else { Instant::now() };
        let entry = Entry { value: value.clone(), revision, taken };
        *self.last.write().unwrap_or_else(PoisonError::into_inner) = Some(entry);
        value
    }

    fn usable(&self, revision: impl Fn() -> u64, requested: Instant) -> Option<Result<T, Problem>> {
        let last = self.last.read().unwrap_or_else(PoisonError::into_inner);
        let entry = last.as_ref()?;
        let good = match entry.value {
            // Computed after this request began, however long that took.
            Ok(_) if entry.taken >= requested => true,
            Ok(_) => entry.revision == revision() && requested - entry.taken < self.max_age,
            Err(_) => entry.taken >= requested,
        };
        good.then(|| entry.value.clone())
    }
}

#[cfg(test)]
mod tests;
