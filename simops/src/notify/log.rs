//! The log as a receiver.

use async_trait::async_trait;
use jiff::Timestamp;
use tracing::{info, warn};

use super::AlertSink;
use crate::alert::notify::RESOLVED;
use crate::alert::{Message, Outcome};

/// Writes messages to the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Log;

#[async_trait]
impl AlertSink for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    fn target(&self) -> &'static str {
        "log"
    }

    async fn send(&self, message: &Message, _: Timestamp) -> Outcome {
        if message.kind == RESOLVED {
            info!(message_id = %message.id, "{}", message.text);
        } else {
            warn!(code = "kpi_alert", message_id = %message.id, "{}", message.text);
        }
        Outcome::Accepted(None)
    }
}
