//! What every store computes with, so that all of them count alike: for implementers of
//! [`RunStore`](super::RunStore), and for programs that prepare rows for one.

pub use crate::kpi::event::hash_key;
pub use crate::kpi::recount::{
    Recounter, StepsComparison, change_of_sums, neighbours, right_steps,
};
pub use crate::kpi::sums::{RETENTION_DAYS, SUM_FIELDS, apply_steps};
