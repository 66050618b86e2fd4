//! Command-line flags and environment variables.

use clap::Parser;
use simops::Result;
use simops::digest::{Requirements, Schedule};
use simops::llm::LlmArgs;
use simops_database::DatabaseArgs;

use super::alerts::AlertArgs;
use super::value::Value;
use crate::ingest::IngestLimits;

/// The simops server: admin API, console, and the reference world in-process.
///
/// Every option can also be set as an environment variable or in `.env` in the working directory. A
/// flag overrides the environment, which overrides the file. A secret is no option: it comes from its
/// variable (such as ADMIN_API_TOKEN) or from the file that NAME_FILE names. Runtime settings (such as
/// LLM_DAILY_BUDGET_USD_HARD) also take their defaults from the environment.
#[derive(Parser)]
#[command(name = "simops-server", version = simops::VERSION, max_term_width = 100)]
#[command(
    after_help = "Without any configuration it creates simops.db in the working directory and prints \
                        the address of the console and a token."
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

    /// The address to listen on; default 127.0.0.1:8080. Port 0 picks a free port.
    #[arg(long, visible_alias = "listen", env = "SIMOPS_LISTEN", value_name = "ADDRESS:PORT")]
    pub(super) simops_listen: Option<String>,

    /// With `false`, every admin path responds with 404; default true.
    #[arg(long, env = "ADMIN_ENABLED", value_name = "BOOL")]
    pub(super) admin_enabled: Option<String>,

    /// The file that holds the token of the admin API. The variable ADMIN_API_TOKEN holds the token
    /// itself; without both, development generates one.
    #[arg(long, env = "ADMIN_API_TOKEN_FILE", value_name = "FILE")]
    pub(super) admin_api_token_file: Option<String>,

    /// The write gate: `true`, `false`, or `stop-only` (only pause, stop and degrade pass); default
    /// true in development, false in production.
    #[arg(long, env = "ADMIN_WRITE_ENABLED", value_name = "GATE")]
    pub(super) admin_write_enabled: Option<String>,

    /// IPs and CIDRs that may use the admin API, separated by commas; default: all. Writes in
    /// production require it.
    #[arg(long, env = "ADMIN_IP_ALLOWLIST", value_name = "NETWORKS")]
    pub(super) admin_ip_allowlist: Option<String>,

    /// IPs and CIDRs of proxies whose X-Forwarded-For is trusted, separated by commas.
    #[arg(long, env = "TRUSTED_PROXIES", value_name = "NETWORKS")]
    pub(super) trusted_proxies: Option<String>,

    /// Who may read /metrics: `open`, `token` (the admin token, or the one of METRICS_TOKEN), or an
    /// ADDRESS:PORT that serves it alone; default: open in development, token in production.
    #[arg(long, env = "METRICS_ACCESS", value_name = "ACCESS")]
    pub(super) metrics_access: Option<String>,

    /// The file that holds a token that reads /metrics and nothing else. The variable METRICS_TOKEN holds
    /// the token itself.
    #[arg(long, env = "METRICS_TOKEN_FILE", value_name = "FILE")]
    pub(super) metrics_token_file: Option<String>,

    /// With `false`, visitors' events are refused with 403; default true.
    #[arg(long, env = "KPI_EVENT_INGEST_ENABLED", value_name = "BOOL")]
    pub(super) kpi_event_ingest_enabled: Option<String>,

    /// Requests with visitors' events per minute and address; default 600, 0 means no limit.
    #[arg(long, env = "KPI_EVENT_RATE_LIMIT", value_name = "NUMBER")]
    kpi_event_rate_limit: Option<String>,

    /// Visitors' events per minute and address; default 60000, 0 means no limit.
    #[arg(long, env = "KPI_EVENT_RATE_LIMIT_EVENTS", value_name = "NUMBER")]
    kpi_event_rate_limit_events: Option<String>,

    /// Bytes with visitors' events per minute and address; default 33554432 (32 MiB), 0 means no
    /// limit.
    #[arg(long, env = "KPI_EVENT_RATE_LIMIT_BYTES", value_name = "NUMBER")]
    kpi_event_rate_limit_bytes: Option<String>,

    /// Visitors' events per minute from all addresses; default 600000, 0 means no limit.
    #[arg(long, env = "KPI_EVENT_TOTAL_LIMIT_EVENTS", value_name = "NUMBER")]
    kpi_event_total_limit_events: Option<String>,

    /// Bytes with visitors' events per minute from all addresses; default 268435456 (256 MiB), 0 means
    /// no limit.
    #[arg(long, env = "KPI_EVENT_TOTAL_LIMIT_BYTES", value_name = "NUMBER")]
    kpi_event_total_limit_bytes: Option<String>,

    /// MiB of the database's disk that visitors' events leave free for run control; default 5 % of it, at
    /// most 256, and 0 keeps nothing. Only for SQLite.
    #[arg(long, env = "KPI_EVENT_DISK_RESERVE_MIB", value_name = "NUMBER")]
    pub(super) kpi_event_disk_reserve_mib: Option<String>,

    /// Origins whose pages may send visitors' events and read the response, separated by commas; `*`
    /// means all; default: only the server's own. Pages of other origins are refused.
    #[arg(long, env = "KPI_EVENT_CORS_ORIGINS", value_name = "ORIGINS")]
    pub(super) kpi_event_cors_origins: Option<String>,

    /// The file that holds a key that every request with visitors' events must carry. The variable
    /// KPI_EVENT_WRITE_KEY holds the key itself.
    #[arg(long, env = "KPI_EVENT_WRITE_KEY_FILE", value_name = "FILE")]
    pub(super) kpi_event_write_key_file: Option<String>,

    /// The simulation that runs in this process: `commons` (default) or `none`.
    #[arg(long, visible_alias = "host", env = "SIMOPS_HOST", value_name = "NAME")]
    pub(super) simops_host: Option<String>,

    /// How many times faster than AGENT_LOOP_DELAY_SECONDS the world runs; default 10.
    #[arg(long, visible_alias = "world-speed", env = "SIMOPS_WORLD_SPEED", value_name = "FACTOR")]
    pub(super) simops_world_speed: Option<String>,

    /// How many agents a new world has; default 50.
    #[arg(
        long,
        visible_alias = "world-agents",
        env = "SIMOPS_WORLD_AGENTS",
        value_name = "NUMBER"
    )]
    pub(super) simops_world_agents: Option<String>,

    /// The random seed of a new world; default 42.
    #[arg(long, visible_alias = "world-seed", env = "SIMOPS_WORLD_SEED", value_name = "NUMBER")]
    pub(super) simops_world_seed: Option<String>,

    /// The folder that baselines and digests are written to; default `output`.
    #[arg(long, visible_alias = "output-dir", env = "SIMOPS_OUTPUT_DIR", value_name = "FOLDER")]
    pub(super) simops_output_dir: Option<String>,

    /// The log filter, such as `info` (default), `debug` or `warn,simops_server=debug`.
    #[arg(long, visible_alias = "log", env = "SIMOPS_LOG", value_name = "FILTER")]
    pub(super) simops_log: Option<String>,

    /// The log format on stderr: `text` (default) or `json`.
    #[arg(long, visible_alias = "log-format", env = "SIMOPS_LOG_FORMAT", value_name = "FORMAT")]
    pub(super) simops_log_format: Option<String>,

    #[command(flatten)]
    pub(super) alerts: AlertArgs,

    #[command(flatten)]
    pub(super) digest_gate: Requirements,

    #[command(flatten)]
    pub(super) digest_schedule: Schedule,

    #[command(flatten)]
    pub(super) models: LlmArgs,
}

impl Args {
    /// How many visitors' events are accepted per minute.
    pub(super) fn ingest_limits(&self) -> Result<IngestLimits> {
        let default = IngestLimits::default();
        let of = |name, text: &Option<String>, default| {
            Value::of(name, text.as_ref()).number(0..=u64::MAX, default)
        };
        Ok(IngestLimits {
            requests: of("KPI_EVENT_RATE_LIMIT", &self.kpi_event_rate_limit, default.requests)?,
            events: of(
                "KPI_EVENT_RATE_LIMIT_EVENTS",
                &self.kpi_event_rate_limit_events,
                default.events,
            )?,
            bytes: of(
                "KPI_EVENT_RATE_LIMIT_BYTES",
                &self.kpi_event_rate_limit_bytes,
                default.bytes,
            )?,
            total_events: of(
                "KPI_EVENT_TOTAL_LIMIT_EVENTS",
                &self.kpi_event_total_limit_events,
                default.total_events,
            )?,
            total_bytes: of(
                "KPI_EVENT_TOTAL_LIMIT_BYTES",
                &self.kpi_event_total_limit_bytes,
                default.total_bytes,
            )?,
        })
    }
}
