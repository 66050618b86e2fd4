//! The evidence gate and the schedule as flags of a program (feature `clap`).

use super::{Requirements, Schedule};

/// What a digest takes at least: `#[command(flatten)]`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct EvidenceArgs {
    /// A weekly digest takes so many events; default 25.
    #[arg(long, env = "ARCHIVE_WEEKLY_DRAFT_MIN_EVENTS", hide_env_values = true, value_name = "N",
          value_parser = clap::value_parser!(i64).range(0..=1_000_000_000))]
    archive_weekly_draft_min_events: Option<i64>,

    /// A weekly digest takes so many model calls; default 5.
    #[arg(long, env = "ARCHIVE_WEEKLY_DRAFT_MIN_LLM_CALLS", hide_env_values = true, value_name = "N",
          value_parser = clap::value_parser!(i64).range(0..=1_000_000_000))]
    archive_weekly_draft_min_llm_calls: Option<i64>,
}

impl EvidenceArgs {
    /// What the flags say, and the defaults where they say nothing.
    pub fn requirements(&self) -> Requirements {
        let Requirements { min_events, min_llm_calls } = Requirements::default();
        Requirements {
            min_events: self.archive_weekly_draft_min_events.unwrap_or(min_events),
            min_llm_calls: self.archive_weekly_draft_min_llm_calls.unwrap_or(min_llm_calls),
        }
    }
}

/// When a digest is drafted by itself: `#[command(flatten)]`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ScheduleArgs {
    /// Whether a weekly digest is drafted by itself; default true.
    #[arg(long, env = "ARCHIVE_WEEKLY_DRAFT_ENABLED", hide_env_values = true, value_name = "BOOL",
          value_parser = flag)]
    archive_weekly_draft_enabled: Option<bool>,

    /// The day of the week: 0 is Monday (default), 6 Sunday.
    #[arg(long, env = "ARCHIVE_WEEKLY_DRAFT_WEEKDAY_UTC", hide_env_values = true, value_name = "DAY",
          value_parser = clap::value_parser!(i8).range(0..=6))]
    archive_weekly_draft_weekday_utc: Option<i8>,

    /// The hour of the day in UTC; default 15.
    #[arg(long, env = "ARCHIVE_WEEKLY_DRAFT_HOUR_UTC", hide_env_values = true, value_name = "HOUR",
          value_parser = clap::value_parser!(i8).range(0..=23))]
    archive_weekly_draft_hour_utc: Option<i8>,

    /// The minute of that hour; default 0.
    #[arg(long, env = "ARCHIVE_WEEKLY_DRAFT_MINUTE_UTC", hide_env_values = true, value_name = "MINUTE",
          value_parser = clap::value_parser!(i8).range(0..=59))]
    archive_weekly_draft_minute_utc: Option<i8>,

    /// A digest that was missed is made up within so many hours; default 48.
    #[arg(long, env = "ARCHIVE_WEEKLY_DRAFT_GRACE_HOURS", hide_env_values = true, value_name = "HOURS",
          value_parser = clap::value_parser!(i64).range(0..=168))]
    archive_weekly_draft_grace_hours: Option<i64>,
}

impl ScheduleArgs {
    /// What the flags say, and the defaults where they say nothing.
    pub fn schedule(&self) -> Schedule {
        let usual = Schedule::default();
        Schedule {
            enabled: self.archive_weekly_draft_enabled.unwrap_or(usual.enabled),
            weekday: self.archive_weekly_draft_weekday_utc.unwrap_or(usual.weekday),
            hour: self.archive_weekly_draft_hour_utc.unwrap_or(usual.hour),
            minute: self.archive_weekly_draft_minute_utc.unwrap_or(usual.minute),
            grace_hours: self.archive_weekly_draft_grace_hours.unwrap_or(usual.grace_hours),
        }
    }
}

fn flag(text: &str) -> Result<bool, String> {
    let flag = text.trim().to_ascii_lowercase().parse();
    flag.map_err(|_| "must be true or false".to_owned())
}
