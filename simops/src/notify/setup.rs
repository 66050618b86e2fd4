//! The receivers of a deployment, built from its configuration.

use std::fmt;
use std::sync::Arc;

use super::pagerduty::EVENTS_URL;
use super::{AlertSink, Dialer, Discord, Guard, Log, PagerDuty, SigningSecret, Slack, Webhook};
use crate::Result;
use crate::Secret;
use crate::alert::Receiver;

/// The configured receivers. URLs are secrets: anyone who knows a chat's URL can post to it.
#[derive(Debug, Clone, Default)]
pub struct NotifyConfig {
    /// Whether the webhook is enabled.
    pub webhook_enabled: bool,
    /// The webhook's URL.
    pub webhook_url: Option<Secret>,
    /// The signing secrets of the webhook, separated by spaces.
    pub webhook_secret: Option<Secret>,
    /// The URL of a chat in Slack's format.
    pub slack_url: Option<Secret>,
    /// The URL of a chat in Discord's format.
    pub discord_url: Option<Secret>,
    /// The routing key of a PagerDuty service.
    pub pagerduty_key: Option<Secret>,
    /// Replaces the default URL of PagerDuty's events API.
    pub pagerduty_url: Option<Secret>,
    /// Whether messages are written to the log.
    pub log: bool,
    /// The allowed destinations.
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
    /// Builds the receivers of `config`.
    ///
    /// # Errors
    /// `Invalid` with the name of the variable whose URL or secret is malformed.
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
            let url = config.pagerduty_url.as_ref().map_or(EVENTS_URL, Secret::expose);
            let dialer = dialer("KPI_ALERT_PAGERDUTY_URL", url)?;
            sinks.push(Arc::new(PagerDuty::new(dialer, key.clone())));
        }
        if config.log {
            sinks.push(Arc::new(Log));
        }
        Ok(Self(sinks))
    }

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
