//! simops: the control plane for LLM-agent simulations.
//!
//! Data flows one way: a request or a timer calls a use case of [`ops::Ops`], a pure function
//! decides, and one commit of a [`store::RunStore`] makes the decision true. Hosts follow the
//! generation of that commit ([`host::Worker`]).
//!
//! - Embed a simulation: implement [`host::SimulationHost`] and run a [`host::Worker`].
//! - Operate it: [`ops::Ops`].
//! - Bring another database: implement [`store::RunStore`] and pass
//!   [`store_conformance!`](crate::store_conformance) (feature `testing`).

pub mod alert;
pub mod baseline;
pub mod clock;
pub mod control;
pub mod digest;
pub mod error;
pub mod event;
pub mod execute;
pub mod guardrail;
pub mod host;
pub mod kpi;
pub mod llm;
#[cfg(feature = "http")]
pub mod notify;
pub mod ops;
pub mod output;
pub mod progress;
pub mod report;
pub mod run;
pub mod settings;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod timers;
pub mod usage;

pub use clock::{Clock, SystemClock};
pub use error::{Error, ErrorKind, FieldError, Result};

/// Async trait methods in one spelling for implementers.
pub use async_trait::async_trait;
/// The version hosts and servers report.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
