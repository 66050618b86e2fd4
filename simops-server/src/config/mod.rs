//! The server's configuration: read and validated once at start.

mod alerts;
mod args;
mod value;

use std::net::SocketAddr;
use std::sync::Arc;

use simops::control::Environment;
use simops::llm::LlmConfig;
use simops::notify::Sinks;
use simops::ops::OpsOptions;
use simops::output::DEFAULT_FOLDER;
use simops::run::DEFAULT_WORLD;
use simops::settings::Registry;
use simops::{Error, Result, Secret};
use simops_database::Database;
use simops_examples::commons::{Commons, CommonsOptions, MAX_AGENTS};

pub use args::Args;
use value::{Value, secret};

use crate::access::{AccessOptions, Token};
use crate::ingest::IngestOptions;
use crate::logs::LogFormat;

/// The simulation that runs in the server's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKind {
    /// The reference world.
    Commons,
    /// None: workers run as separate processes.
    None,
}

/// The validated configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The options of the use cases, among them the environment and the runtime settings with this
    /// deployment's defaults.
    pub ops: OpsOptions,
    /// The database.
    pub database: Database,
    /// The Redis that counts calls; `None` counts in the database.
    pub redis_url: Option<String>,
    /// The addresses to listen on. The first that can be bound is used.
    pub listen: Vec<SocketAddr>,
    /// Access to the admin API.
    pub access: AccessOptions,
    /// The simulation that runs in this process.
    pub host: HostKind,
    /// How many times faster than real time it runs.
    pub speed: f64,
    /// Options of a new world.
    pub world: CommonsOptions,
    /// Its model providers.
    pub models: LlmConfig,
    /// The ingest of visitors' events.
    pub ingest: IngestOptions,
    /// Receivers of notifications.
    pub sinks: Sinks,
    /// The log filter.
    pub log: String,
    /// The log format.
    pub log_format: LogFormat,
}

impl Config {
    /// Validates flags and environment variables. `lookup` returns further variables.
    ///
    /// # Errors
    /// `Invalid` or `Rejected`, with the name of the variable, its value unless it is a secret, and
    /// the allowed values.
    pub fn resolve(args: &Args, lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let of = |name, text| Value::of(name, Option::as_ref(text));
        let environments =
            [Environment::Development, Environment::Production].map(|e| (e.as_str(), e));
        let environment =
            of("ENVIRONMENT", &args.environment).word(&environments, Environment::Development)?;
        let in_development = environment == Environment::Development;
        let hosts = [("commons", HostKind::Commons), ("none", HostKind::None)];
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let world = CommonsOptions::default();
        let host = of("SIMOPS_HOST", &args.simops_host).word(&hosts, HostKind::Commons)?;
        let own_host = match host {
            HostKind::Commons => Some((Commons::NAME.to_owned(), DEFAULT_WORLD.to_owned())),
            HostKind::None => None,
        };
        let (alerts, sinks) = args.alerts.resolve(in_development, &lookup)?;
        Ok(Self {
            ops: OpsOptions {
                environment,
                write_gate: of("ADMIN_WRITE_ENABLED", &args.admin_write_enabled).write_gate()?,
                registry: Arc::new(Registry::builtin().with_defaults_from(&lookup)?),
                output_folder: of("SIMOPS_OUTPUT_DIR", &args.simops_output_dir)
                    .text()
                    .unwrap_or(DEFAULT_FOLDER)
                    .into(),
                alerts,
                digest_gate: args.digest_gate,
                digest_schedule: args.digest_schedule,
                visits_disk_reserve: of(
                    "KPI_EVENT_DISK_RESERVE_MIB",
                    &args.kpi_event_disk_reserve_mib,
                )
                .optional_number(0..=1 << 30)?
                .map(|mib: u64| mib << 20),
                own_host,
            },
            database: args.database.database()?,
            redis_url: of("REDIS_URL", &args.redis_url).text().map(str::to_owned),
            listen: of("SIMOPS_LISTEN", &args.simops_listen).addresses("127.0.0.1:8080")?,
            access: AccessOptions {
                enabled: of("ADMIN_ENABLED", &args.admin_enabled).flag(true)?,
                token: admin_token(
                    "ADMIN_API_TOKEN",
                    &args.admin_api_token_file,
                    environment,
                    &lookup,
                )?,
                allowlist: of("ADMIN_IP_ALLOWLIST", &args.admin_ip_allowlist).networks()?,
                trusted_proxies: of("TRUSTED_PROXIES", &args.trusted_proxies).networks()?,
                metrics: of("METRICS_ACCESS", &args.metrics_access)
                    .metrics_access(in_development)?,
                metrics_token: admin_token(
                    "METRICS_TOKEN",
                    &args.metrics_token_file,
                    environment,
                    &lookup,
                )?,
            },
            host,
            speed: of("SIMOPS_WORLD_SPEED", &args.simops_world_speed)
                .number(0.01..=10_000.0, 10.0)?,
            world: CommonsOptions {
                agents: of("SIMOPS_WORLD_AGENTS", &args.simops_world_agents)
                    .number(1..=MAX_AGENTS, world.agents)?,
                seed: of("SIMOPS_WORLD_SEED", &args.simops_world_seed)
                    .number(0..=u64::MAX, world.seed)?,
            },
            models: args.models.config(&lookup)?,
            ingest: IngestOptions {
                enabled: of("KPI_EVENT_INGEST_ENABLED", &args.kpi_event_ingest_enabled)
                    .flag(true)?,
                limits: args.ingest_limits()?,
                origins: of("KPI_EVENT_CORS_ORIGINS", &args.kpi_event_cors_origins).origins()?,
                // Every page that sends events shows it, so nothing depends on its strength.
                write_key: token("KPI_EVENT_WRITE_KEY", &args.kpi_event_write_key_file, &lookup)?
                    .map(|key| Token::new(key.expose())),
            },
            sinks,
            log: of("SIMOPS_LOG", &args.simops_log).text().unwrap_or("info").to_owned(),
            log_format: of("SIMOPS_LOG_FORMAT", &args.simops_log_format)
                .word(&formats, LogFormat::Text)?,
        })
    }
}

/// A token that keeps strangers out. One that can be guessed is refused in production.
fn admin_token(
    name: &str,
    file: &Option<String>,
    environment: Environment,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Option<Token>> {
    let Some(secret) = token(name, file, lookup)? else { return Ok(None) };
    match secret.weakness().filter(|_| environment == Environment::Production) {
        Some(why) => {
            let message = format!(
                "(not shown) {why} in production; set it to the output of: openssl rand -hex 32"
            );
            Err(Error::invalid(name, message))
        }
        None => Ok(Some(Token::new(secret.expose()))),
    }
}

/// The secret in the variable `name`, or in the file that `NAME_FILE` names, which a header can carry.
fn token(
    name: &str,
    file: &Option<String>,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Option<Secret>> {
    let Some(secret) = secret(name, file, lookup)? else { return Ok(None) };
    if !secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = "is set to something (not shown) with characters that no header carries; \
                       must be visible ASCII without spaces";
        return Err(Error::invalid(name, message));
    }
    Ok(Some(secret))
}
