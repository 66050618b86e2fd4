//! The run and agent a call belongs to, its settings, and whether it may still begin.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::AgentId;
use crate::settings::Effective;

type IsCurrent = dyn Fn() -> bool + Send + Sync;

/// The run and agent a call belongs to, its settings, and whether it may still begin.
#[derive(Clone)]
pub struct CallContext {
    /// The run that the call is recorded for, if any.
    pub run_id: Option<String>,
    /// The agent that the call is recorded for, if any.
    pub agent_id: Option<AgentId>,
    /// The agent's checkpoint, counted from 1, if any.
    pub checkpoint: Option<i64>,
    /// The settings in effect: caps, `OPENROUTER_RPM_LIMIT`, `FORCE_CHEAPEST_ROUTE`.
    pub settings: Arc<Effective>,
    /// Limit of the whole call; `None`: the router's `call_timeout`.
    pub timeout: Option<Duration>,
    is_current: Arc<IsCurrent>,
}

impl CallContext {
    /// A context without run or agent, whose calls may always begin.
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

    /// Sets the run.
    #[must_use]
    pub fn for_run(self, run_id: impl Into<String>) -> Self {
        Self { run_id: Some(run_id.into()), ..self }
    }

    /// Sets the agent, by its number or name, and its checkpoint.
    #[must_use]
    pub fn for_agent(self, agent_id: impl Into<AgentId>, checkpoint: Option<i64>) -> Self {
        Self { agent_id: Some(agent_id.into()), checkpoint, ..self }
    }

    /// Lets calls begin only while `is_current` returns true, as in
    /// [`Turn::is_current`](crate::host::Turn::is_current). It is called before every attempt and
    /// must return quickly.
    #[must_use]
    pub fn while_current(self, is_current: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { is_current: Arc::new(is_current), ..self }
    }

    /// Limits the whole call, retries and later routes included.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
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
