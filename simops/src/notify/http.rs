//! Receivers that are called over HTTP: webhooks, chats and PagerDuty.

use std::fmt;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{AlertSink, Dialer};
use crate::alert::notify::RESOLVED;
use crate::alert::{Message, Outcome};
use crate::kpi::event::hash_key;
use crate::{Error, Result, Secret};

/// The URL that accepts PagerDuty's events.
pub const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// The prefix of a secret in the standard format.
const PREFIX: &str = "whsec_";
/// The longest text that Discord accepts, in characters.
const DISCORD_CHARS: usize = 2_000;
/// The longest summary that PagerDuty accepts, in characters.
const SUMMARY_CHARS: usize = 1_024;

/// The key that signs messages. `Debug` does not show it.
#[derive(Clone)]
pub struct SigningSecret(Vec<u8>);

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(***)")
    }
}

impl SigningSecret {
    /// Parses a secret: base64 after `whsec_`, or the bytes of any other text.
    ///
    /// # Errors
    /// `Invalid` for `field` if the text after `whsec_` is not base64.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            return Ok(Self(text.as_bytes().to_vec()));
        };
        let decoded = STANDARD.decode(encoded).ok().filter(|bytes| !bytes.is_empty());
        decoded.map(Self).ok_or_else(|| {
            Error::invalid(field, "is set to something (not shown) that is not base64 after whsec_")
        })
    }

    /// The signature of a message: `v1,` followed by base64.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        // HMAC accepts keys of any length, so this cannot fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// What a receiver understands.
pub enum Format {
    /// The Standard Webhooks specification: a constant message id, the time of the attempt, and
    /// signatures by these secrets, several while one is being replaced.
    Webhook(Vec<SigningSecret>),
    /// Slack's webhooks, which many other chats accept.
    Slack,
    /// Discord's webhooks.
    Discord,
    /// The Events API v2 of PagerDuty, for the service with this routing key.
    PagerDuty(Secret),
}

/// A receiver at a URL.
pub struct HttpSink {
    dialer: Dialer,
    format: Format,
    target: String,
}

impl HttpSink {
    /// A receiver of messages in `format` at the dialer's URL.
    pub fn new(dialer: Dialer, format: Format) -> Self {
        let address = match &format {
            Format::PagerDuty(key) => format!("{} {}", dialer.url(), key.expose()),
            _ => dialer.url().to_owned(),
        };
        let target = hash_key(&address).simple().to_string();
        Self { dialer, format, target }
    }

    fn body(&self, message: &Message) -> Value {
        match &self.format {
            Format::Webhook(_) => json!({
                "type": message.kind,
                "timestamp": message.created_at,
                "text": message.text,
                "data": message.data,
            }),
            Format::Slack => {
                // Slack interprets these characters, for example as a mention of a whole channel.
                let text = message.text.replace('&', "&amp;");
                json!({ "text": text.replace('<', "&lt;").replace('>', "&gt;") })
            }
            Format::Discord => {
                let content: String = message.text.chars().take(DISCORD_CHARS).collect();
                // The text must not mention users or roles.
                json!({ "content": content, "allowed_mentions": { "parse": [] } })
            }
            Format::PagerDuty(key) => incident(message, key),
        }
    }
}

/// One incident per deployment; later alerts are added to the open incident.
fn incident(message: &Message, key: &Secret) -> Value {
    let environment = message.data["environment"].as_str().unwrap_or_default();
    let mut body = json!({
        "routing_key": key.expose(),
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
    body
}

#[async_trait]
impl AlertSink for HttpSink {
    fn name(&self) -> &'static str {
        match self.format {
            Format::Webhook(_) => "webhook",
            Format::Slack => "slack",
            Format::Discord => "discord",
            Format::PagerDuty(_) => "pagerduty",
        }
    }

    fn target(&self) -> &str {
        &self.target
    }

    async fn send(&self, message: &Message, at: Timestamp) -> Outcome {
        let body = self.body(message).to_string().into_bytes();
        let mut headers = Vec::new();
        if let Format::Webhook(secrets) = &self.format {
            let (id, seconds) = (message.id.to_string(), at.as_second());
            let signatures: Vec<_> =
                secrets.iter().map(|secret| secret.sign(&id, seconds, &body)).collect();
            headers = vec![("webhook-id", id), ("webhook-timestamp", seconds.to_string())];
            if !signatures.is_empty() {
                headers.push(("webhook-signature", signatures.join(" ")));
            }
        }
        self.dialer.send(&headers, body).await
    }
}
