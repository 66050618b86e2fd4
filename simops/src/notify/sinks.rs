//! The receivers of a deployment.

use std::fmt;
use std::sync::Arc;

use super::AlertSink;
use crate::alert::Receiver;

/// The receivers of a deployment.
#[derive(Clone, Default)]
pub struct Sinks(Vec<Arc<dyn AlertSink>>);

impl fmt::Debug for Sinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|sink| sink.name())).finish()
    }
}

impl Sinks {
    /// A set of given receivers.
    pub fn of(sinks: Vec<Arc<dyn AlertSink>>) -> Self {
        Self(sinks)
    }

    /// The names and targets of the receivers.
    pub fn receivers(&self) -> Vec<Receiver> {
        let receiver = |sink: &Arc<dyn AlertSink>| Receiver {
            sink: sink.name().to_owned(),
            target: sink.target().to_owned(),
        };
        self.0.iter().map(receiver).collect()
    }

    /// The receiver with that name and target.
    pub(super) fn find(&self, name: &str, target: &str) -> Option<&Arc<dyn AlertSink>> {
        self.0.iter().find(|sink| sink.name() == name && sink.target() == target)
    }
}
