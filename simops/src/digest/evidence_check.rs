//! Checks whether there is enough evidence for a digest.

use serde::{Deserialize, Serialize};

/// The minimum evidence of a digest. With the feature `clap`, use it with `#[command(flatten)]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "clap", derive(clap::Args))]
pub struct Requirements {
    /// Minimum number of events for a weekly digest; default 25.
    #[cfg_attr(feature = "clap", arg(long = "archive-weekly-draft-min-events",
        env = "ARCHIVE_WEEKLY_DRAFT_MIN_EVENTS", hide_env_values = true, value_name = "N",
        default_value_t = Requirements::default().min_events, hide_default_value = true,
        value_parser = clap::value_parser!(i64).range(0..=1_000_000_000)))]
    pub min_events: i64,
    /// Minimum number of model calls for a weekly digest; default 5.
    #[cfg_attr(feature = "clap", arg(long = "archive-weekly-draft-min-llm-calls",
        env = "ARCHIVE_WEEKLY_DRAFT_MIN_LLM_CALLS", hide_env_values = true, value_name = "N",
        default_value_t = Requirements::default().min_llm_calls, hide_default_value = true,
        value_parser = clap::value_parser!(i64).range(0..=1_000_000_000)))]
    pub min_llm_calls: i64,
}

impl Default for Requirements {
    fn default() -> Self {
        Self { min_events: 25, min_llm_calls: 5 }
    }
}

/// The evidence found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvidenceCounts {
    /// Number of events.
    pub total_events: i64,
    /// Number of model calls.
    pub llm_calls: i64,
}

/// The result of the check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvidenceCheck {
    /// `passed` or `insufficient_evidence`.
    pub status: String,
    /// Whether the evidence is sufficient.
    pub passed: bool,
    /// The result as a sentence.
    pub message: String,
    /// The minimum evidence.
    pub requirements: Requirements,
    /// The evidence found.
    pub observed: EvidenceCounts,
}

impl EvidenceCheck {
    /// Whether `observed` meets `requirements`.
    pub fn evaluate(requirements: Requirements, observed: EvidenceCounts) -> Self {
        let Requirements { min_events, min_llm_calls } = requirements;
        let EvidenceCounts { total_events, llm_calls } = observed;
        let passed = total_events >= min_events && llm_calls >= min_llm_calls;
        let result = if passed { "Enough evidence" } else { "Not enough evidence" };
        Self {
            status: if passed { "passed" } else { "insufficient_evidence" }.to_owned(),
            passed,
            message: format!(
                "{result}: {total_events} events (minimum {min_events}), {llm_calls} model calls \
                 (minimum {min_llm_calls})."
            ),
            requirements,
            observed,
        }
    }
}
