//! The receivers of a deployment, from what its configuration says.

use std::fmt;
use std::sync::Arc;

use super::pagerduty::EVENTS;
use super::{AlertSink, Dialer, Discord, Guard, Log, PagerDuty, SigningSecret, Slack, Webhook};
use crate::Result;
use crate::Secret;
use crate::alert::Receiver;

/// Who is to be told, and where they are. Addresses are secrets: those of chats let anybody write.
#[derive(Debug, Clone, Default)]
pub struct NotifyConfig {
    /// Whether the webhook is switched on.
    pub webhook_enabled: bool,
    /// Its address.
    pub webhook_url: Option<Secret>,
    /// What its messages are signed with: one secret, or several separated by spaces.
    pub webhook_secret: Option<Secret>,
    /// The address of a chat of Slack's kind.
    pub slack_url: Option<Secret>,
    /// The address of a chat of Discord's kind.
    pub discord_url: Option<Secret>,
    /// The routing key of a PagerDuty service.
    pub pagerduty_key: Option<Secret>,
    /// Another place that takes PagerDuty's events.
    pub pagerduty_url: Option<Secret>,
    /// Whether the log is told.
    pub log: bool,
    /// What may be reached.
    pub guard: Guard,
}

/// The receivers of a deployment.
#[derive(Clone, Default)]
pub struct Sinks(Vec<Arc<dyn AlertSink>>);

impl fmt::Debug for Sinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|sink| sink.name())).finish()
    }
}

impl Sinks {
    /// The receivers that `config` names.
    ///
    /// # Errors
    /// `Invalid`, naming the variable, for an address or secret that cannot be used.
    pub fn new(config: &NotifyConfig) -> Result<Self> {
        let dialer = |field: &str, url: &str| Dialer::new(field, url, config.guard.clone());
        let mut sinks: Vec<Arc<dyn AlertSink>> = Vec::new();
        if let Some(url) = config.webhook_url.as_ref().filter(|_| config.webhook_enabled) {
            let field = "KPI_ALERT_WEBHOOK_SECRET";
            let secrets = config.webhook_secret.as_ref().map_or("", Secret::expose);
            let secrets = secrets.split_whitespace().map(|text| SigningSecret::parse(field, text));
            let dialer = dialer("KPI_ALERT_WEBHOOK_URL", url.expose())?;
            sinks.push(Arc::new(Webhook::new(dialer, secrets.collect::<Result<_>>()?)));
        }
        if let Some(url) = &config.slack_url {
            sinks.push(Arc::new(Slack::new(dialer("KPI_ALERT_SLACK_URL", url.expose())?)));
        }
        if let Some(url) = &config.discord_url {
            sinks.push(Arc::new(Discord::new(dialer("KPI_ALERT_DISCORD_URL", url.expose())?)));
        }
        if let Some(key) = &config.pagerduty_key {
            let url = config.pagerduty_url.as_ref().map_or(EVENTS, Secret::expose);
            let dialer = dialer("KPI_ALERT_PAGERDUTY_URL", url)?;
            sinks.push(Arc::new(PagerDuty::new(dialer, key.clone())));
        }
        if config.log {
            sinks.push(Arc::new(Log));
        }
        Ok(Self(sinks))
    }

    /// Receivers of one's own.
    pub fn of(sinks: Vec<Arc<dyn AlertSink>>) -> Self {
        Self(sinks)
    }

    /// The receivers, as decisions know them.
    pub fn receivers(&self) -> Vec<Receiver> {
        let receiver = |sink: &Arc<dyn AlertSink>| Receiver {
            sink: sink.name().to_owned(),
            target: sink.target().to_owned(),
        };
        self.0.iter().map(receiver).collect()
    }

    /// The receiver of that name and address.
    pub(super) fn find(&self, name: &str, target: &str) -> Option<&Arc<dyn AlertSink>> {
        self.0.iter().find(|sink| sink.name() == name && sink.target() == target)
    }
}
