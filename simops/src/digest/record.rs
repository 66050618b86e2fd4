//! The stored digest and its status.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::template::template_of;
use super::{Brief, Evidence, EvidenceCheck, Verification};
use crate::Result;
use crate::run::{RunSelection, SelectedRuns};

named! {
    /// The status of a digest.
    pub enum DigestStatus {
        /// Not decided yet.
        Draft = "draft",
        /// Approved.
        Published = "published",
        /// Rejected. This status is final.
        Discarded = "discarded",
        /// Not written by the schedule, because the evidence was insufficient. A digest of the same date
        /// replaces it.
        InsufficientEvidence = "insufficient_evidence",
    }
}

/// A stored digest. Its text never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Digest {
    /// Unique name: `weekly-brief-DATE`, or `runs-brief-DATE` when it covers only some runs, followed by
    /// `-2`, `-3`, … for further digests of a date.
    pub slug: String,
    /// The runs that it covers; absent when it covers everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<SelectedRuns>,
    /// The last day of the period.
    pub anchor_date: Date,
    /// The length of the period in days.
    pub lookback_days: i64,
    /// The status.
    pub status: DigestStatus,
    /// Required and observed evidence; null for digests of older versions.
    #[serde(default)]
    pub evidence_gate: Option<EvidenceCheck>,
    /// The title.
    pub title: String,
    /// The run that the digest is about, if any.
    pub evidence_run_id: Option<String>,
    /// How well the evidence supports the digest.
    pub verification: Verification,
    /// The version of the template.
    pub template_version: String,
    /// The text as Markdown.
    pub markdown: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// The actor that created it.
    pub created_by: String,
    /// When its status last changed.
    pub updated_at: Timestamp,
    /// The actor that changed its status.
    pub updated_by: String,
}

impl Digest {
    /// The digest of `evidence`, or the row that says that the evidence is insufficient. Slug, times
    /// and actors are set when it is stored.
    ///
    /// # Errors
    /// Returns `Invalid` if the period exceeds the representable times.
    pub fn of(evidence: &Evidence, gate: EvidenceCheck) -> Result<Self> {
        let runs = evidence.runs.clone();
        let (status, title, markdown) = if gate.passed {
            let brief = Brief::of(evidence)?;
            (DigestStatus::Draft, brief.title.clone(), brief.markdown())
        } else {
            let title = format!("No {} for {}", kind_of(runs.is_some()), evidence.anchor_date);
            (DigestStatus::InsufficientEvidence, title, gate.message.clone())
        };
        Ok(Self {
            slug: String::new(),
            runs,
            anchor_date: evidence.anchor_date,
            lookback_days: evidence.lookback_days,
            status,
            evidence_gate: Some(gate),
            title,
            evidence_run_id: evidence.run.as_ref().map(|run| run.run_id.clone()),
            verification: evidence.verification,
            template_version: template_of(evidence).to_owned(),
            markdown,
            created_at: Timestamp::UNIX_EPOCH,
            created_by: String::new(),
            updated_at: Timestamp::UNIX_EPOCH,
            updated_by: String::new(),
        })
    }

    /// The selection of the runs that it covers. Each selection has digests of its own.
    pub(crate) fn selection(&self) -> Option<&RunSelection> {
        self.runs.as_ref().map(|runs| &runs.selection)
    }

    /// The first slug for a digest of its kind and date.
    pub(crate) fn first_slug(&self) -> String {
        let kind = kind_of(self.runs.is_some()).replace(' ', "-");
        format!("{kind}-{}", self.anchor_date)
    }
}

fn kind_of(of_runs: bool) -> &'static str {
    if of_runs { "runs brief" } else { "weekly brief" }
}

/// The first unused slug of `base`, `base-2`, `base-3`, …; `existing` are the digests of the date.
pub(crate) fn free_slug(base: String, existing: &[Digest]) -> String {
    let taken = |slug: &String| existing.iter().any(|draft| draft.slug == *slug);
    let numbered = (2_u32..).map(|number| format!("{base}-{number}"));
    // There are finitely many digests, so the search ends; `unwrap_or` is never used.
    std::iter::once(base.clone()).chain(numbered).find(|slug| !taken(slug)).unwrap_or(base)
}
