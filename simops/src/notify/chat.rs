//! Chats that take a line of text: Slack's form, and Discord's.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;

use super::{AlertSink, Dialer};
use crate::alert::{Message, Outcome};
use crate::kpi::event::hash_key;

/// The longest text that Discord takes.
const DISCORD_CHARS: usize = 2_000;

/// A chat that takes Slack's form, as many others do.
pub struct Slack {
    dialer: Dialer,
    target: String,
}

/// A chat that takes Discord's form.
pub struct Discord {
    dialer: Dialer,
    target: String,
}

impl Slack {
    /// A chat at the dialer's address.
    pub fn new(dialer: Dialer) -> Self {
        let target = hash_key(dialer.url()).simple().to_string();
        Self { dialer, target }
    }
}

impl Discord {
    /// A chat at the dialer's address.
    pub fn new(dialer: Dialer) -> Self {
        let target = hash_key(dialer.url()).simple().to_string();
        Self { dialer, target }
    }
}

#[async_trait]
impl AlertSink for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    fn target(&self) -> &str {
        &self.target
    }

    async fn send(&self, message: &Message, _: Timestamp) -> Outcome {
        // These three begin Slack's own marks, such as a mention of everybody.
        let text = message.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        self.dialer.send(&[], json!({ "text": text }).to_string().into_bytes()).await
    }
}

#[async_trait]
impl AlertSink for Discord {
    fn name(&self) -> &'static str {
        "discord"
    }

    fn target(&self) -> &str {
        &self.target
    }

    async fn send(&self, message: &Message, _: Timestamp) -> Outcome {
        let content: String = message.text.chars().take(DISCORD_CHARS).collect();
        // Whatever the text says, it mentions nobody.
        let body = json!({ "content": content, "allowed_mentions": { "parse": [] } });
        self.dialer.send(&[], body.to_string().into_bytes()).await
    }
}
