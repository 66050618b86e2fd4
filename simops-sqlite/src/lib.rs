//! The simops store on SQLite: one writer with group commit, readers beside it.
//!
//! [`SqliteStore`] implements every role of [`simops::store`], one module per role under the same
//! name. Beneath them, `writer` and `reader` are the threads, `watch` follows other processes,
//! `connection` opens and replaces connections, `migrate` keeps the schema.
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
mod counting;
mod days;
mod digests;
mod error;
mod events;
mod hosts;
mod job;
mod kpi;
mod kpi_folds;
mod kpi_recount;
mod kpi_tail;
mod leader_leases;
mod leases;
mod location;
mod migrate;
mod options;
mod outage;
mod queue;
mod reader;
mod recount;
mod retention;
mod runs;
mod store;
mod tally;
mod usage;
mod watch;
mod world;
mod writer;

pub use options::SqliteOptions;
pub use store::SqliteStore;
