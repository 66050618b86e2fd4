//! A digest as it is stored, and what may become of it.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{Evidence, EvidenceCheck, TEMPLATE_VERSION, Verification};

/// How far a digest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DigestStatus {
    /// Written, and nobody has decided about it.
    Draft,
    /// Stands.
    Published,
    /// Does not; for good.
    Discarded,
    /// Not written by the schedule, because the evidence was insufficient. A digest of the same date
    /// replaces it.
    InsufficientEvidence,
}

impl DigestStatus {
    /// The status's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Published => "published",
            Self::Discarded => "discarded",
            Self::InsufficientEvidence => "insufficient_evidence",
        }
    }

    /// The status of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Draft, Self::Published, Self::Discarded, Self::InsufficientEvidence]
            .into_iter()
            .find(|status| status.as_str() == name)
    }
}

/// A digest as it is stored. Its text never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Digest {
    /// Its name: `weekly-brief-DATE`, with `-2`, `-3`, … for further ones of the same date.
    pub slug: String,
    /// The last day it is about.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub anchor_date: Date,
    /// How many days it is about.
    pub lookback_days: i64,
    /// How far it is.
    pub status: DigestStatus,
    /// Required and observed evidence; null for digests of older versions.
    #[serde(default)]
    pub evidence_gate: Option<EvidenceCheck>,
    /// Its title.
    pub title: String,
    /// The run it is about, if any.
    pub evidence_run_id: Option<String>,
    /// What stands behind it.
    pub verification: Verification,
    /// The template it was written by.
    pub template_version: String,
    /// The text.
    pub markdown: String,
    /// When it was written.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When its status last changed.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: Timestamp,
    /// By whom.
    pub updated_by: String,
}

impl Digest {
    /// The row of a scheduled digest that was not written, because its evidence is insufficient.
    pub fn skipped(evidence: &Evidence, gate: EvidenceCheck) -> Self {
        Self {
            slug: String::new(),
            anchor_date: evidence.anchor_date,
            lookback_days: evidence.lookback_days,
            status: DigestStatus::InsufficientEvidence,
            title: format!("No weekly brief for {}", evidence.anchor_date),
            evidence_run_id: evidence.run.as_ref().map(|run| run.run_id.clone()),
            verification: evidence.verification,
            template_version: TEMPLATE_VERSION.to_owned(),
            markdown: gate.message.clone(),
            evidence_gate: Some(gate),
            created_at: Timestamp::UNIX_EPOCH,
            created_by: String::new(),
            updated_at: Timestamp::UNIX_EPOCH,
            updated_by: String::new(),
        }
    }
}

/// The name of the digest of a date.
pub fn slug_of(anchor: Date) -> String {
    format!("weekly-brief-{anchor}")
}

/// The first free name of a date whose digests so far are `existing`.
pub fn free_slug(anchor: Date, existing: &[Digest]) -> String {
    let base = slug_of(anchor);
    let taken = |slug: &String| existing.iter().any(|draft| draft.slug == *slug);
    let numbered = (2_u32..).map(|number| format!("{base}-{number}"));
    // As many names and one more are tried as there are digests, so one of them is free.
    std::iter::once(base.clone()).chain(numbered).find(|slug| !taken(slug)).unwrap_or(base)
}
