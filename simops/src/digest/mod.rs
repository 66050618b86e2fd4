//! The weekly digest: what happened in some days, each claim with links to its evidence.
//!
//! [`evidence`] sums what there is, a [`evidence_check`] says whether it is enough, the locked [`template`] turns
//! it into claims, [`markdown`] writes them. A [`record`] is what is stored; [`schedule`] says when one
//! is due by itself. All of it is pure: the same anchor date and the same records give the same text to
//! the byte.

#[cfg(feature = "clap")]
pub mod args;
pub mod evidence;
pub mod evidence_check;
pub mod markdown;
pub mod record;
pub mod schedule;
pub mod template;

pub use evidence::{Evidence, Period, Verification};
pub use evidence_check::{EvidenceCheck, EvidenceCounts, Requirements};
pub use record::{Digest, DigestStatus};
pub use schedule::Schedule;
pub use template::{Brief, TEMPLATE_VERSION};
