//! For whom a call is made, under which settings, and whether it still may begin.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::settings::Effective;

type IsCurrent = dyn Fn() -> bool + Send + Sync;

/// For whom a call is made, under which settings, and whether it still may begin.
#[derive(Clone)]
pub struct CallContext {
    /// The run it counts for, if any.
    pub run_id: Option<String>,
    /// The agent it counts for, if any.
    pub agent_id: Option<i64>,
    /// The agent's checkpoint, counted from 1, if any.
    pub checkpoint: Option<i64>,
    /// The settings that hold: caps, `OPENROUTER_RPM_LIMIT`, `FORCE_CHEAPEST_ROUTE`.
    pub settings: Arc<Effective>,
    /// All of the call may take so long; `None`: the router's own patience.
    pub timeout: Option<Duration>,
    is_current: Arc<IsCurrent>,
}

impl CallContext {
    /// A call for nobody in particular, which may always begin.
    pub fn new(settings: Arc<Effective>) -> Self {
        Self {
            run_id: None,
            agent_id: None,
            checkpoint: None,
            settings,
            timeout: None,
            is_current: Arc::new(|| true),
        }
    }

    /// The same for a run.
    #[must_use]
    pub fn for_run(self, run_id: impl Into<String>) -> Self {
        Self { run_id: Some(run_id.into()), ..self }
    }

    /// The same for an agent, at one of its checkpoints.
    #[must_use]
    pub fn for_agent(self, agent_id: i64, checkpoint: Option<i64>) -> Self {
        Self { agent_id: Some(agent_id), checkpoint, ..self }
    }

    /// The same, which may begin only while `is_current` says so: the gate of a turn
    /// ([`Turn::is_current`](crate::host::Turn::is_current)). Asked before every attempt; quick.
    #[must_use]
    pub fn while_current(self, is_current: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { is_current: Arc::new(is_current), ..self }
    }

    /// The same within `timeout`, retries and later routes included.
    #[must_use]
    pub fn within(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Whether a call may still begin.
    pub fn is_current(&self) -> bool {
        (self.is_current)()
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("run_id", &self.run_id)
            .field("agent_id", &self.agent_id)
            .field("checkpoint", &self.checkpoint)
            .field("is_current", &self.is_current())
            .finish_non_exhaustive()
    }
}
