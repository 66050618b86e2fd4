//! What every command takes, and the one place that decides what a command works on.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use simops::Secret;
use simops::control::{Environment, WriteGate, WritePolicy};
use simops::llm::{LlmArgs, LlmConfig};
use simops::ops::actor_name;
use simops_database::env_file::FileVariables;
use simops_database::{Database, DatabaseArgs};
use tracing_subscriber::filter::Targets;

use crate::exit::Failure;
use crate::logs::LogFormat;
use crate::print::Format;

/// Flags that every command takes. Texts that may hold a secret are checked later, where the message
/// does not quote them.
#[derive(Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct Globals {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Count model calls in this Redis, as the other processes of the database do
    #[arg(long, env = "REDIS_URL", value_name = "URL")]
    pub(crate) redis_url: Option<String>,

    /// Work on this server instead of a database; the address of its console (/ops) will do
    #[arg(long = "simops-url", visible_alias = "url", env = "SIMOPS_URL", value_name = "URL")]
    url: Option<String>,

    /// The file that holds the server's admin token [default: the variable ADMIN_API_TOKEN]
    #[arg(long, visible_alias = "token-file", env = "ADMIN_API_TOKEN_FILE", value_name = "FILE")]
    admin_api_token_file: Option<String>,

    /// Refused: other users of the machine can read command lines.
    #[arg(long, hide = true, value_name = "TOKEN")]
    token: Option<String>,

    /// The name that the audit trail records [default: the variable USER, else admin]
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,

    /// The environment: development or production. A database that a server or worker in production
    /// has opened is marked as production, whatever this says
    #[arg(long, env = "ENVIRONMENT", value_name = "ENVIRONMENT", default_value = "development")]
    #[arg(value_parser = environment)]
    pub(crate) environment: Environment,

    /// The write gate: true, false or stop-only [default: true in development, false in production]
    #[arg(long, env = "ADMIN_WRITE_ENABLED", value_name = "GATE", value_parser = WriteGate::parse)]
    pub(crate) admin_write_enabled: Option<WriteGate>,

    /// The form of the result: table, json, csv, and markdown for reports and digests [default: table on
    /// a terminal, json in a pipe]
    #[arg(long, short, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Option<Format>,

    /// The folder that baselines and digests are written to
    #[arg(long, visible_alias = "output-dir", env = "SIMOPS_OUTPUT_DIR", value_name = "FOLDER")]
    #[arg(default_value = "output")]
    pub(crate) simops_output_dir: PathBuf,

    /// What is logged to stderr: error, info, TARGET=LEVEL,… [default: info for a worker, else error]
    #[arg(long, visible_alias = "log", env = "SIMOPS_LOG", value_name = "FILTER")]
    #[arg(help_heading = "Logs")]
    pub(crate) simops_log: Option<Targets>,

    /// The form of log lines: text or json
    #[arg(long, visible_alias = "log-format", env = "SIMOPS_LOG_FORMAT", value_name = "FORMAT")]
    #[arg(help_heading = "Logs", default_value = "text", ignore_case = true)]
    pub(crate) simops_log_format: LogFormat,

    #[arg(skip)]
    sources: Sources,
    /// The variables of `.env` in the working directory.
    #[arg(skip)]
    file_variables: FileVariables,
    /// The command's words, such as `usage verify`, for messages.
    #[arg(skip)]
    command: String,
}

/// The name that `--output` had on some commands.
#[derive(Args)]
pub(crate) struct FormatAlias {
    #[arg(long = "format", value_name = "FORMAT", hide = true)]
    format_alias: Option<Format>,
}

/// Where values come from: the command line beats the environment, which beats `.env`.
#[derive(Clone, Copy, Default)]
struct Sources {
    url: bool,
    database: bool,
    token_file: bool,
}

/// What a command that runs on either works on.
pub(crate) enum Place<'a> {
    Database(OnDatabase<'a>),
    Server(OnServer<'a>),
}

/// The right to open the database: only [`Globals::place`] and [`Globals::database_only`] give it, so no
/// command can open a database while the user names a server.
#[derive(Clone, Copy)]
pub(crate) struct OnDatabase<'a>(pub(crate) &'a Globals);

/// A server to work on.
#[derive(Clone, Copy)]
pub(crate) struct OnServer<'a> {
    pub(crate) globals: &'a Globals,
    pub(crate) url: &'a str,
}

impl Globals {
    /// The same, knowing which flags are on the command line and which variables are of `.env`. Refuses
    /// contradictory ones.
    pub(crate) fn resolved(
        self,
        matches: &ArgMatches,
        file_variables: FileVariables,
    ) -> Result<Self, Failure> {
        let given = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        let sources = Sources {
            url: given("url"),
            database: given("database_url"),
            token_file: given("admin_api_token_file"),
        };
        if sources.url && sources.database {
            return Err(Failure::usage(
                "--url and --database-url name two targets: give only one of them",
            ));
        }
        if self.token.is_some() {
            return Err(Failure::usage(
                "a token on the command line can be read by other users of this machine: set \
                 ADMIN_API_TOKEN, or name a file that holds it with --token-file",
            ));
        }
        let (mut words, mut rest) = (Vec::new(), matches);
        while let Some((word, below)) = rest.subcommand() {
            words.push(word);
            rest = below;
        }
        let alias = rest.try_get_one::<Format>("format_alias").ok().flatten();
        let output = self.output.or(alias.copied());
        Ok(Self { sources, file_variables, output, command: words.join(" "), ..self })
    }

