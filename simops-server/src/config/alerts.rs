//! KPI alerts and their receivers.

use std::sync::Arc;

use clap::Args;
use jiff::SignedDuration;
use simops::Result;
use simops::Secret;
use simops::alert::{AlertOptions, Rules};
use simops::notify::{
    AlertSink, Dialer, Format, Guard, HttpSink, Log, PAGERDUTY_URL, SigningSecret, Sinks,
};

use super::value::{Value, secret};

/// Flags and variables of KPI alerts.
#[derive(Args)]
#[command(next_help_heading = "Alerts")]
pub(super) struct AlertArgs {
    /// A TOML file of alert rules that replaces the built-in ones.
    #[arg(long, env = "KPI_ALERT_RULES", value_name = "FILE")]
    kpi_alert_rules: Option<String>,

    /// Whether critical alerts are sent to the webhook; default false.
    #[arg(long, env = "KPI_ALERT_WEBHOOK_ENABLED", value_name = "BOOL")]
    kpi_alert_webhook_enabled: Option<String>,

    /// The URL of the webhook.
    #[arg(long, env = "KPI_ALERT_WEBHOOK_URL", value_name = "URL", hide_env_values = true)]
    kpi_alert_webhook_url: Option<String>,

    /// The file that holds the secret that signs the webhook's messages. The variable
    /// KPI_ALERT_WEBHOOK_SECRET holds the secret itself.
    #[arg(long, env = "KPI_ALERT_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    kpi_alert_webhook_secret_file: Option<String>,

    /// The file that holds the URL of a Slack webhook [or the variable KPI_ALERT_SLACK_URL].
    #[arg(long, env = "KPI_ALERT_SLACK_URL_FILE", value_name = "FILE")]
    kpi_alert_slack_url_file: Option<String>,

    /// The file that holds the URL of a Discord webhook [or the variable KPI_ALERT_DISCORD_URL].
    #[arg(long, env = "KPI_ALERT_DISCORD_URL_FILE", value_name = "FILE")]
    kpi_alert_discord_url_file: Option<String>,

    /// The file that holds the routing key of a PagerDuty service [or the variable
    /// KPI_ALERT_PAGERDUTY_KEY].
    #[arg(long, env = "KPI_ALERT_PAGERDUTY_KEY_FILE", value_name = "FILE")]
    kpi_alert_pagerduty_key_file: Option<String>,

    /// Minutes within which an identical payload is not sent again; default 60.
    #[arg(long, env = "KPI_ALERT_NOTIFY_COOLDOWN_MINUTES", value_name = "NUMBER")]
    kpi_alert_notify_cooldown_minutes: Option<String>,

    /// Whether to notify when no alert is critical any more; default false.
    #[arg(long, env = "KPI_ALERT_NOTIFY_RESOLVED", value_name = "BOOL")]
    kpi_alert_notify_resolved: Option<String>,

    /// Another URL that accepts PagerDuty's events.
    #[arg(long, env = "KPI_ALERT_PAGERDUTY_URL", value_name = "URL", hide_env_values = true)]
    kpi_alert_pagerduty_url: Option<String>,

    /// Whether alerts are also logged; default false.
    #[arg(long, env = "KPI_ALERT_LOG_ENABLED", value_name = "BOOL")]
    kpi_alert_log_enabled: Option<String>,

    /// Hosts with private or loopback addresses that messages may be sent to, separated by commas.
    #[arg(long, env = "KPI_ALERT_ALLOWED_HOSTS", value_name = "HOSTS")]
    kpi_alert_allowed_hosts: Option<String>,
}

impl AlertArgs {
    /// Alert options and receivers.
    pub(super) fn resolve(
        &self,
        in_development: bool,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<(AlertOptions, Sinks)> {
        let of = |name, text| Value::of(name, Option::as_ref(text));
        let secret = |name, file: &Option<String>| secret(name, file, &lookup);
        let webhook_enabled =
            of("KPI_ALERT_WEBHOOK_ENABLED", &self.kpi_alert_webhook_enabled).flag(false)?;
        let hosts = of("KPI_ALERT_ALLOWED_HOSTS", &self.kpi_alert_allowed_hosts);
        let hosts = hosts.text().unwrap_or_default().split(',').map(str::trim);
        let guard = Guard {
            allowed_hosts: hosts.filter(|host| !host.is_empty()).map(str::to_owned).collect(),
            allow_loopback: in_development,
        };
        let mut sinks: Vec<Arc<dyn AlertSink>> = Vec::new();
        let mut add = |field: &str, url: &str, format| -> Result<()> {
            let dialer = Dialer::new(field, url, guard.clone())?;
            sinks.push(Arc::new(HttpSink::new(dialer, format)));
            Ok(())
        };
        // Anyone who knows a chat's URL can post to it, so these URLs are secrets.
        let signing = secret("KPI_ALERT_WEBHOOK_SECRET", &self.kpi_alert_webhook_secret_file)?;
        let slack = secret("KPI_ALERT_SLACK_URL", &self.kpi_alert_slack_url_file)?;
        let discord = secret("KPI_ALERT_DISCORD_URL", &self.kpi_alert_discord_url_file)?;
        let key = secret("KPI_ALERT_PAGERDUTY_KEY", &self.kpi_alert_pagerduty_key_file)?;
        let log = of("KPI_ALERT_LOG_ENABLED", &self.kpi_alert_log_enabled).flag(false)?;
        let webhook = of("KPI_ALERT_WEBHOOK_URL", &self.kpi_alert_webhook_url);
        if let Some(url) = webhook.text().filter(|_| webhook_enabled) {
            let parse = |text| SigningSecret::parse("KPI_ALERT_WEBHOOK_SECRET", text);
            let secrets = signing.as_ref().map_or("", Secret::expose).split_whitespace();
            let secrets = secrets.map(parse).collect::<Result<_>>()?;
            add("KPI_ALERT_WEBHOOK_URL", url, Format::Webhook(secrets))?;
        }
        if let Some(url) = slack {
            add("KPI_ALERT_SLACK_URL", url.expose(), Format::Slack)?;
        }
        if let Some(url) = discord {
            add("KPI_ALERT_DISCORD_URL", url.expose(), Format::Discord)?;
        }
        if let Some(key) = key {
            let url = of("KPI_ALERT_PAGERDUTY_URL", &self.kpi_alert_pagerduty_url);
            let url = url.text().unwrap_or(PAGERDUTY_URL);
            add("KPI_ALERT_PAGERDUTY_URL", url, Format::PagerDuty(key))?;
        }
        if log {
            sinks.push(Arc::new(Log));
        }
        let sinks = Sinks::of(sinks);
        let cooldown =
            of("KPI_ALERT_NOTIFY_COOLDOWN_MINUTES", &self.kpi_alert_notify_cooldown_minutes);
        let options = AlertOptions {
            rules: match of("KPI_ALERT_RULES", &self.kpi_alert_rules).text() {
                Some(path) => Rules::from_file(path.as_ref())?,
                None => Rules::default(),
            },
            webhook_enabled,
            receivers: sinks.receivers(),
            cooldown: SignedDuration::from_mins(cooldown.number(0..=10_080, 60)?),
            notify_resolved: of("KPI_ALERT_NOTIFY_RESOLVED", &self.kpi_alert_notify_resolved)
                .flag(false)?,
        };
        Ok((options, sinks))
    }
}
