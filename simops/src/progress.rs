//! How far long work is, for whoever shows it.

/// Is told how far a piece of work is: steps done, and steps in all.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Send + Sync);

/// For work that nobody watches.
pub const UNWATCHED: Progress<'static> = &|_, _| {};
