//! PagerDuty's Events API v2.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;

use super::{AlertSink, Dialer};
use crate::Secret;
use crate::alert::notify::RESOLVED;
use crate::alert::{Message, Outcome};
use crate::kpi::event::hash_key;

/// The URL that accepts events.
pub(super) const EVENTS_URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// The longest summary that PagerDuty accepts, in characters.
const SUMMARY_CHARS: usize = 1_024;

/// A PagerDuty service.
pub struct PagerDuty {
    dialer: Dialer,
    key: Secret,
    target: String,
}

impl PagerDuty {
    /// The service with a routing key.
    pub fn new(dialer: Dialer, key: Secret) -> Self {
        let address = format!("{} {}", dialer.url(), key.expose());
        let target = hash_key(&address).simple().to_string();
        Self { dialer, key, target }
    }
}

#[async_trait]
impl AlertSink for PagerDuty {
    fn name(&self) -> &'static str {
        "pagerduty"
    }

    fn target(&self) -> &str {
        &self.target
    }

    async fn send(&self, message: &Message, _: Timestamp) -> Outcome {
        let environment = message.data["environment"].as_str().unwrap_or_default();
        // One incident per deployment; later alerts are added to the open incident.
        let mut body = json!({
            "routing_key": self.key.expose(),
            "event_action": if message.kind == RESOLVED { "resolve" } else { "trigger" },
            "dedup_key": format!("simops-kpi-{environment}"),
        });
        if message.kind != RESOLVED {
            let summary: String = message.text.chars().take(SUMMARY_CHARS).collect();
            body["payload"] = json!({
                "summary": summary,
                "source": format!("simops {environment}"),
                "severity": "critical",
                "timestamp": message.created_at,
                "custom_details": message.data,
            });
        }
        self.dialer.send(&[], body.to_string().into_bytes()).await
    }
}
