//! Chat webhooks: Slack and Discord.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;

use super::{AlertSink, Dialer};
use crate::alert::{Message, Outcome};
use crate::kpi::event::hash_key;

/// The longest text that Discord accepts, in characters.
const DISCORD_CHARS: usize = 2_000;

/// A webhook in Slack's format, which many other chats accept.
pub struct Slack {
    dialer: Dialer,
    target: String,
}

/// A webhook in Discord's format.
pub struct Discord {
    dialer: Dialer,
    target: String,
}

impl Slack {
    /// A chat at the dialer's URL.
    pub fn new(dialer: Dialer) -> Self {
        let target = hash_key(dialer.url()).simple().to_string();
        Self { dialer, target }
    }
}

impl Discord {
    /// A chat at the dialer's URL.
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
        // Slack interprets these characters, for example as a mention of a whole channel.
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
        // The text must not mention users or roles.
        let body = json!({ "content": content, "allowed_mentions": { "parse": [] } });
        self.dialer.send(&[], body.to_string().into_bytes()).await
    }
}
