//! What a process remembers of visitors' stored steps, so that recent visitors need not be looked up.
//!
//! It is valid while the stored token is the one it was saved with. Whoever changes steps, in this
//! process or another, replaces the token; that of a transaction that was rolled back is never seen
//! again.

use std::sync::{Arc, Mutex, PoisonError};

use simops::kpi::VisitorSteps;
use uuid::Uuid;

/// Maximum number of visitors' days that are remembered: some tens of MiB.
const MAX_ENTRIES: usize = 1 << 18;

/// The remembered steps, also of visitors without any. A clone shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct DedupIndex(Arc<Mutex<Option<(Uuid, VisitorSteps)>>>);

impl DedupIndex {
    /// Takes what is valid under `token`. The caller holds the lock of those who record.
    pub(crate) fn take(&self, token: Uuid) -> VisitorSteps {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        remembered.filter(|(of, _)| *of == token).map(|(_, steps)| steps).unwrap_or_default()
    }

    /// Remembers what is valid once the transaction that wrote `token` is durable.
    pub(crate) fn put(&self, token: Uuid, mut steps: VisitorSteps) {
        if steps.len() > MAX_ENTRIES {
            steps.clear();
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((token, steps));
    }
}
