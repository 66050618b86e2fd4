//! The arguments of `doctor`: what a server is configured with.

use clap::Args;

use crate::globals::flag;

/// `doctor`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  simops-cli doctor
  simops-cli doctor --database-url postgres://simops@db/simops

Run it where the server runs, with the server's environment. It changes nothing, except that opening a
database brings its schema up to date. Exit code 1 when a check fails; a warning fails nothing.")]
pub(crate) struct DoctorArgs {
    /// The addresses that the server lets use the admin API
    #[arg(long, env = "ADMIN_IP_ALLOWLIST", value_name = "NETWORKS")]
    pub(super) admin_ip_allowlist: Option<String>,
    /// Whether the server sends critical alerts to the webhook
    #[arg(long, env = "KPI_ALERT_WEBHOOK_ENABLED", value_name = "BOOL",
          value_parser = flag)]
    pub(super) kpi_alert_webhook_enabled: Option<bool>,
    /// The URL of the webhook
    #[arg(long, env = "KPI_ALERT_WEBHOOK_URL", value_name = "URL")]
    pub(super) kpi_alert_webhook_url: Option<String>,
}
