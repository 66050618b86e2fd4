//! The weekly digest: a report on several days in which every claim links to its evidence.
//!
//! `evidence` summarises the records of the days and `evidence_check` decides whether they are
//! sufficient. The locked `template` turns them into claims, and `markdown` formats these.
//! `record` defines the stored digest and `schedule` when the next one is due. All functions are
//! pure: the same anchor date and the same records always produce the same text, byte for byte.

pub(crate) mod evidence;
mod evidence_check;
pub(crate) mod markdown;
pub(crate) mod record;
mod schedule;
mod template;
#[cfg(test)]
mod tests;

pub use evidence::{
    ActivitySummary, CallSummary, Evidence, EvidenceRun, Period, Population, Quote, TypeCount,
    Verification,
};
pub use evidence_check::{EvidenceCheck, EvidenceCounts, Requirements};
pub use record::{Digest, DigestStatus};
pub use schedule::Schedule;
pub use template::{Brief, RUNS_TEMPLATE_VERSION, Section, TEMPLATE_VERSION};
