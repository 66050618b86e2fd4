//! Command-line flags for the evidence check and the schedule (feature `clap`).

use super::{Requirements, Schedule};

/// Flags for the minimum evidence of a digest. Use with `#[command(flatten)]`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct EvidenceArgs {
    /// Minimum number of events for a weekly digest; default 25.
    #[arg(long, env = "ARCHIVE_WEEKLY_DRAFT_MIN_EVENTS", hide_env_values = true, value_name = "N",
          value_parser = clap::value_parser!(i64).range(0..=1_000_000_000))]
    archive_weekly_draft_min_events: Option<i64>,

    /// Minimum number of model calls for a weekly digest; default 5.
    #[arg(long, env = "ARCHIVE_WEEKLY_DRAFT_MIN_LLM_CALLS", hide_env_values = true, value_name = "N",
          value_parser = clap::value_parser!(i64).range(0..=1_000_000_000))]
    archive_weekly_draft_min_llm_calls: Option<i64>,
}

impl EvidenceArgs {
    /// The values of the flags, with defaults for flags that are not set.
    pub fn requirements(&self) -> Requirements {
        let Requirements { min_events, min_llm_calls } = Requirements::default();
        Requirements {
            min_events: self.archive_weekly_draft_min_events.unwrap_or(min_events),
            min_llm_calls: self.archive_weekly_draft_min_llm_calls.unwrap_or(min_llm_calls),
        }
    }
}

/// Flags for the schedule of digests. Use with `#[command(flatten)]`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ScheduleArgs {
    /// Whether a weekly digest is drafted on schedule; default true.
    #[arg(long, env = "ARCHIVE_WEEKLY_DRAFT_ENABLED", hide_env_values = true, value_name = "BOOL",
          value_parser = flag)]
    archive_weekly_draft_enabled: Option<bool>,

    /// Day of the week: 0 is Monday (default), 6 is Sunday.
    #[arg(long, env = "ARCHIVE_WEEKLY_DRAFT_WEEKDAY_UTC", hide_env_values = true, value_name = "DAY",
          value_parser = clap::value_parser!(i8).range(0..=6))]
    archive_weekly_draft_weekday_utc: Option<i8>,

    /// Hour of the day in UTC; default 15.
    #[arg(long, env = "ARCHIVE_WEEKLY_DRAFT_HOUR_UTC", hide_env_values = true, value_name = "HOUR",
          value_parser = clap::value_parser!(i8).range(0..=23))]
    archive_weekly_draft_hour_utc: Option<i8>,

    /// Minute of that hour; default 0.
    #[arg(long, env = "ARCHIVE_WEEKLY_DRAFT_MINUTE_UTC", hide_env_values = true, value_name = "MINUTE",
          value_parser = clap::value_parser!(i8).range(0..=59))]
    archive_weekly_draft_minute_utc: Option<i8>,

    /// Hours after the scheduled time within which a missed digest is still drafted; default 48.
    #[arg(long, env = "ARCHIVE_WEEKLY_DRAFT_GRACE_HOURS", hide_env_values = true, value_name = "HOURS",
          value_parser = clap::value_parser!(i64).range(0..=168))]
    archive_weekly_draft_grace_hours: Option<i64>,
}

impl ScheduleArgs {
    /// The values of the flags, with defaults for flags that are not set.
    pub fn schedule(&self) -> Schedule {
        let default = Schedule::default();
        Schedule {
            enabled: self.archive_weekly_draft_enabled.unwrap_or(default.enabled),
            weekday: self.archive_weekly_draft_weekday_utc.unwrap_or(default.weekday),
            hour: self.archive_weekly_draft_hour_utc.unwrap_or(default.hour),
            minute: self.archive_weekly_draft_minute_utc.unwrap_or(default.minute),
            grace_hours: self.archive_weekly_draft_grace_hours.unwrap_or(default.grace_hours),
        }
    }
}

fn flag(text: &str) -> Result<bool, String> {
    let flag = text.trim().to_ascii_lowercase().parse();
    flag.map_err(|_| "must be true or false".to_owned())
}
