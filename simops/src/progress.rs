//! Progress reporting for long operations.

/// A callback that receives the number of completed steps and the total number of steps.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Send + Sync);

/// Ignores progress.
pub const NO_PROGRESS: Progress<'static> = &|_, _| {};
