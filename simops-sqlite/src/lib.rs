//! The simops store on SQLite: one writer with group commit, concurrent readers.
//!
//! [`SqliteStore`] implements every role of [`simops::store`] in a module of the same name. They rest
//! on `codec` (values and rows), `writer` and `reader` (the threads), `watch` (commits of other
//! processes), `connection` (opens and replaces connections) and `migrate` (the schema).
//!
//! ```
//! # async fn example() -> simops::Result<()> {
//! use simops::store::ControlStore;
//! use simops_sqlite::SqliteStore;
//!
//! let store = SqliteStore::open("sqlite::memory:").await?;
//! assert_eq!(store.load().await?.generation, 0);
//! # Ok(())
//! # }
//! ```

mod alerts;
mod codec;
mod connection;
mod control;
mod counter_epoch;
mod counter_epoch_rows;
mod counting;
mod days;
mod digests;
mod error;
mod events;
mod hosts;
mod job;
mod kpi;
mod kpi_recount;
mod kpi_rows;
mod kpi_segments;
mod kpi_write_buffer;
mod leader_leases;
mod lease_rows;
mod leases;
mod location;
mod migrate;
mod options;
mod outage;
mod queue;
mod reader;
mod recount;
mod retention;
mod revision;
mod runs;
mod store;
mod tally;
mod usage;
mod usage_rows;
mod watch;
mod world;
mod writer;

pub use options::SqliteOptions;
pub use store::SqliteStore;
