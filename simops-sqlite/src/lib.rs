//! The simops store on SQLite: one writer with group commit, concurrent readers.
//!
//! [`SqliteStore`] implements the roles of [`simops::store`] that depend on the dialect in modules of
//! the same names, and gets the others as an [`SqlStore`](simops::store::sql::SqlStore). They rest on
//! `codec` (values and rows), `writer` and `reader` (the threads), `watch` (commits of other
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

mod checkpoint;
mod codec;
mod connection;
mod counting;
mod disk;
mod error;
mod events;
mod files;
mod job;
mod kpi;
mod kpi_recount;
mod kpi_rows;
mod kpi_segments;
mod kpi_uids;
mod kpi_write_buffer;
mod ledger_rows;
mod location;
mod migrate;
mod options;
mod outage;
mod queue;
mod reader;
mod retention;
mod revision;
mod store;
mod tally;
mod threads;
mod transaction;
mod usage;
mod watch;
mod writer;

pub use options::SqliteOptions;
pub use store::SqliteStore;

/// Checks that `url` names an SQLite database, before anything is opened.
///
/// # Errors
/// `Invalid` for another URL. It is not quoted.
pub fn check_url(url: &str) -> simops::Result<()> {
    location::Location::parse(url).map(drop)
}
