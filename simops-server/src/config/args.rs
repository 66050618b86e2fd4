//! Flags and environment variables, as they are written.

use clap::Parser;
use simops::digest::args::{EvidenceArgs, ScheduleArgs};
use simops::llm::LlmArgs;
use simops_database::DatabaseArgs;

use super::alerts::AlertArgs;

/// The simops server: admin API, console, and the reference world in-process.
///
/// Every option is also an environment variable, and a line in `.env` in the working directory; a
/// flag wins over the environment, the environment over the file. Runtime settings (such as
/// LLM_DAILY_BUDGET_USD_HARD) take their defaults from the environment, too.
#[derive(Parser)]
#[command(name = "simops-server", version = simops::VERSION, max_term_width = 100)]
#[command(
    after_help = "Without any configuration it creates simops.db here, prints the address of \
                        the console and a token, and serves."
)]
pub struct Args {
    /// `development` (default) or `production`.
    #[arg(long, env = "ENVIRONMENT", value_name = "NAME")]
    pub(super) environment: Option<String>,

    #[command(flatten)]
    pub(super) database: DatabaseArgs,

    /// Count model calls in this Redis: redis://[[USER]:PASSWORD@]HOST[:PORT], or rediss:// for TLS;
    /// default: in the database.
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub(super) redis_url: Option<String>,

    /// Where to listen, default 127.0.0.1:8080; port 0 takes a free one.
    #[arg(long, visible_alias = "listen", env = "SIMOPS_LISTEN", value_name = "ADDRESS:PORT")]
    pub(super) simops_listen: Option<String>,

    /// `false`: every admin path answers 404.
    #[arg(long, env = "ADMIN_ENABLED", value_name = "BOOL")]
    pub(super) admin_enabled: Option<String>,

    /// The token that opens the admin API. Better set in the environment: other users of this
    /// machine can see flags. Development without one generates one.
    #[arg(long, env = "ADMIN_API_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub(super) admin_api_token: Option<String>,

    /// Whether operators may write; default true in development, false in production.
    #[arg(long, env = "ADMIN_WRITE_ENABLED", value_name = "BOOL")]
    pub(super) admin_write_enabled: Option<String>,

    /// Who may use the admin API: IPs and CIDRs, separated by commas; empty = everybody, but
    /// production writes need it.
    #[arg(long, env = "ADMIN_IP_ALLOWLIST", value_name = "NETWORKS")]
    pub(super) admin_ip_allowlist: Option<String>,

    /// Whose X-Forwarded-For is believed: IPs and CIDRs, separated by commas.
    #[arg(long, env = "TRUSTED_PROXIES", value_name = "NETWORKS")]
    pub(super) trusted_proxies: Option<String>,

    /// `false`: visitors' events are answered with 403; default true.
    #[arg(long, env = "KPI_EVENT_INGEST_ENABLED", value_name = "BOOL")]
    pub(super) kpi_event_ingest_enabled: Option<String>,

    /// How many requests with visitors' events one address may send per minute; default 600, 0 = any
    /// number.
    #[arg(long, env = "KPI_EVENT_RATE_LIMIT", value_name = "NUMBER")]
    pub(super) kpi_event_rate_limit: Option<String>,

    /// Origins whose pages may send visitors' events and read the answer, separated by commas; `*` =
    /// all; default: only the server's own.
    #[arg(long, env = "KPI_EVENT_CORS_ORIGINS", value_name = "ORIGINS")]
    pub(super) kpi_event_cors_origins: Option<String>,

    /// Which simulation runs in this process: `commons` (default) or `none`.
    #[arg(long, env = "SIMOPS_HOST", value_name = "NAME")]
    pub(super) host: Option<String>,

    /// How many times faster than AGENT_LOOP_DELAY_SECONDS the world runs; default 10.
    #[arg(long, visible_alias = "world-speed", env = "SIMOPS_WORLD_SPEED", value_name = "FACTOR")]
    pub(super) simops_world_speed: Option<String>,

    /// How many agents a new world has; default 50.
    #[arg(long, env = "SIMOPS_WORLD_AGENTS", value_name = "NUMBER")]
    pub(super) world_agents: Option<String>,

    /// What the chance of a new world depends on; default 42.
    #[arg(long, env = "SIMOPS_WORLD_SEED", value_name = "NUMBER")]
    pub(super) world_seed: Option<String>,

    /// The folder that baselines and digests are written to; default `output`.
    #[arg(long, visible_alias = "output-dir", env = "SIMOPS_OUTPUT_DIR", value_name = "FOLDER")]
    pub(super) simops_output_dir: Option<String>,

    /// What is logged, e.g. `info` (default), `debug`, or `warn,simops_server=debug`.
    #[arg(long, env = "SIMOPS_LOG", value_name = "FILTER")]
    pub(super) log: Option<String>,

    /// `text` (default) or `json`; both on stderr.
    #[arg(long, env = "SIMOPS_LOG_FORMAT", value_name = "FORMAT")]
    pub(super) log_format: Option<String>,

    #[command(flatten)]
    pub(super) alerts: AlertArgs,

    #[command(flatten)]
    pub(super) digest_gate: EvidenceArgs,

    #[command(flatten)]
    pub(super) digest_schedule: ScheduleArgs,

    #[command(flatten)]
    pub(super) models: LlmArgs,
}