    /// What a command that runs on a database and on a server works on: a flag beats the environment,
    /// and in the environment a server beats a database.
    pub(crate) fn place(&self) -> Place<'_> {
        match &self.url {
            Some(url) if !self.sources.database => Place::Server(OnServer { globals: self, url }),
            _ => Place::Database(OnDatabase(self)),
        }
    }

    /// The database of a command that cannot run on a server, because of `reason`.
    pub(crate) fn database_only(&self, reason: &str) -> Result<OnDatabase<'_>, Failure> {
        let command = &self.command;
        match self.place() {
            Place::Database(database) => Ok(database),
            Place::Server(_) if self.sources.url => Err(Failure::usage(format!(
                "`{command}` cannot run on a server: {reason}; name a database with --database-url \
                 instead of --url"
            ))),
            Place::Server(_) => Err(Failure::usage(format!(
                "`{command}` cannot run on the server that SIMOPS_URL names: {reason}; name a database \
                 with --database-url, or unset SIMOPS_URL"
            ))),
        }
    }

    /// The server of a command that cannot run on a database.
    pub(crate) fn server_only(&self) -> Result<OnServer<'_>, Failure> {
        match self.place() {
            Place::Server(server) => Ok(server),
            Place::Database(_) => Err(Failure::usage(format!(
                "`{}` runs on a server: name it with --url (or SIMOPS_URL)",
                self.command
            ))),
        }
    }

    /// Refuses a target for a command that brings its own.
    pub(crate) fn no_target(&self) -> Result<(), Failure> {
        let Sources { url, database, .. } = self.sources;
        let command = &self.command;
        match url || database {
            true => Err(Failure::usage(format!(
                "`{command}` starts what it works on: --url and --database-url have no effect on it"
            ))),
            false => Ok(()),
        }
    }

    /// The admin token, if there is one. A file that is named on the command line beats the variable.
    pub(crate) fn token(&self) -> Result<Option<Secret>, Failure> {
        let token = Secret::find("ADMIN_API_TOKEN", |name| match name {
            "ADMIN_API_TOKEN_FILE" => self.admin_api_token_file.clone(),
            _ if self.sources.token_file => None,
            name => std::env::var(name).ok(),
        });
        token.map_err(|error| Failure::usage(error.detail()))
    }

    /// The models that may be asked; a wrong value is wrong usage.
    pub(crate) fn models(&self, args: &LlmArgs) -> Result<LlmConfig, Failure> {
        let models = args.config(|name| std::env::var(name).ok());
        let checked = models.and_then(|models| {
            self.file_variables.check_providers(&models.providers)?;
            Ok(models)
        });
        checked.map_err(|error| Failure::usage(error.detail()))
    }

    /// What flags and environment say about writes.
    pub(crate) fn write_policy(&self) -> WritePolicy {
        WritePolicy { environment: self.environment, gate: self.admin_write_enabled }
    }

    /// The name that the audit trail records.
    pub(crate) fn actor(&self) -> Result<String, Failure> {
        let given = self.actor.clone().or_else(|| {
            let mut names = ["USER", "LOGNAME", "USERNAME"].into_iter();
            names.find_map(|name| std::env::var(name).ok().filter(|name| !name.trim().is_empty()))
        });
        actor_name("--actor", &given.unwrap_or_default())
            .map_err(|error| Failure::usage(error.detail()))
    }
}

impl OnServer<'_> {
    /// The token to send to the server, if there is one, by the rule of [`FileVariables`].
    pub(crate) fn token(&self) -> Result<Option<Secret>, Failure> {
        let token = self.globals.token()?;
        let Globals { sources, file_variables, .. } = self.globals;
        if token.is_none() || (!sources.token_file && file_variables.contains("ADMIN_API_TOKEN")) {
            return Ok(token);
        }
        let not_sent = "is from the file .env of this folder, but the admin token is not, so it is not \
                        sent there: if you trust that server,";
        if !sources.url && file_variables.contains("SIMOPS_URL") {
            return Err(Failure::usage(format!("SIMOPS_URL {not_sent} name it with --url")));
        }
        match file_variables.network() {
            Some(name) => {
                Err(Failure::usage(format!("{name} {not_sent} set {name} in the environment, too")))
            }
            None => Ok(token),
        }
    }
}

impl OnDatabase<'_> {
    pub(crate) fn database(&self) -> Result<Database, Failure> {
        let database = self.0.database.database()?;
        self.0.file_variables.check_database(&database)?;
        Ok(database)
    }
}

fn environment(text: &str) -> Result<Environment, String> {
    let known = [Environment::Development, Environment::Production];
    let named = known.into_iter().find(|known| text.trim().eq_ignore_ascii_case(known.as_str()));
    named.ok_or_else(|| "must be development or production".to_owned())
}

/// `true` or `false`, in any case.
pub(crate) fn flag(text: &str) -> Result<bool, String> {
    let flag = text.trim().to_ascii_lowercase().parse();
    flag.map_err(|_| "must be true or false".to_owned())
}
