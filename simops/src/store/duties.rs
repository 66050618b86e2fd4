//! Duties: what one process at a time does for all, such as timers and deliveries.

use async_trait::async_trait;
use uuid::Uuid;

use crate::Result;

/// Who has a duty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenure {
    /// The duty's name.
    pub duty: String,
    /// The process that has it; `None` after it was given up.
    pub holder: Option<Uuid>,
    /// Counts the holders. Work stamped with a smaller number than this is a former holder's.
    pub fence: u64,
    /// Counts the holder's signs of life.
    pub beat: u64,
}

impl Tenure {
    /// What fences work done under this tenure.
    pub fn stamp(&self) -> Stamp {
        Stamp { duty: self.duty.clone(), fence: self.fence }
    }
}

/// Under which tenure something is done: a write that carries it is refused once another process
/// has the duty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The duty.
    pub duty: String,
    /// The fencing number.
    pub fence: u64,
}

/// Duties. When a tenure is over is decided by [`crate::timers`], not here.
#[async_trait]
pub trait DutyStore: Send + Sync {
    /// Who has a duty; `None` before anybody had it.
    async fn tenure(&self, duty: &str) -> Result<Option<Tenure>>;

    /// Replaces the tenure of `next.duty` by `next` if it equals `seen` now; whether it did. A
    /// repetition of what was done is false: read again to see.
    async fn move_tenure(&self, seen: Option<&Tenure>, next: &Tenure) -> Result<bool>;
}
