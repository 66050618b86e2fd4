//! The weekly digest: what happened in some days, each claim with links to its evidence.
//!
//! [`evidence`] sums what there is, a [`gate`] says whether it is enough, the locked [`template`] turns
//! it into claims, [`markdown`] writes them. A [`draft`] is what is stored; [`schedule`] says when one
//! is due by itself. All of it is pure: the same anchor date and the same records give the same text to
//! the byte.

#[cfg(feature = "clap")]
pub mod args;
pub mod draft;
pub mod evidence;
pub mod gate;
pub mod markdown;
pub mod schedule;
pub mod template;

pub use draft::{Draft, DraftStatus};
pub use evidence::{Evidence, Period, Verification};
pub use gate::{Gate, Observed, Requirements};
pub use schedule::Schedule;
pub use template::{Brief, TEMPLATE_VERSION};
