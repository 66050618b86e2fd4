//! Whether there is evidence enough to write about.

use serde::{Deserialize, Serialize};

/// What a digest takes at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Requirements {
    /// Events (`ARCHIVE_WEEKLY_DRAFT_MIN_EVENTS`).
    pub min_events: i64,
    /// Calls to models (`ARCHIVE_WEEKLY_DRAFT_MIN_LLM_CALLS`).
    pub min_llm_calls: i64,
}

impl Default for Requirements {
    fn default() -> Self {
        Self { min_events: 25, min_llm_calls: 5 }
    }
}

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvidenceCounts {
    /// Events.
    pub total_events: i64,
    /// Calls to models.
    pub llm_calls: i64,
}

/// The verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvidenceCheck {
    /// `passed` or `insufficient_evidence`.
    pub status: String,
    /// Whether there is enough.
    pub passed: bool,
    /// The verdict as a sentence.
    pub message: String,
    /// What it takes.
    pub requirements: Requirements,
    /// What there is.
    pub observed: EvidenceCounts,
}

impl EvidenceCheck {
    /// Whether `observed` meets `requirements`.
    pub fn evaluate(requirements: Requirements, observed: EvidenceCounts) -> Self {
        let Requirements { min_events, min_llm_calls } = requirements;
        let EvidenceCounts { total_events, llm_calls } = observed;
        let passed = total_events >= min_events && llm_calls >= min_llm_calls;
        let verdict =
            if passed { "There is evidence enough" } else { "There is too little evidence" };
        Self {
            status: if passed { "passed" } else { "insufficient_evidence" }.to_owned(),
            passed,
            message: format!(
                "{verdict}: {total_events} of at least {min_events} events, {llm_calls} of at least \
                 {min_llm_calls} model calls."
            ),
            requirements,
            observed,
        }
    }
}
