//! Stop conditions: what each observes, its threshold, and how far away it is.

pub mod condition;

pub use condition::{Condition, Observed, evaluate};
