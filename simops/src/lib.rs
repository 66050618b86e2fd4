//! The control plane for LLM-agent simulations: start, pause and stop runs, cap what model calls
//! cost, and keep an audit trail.
//!
//! ```
//! # use std::sync::Arc;
//! use simops::ops::{Caller, Ops, OpsOptions, StartRun};
//! use simops::{SystemClock, control::Environment, testing::MemoryStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> simops::Result<()> {
//! let options = OpsOptions::of(Environment::Development);
//! let ops = Ops::new(Arc::new(MemoryStore::new()), Arc::new(SystemClock), options);
//!
//! let operator = Caller { actor: "ada".to_owned(), ..Caller::default() };
//! let request = StartRun { mode: Some("test".to_owned()), ..StartRun::default() };
//! let started = ops.writer(&operator).await?.start_run(&request).await?;
//! assert!(started.simulation_active && started.run_id.starts_with("test-"));
//! # Ok(())
//! # }
//! ```
//!
//! # Where to start
//!
//! - **Embed a simulation**: implement [`host::SimulationHost`] and run it with a [`host::Worker`].
//! - **Call models**: use a [`llm::Router`], which reserves each call against the day's budget.
//! - **Operate runs**: call the use cases of [`ops::Ops`].
//! - **Support another database**: implement [`store::RunStore`] and run the test suite that
//!   [`store_conformance!`](crate::store_conformance) generates (feature `testing`).
//!
//! # How a change is made
//!
//! A request or a timer calls a use case. A pure function decides what changes, and one transaction
//! of the store commits the decision together with its audit rows and events. Hosts follow the
//! generation number of that commit.
//!
//! # Features
//!
//! - `http`: model providers that speak OpenAI's API, and notifications.
//! - `redis`: model calls counted in Redis.
//! - `clap`: configuration as command-line flags.
//! - `openapi`: schemas of the public types.
//! - `testing`: an in-memory store, fault injection and the conformance tests for stores.

#[macro_use]
mod named;

mod agent;
pub mod alert;
pub mod baseline;
pub mod clock;
pub mod control;
pub mod csv;
pub mod digest;
mod enforcement;
pub mod error;
pub mod event;
mod execute;
pub mod guardrail;
pub mod host;
pub mod jobs;
pub mod kpi;
pub mod llm;
#[cfg(feature = "http")]
pub mod notify;
mod number;
pub mod ops;
pub mod output;
pub mod progress;
pub mod recount;
pub mod report;
#[cfg(feature = "http")]
mod retry_after;
pub mod roster;
pub mod run;
mod secret;
pub mod settings;
mod statistics;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
pub mod usage;

pub use agent::{AgentFields, AgentId};
pub use clock::{Clock, SystemClock};
pub use error::{Error, ErrorKind, FieldError, Result};
pub use secret::Secret;

/// The attribute that implementations of the async traits need.
pub use async_trait::async_trait;
/// The version of this crate, which hosts and servers report.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
