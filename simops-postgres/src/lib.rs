//! The simops store on PostgreSQL: many servers, many workers, one database.
//!
//! [`PostgresStore`] implements every role of [`simops::store`], one module per role under the same
//! name as in the store on SQLite. Beneath them, `transaction` does a call and repeats it where that
//! is right, `queue` lets calls share a commit, `connection` keeps the pool, `watch` hears of other
//! processes, `pooler` finds out what stands between, `migrate` keeps the schema.
//!
//! ```no_run
//! # async fn example() -> simops::Result<()> {
//! use simops::store::ControlStore;
//! use simops_postgres::PostgresStore;
//!
//! let store = PostgresStore::open("postgres://simops:secret@localhost/simops").await?;
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
mod examine;
mod hosts;
mod kpi;
mod kpi_known;
mod kpi_recount;
mod leader_leases;
mod leases;
mod link;
mod location;
mod migrate;
mod options;
mod pooler;
mod queue;
mod recount;
mod retention;
mod runs;
mod store;
mod tally;
mod transaction;
mod usage;
mod watch;
mod world;

pub use examine::Examination;
pub use options::PostgresOptions;
pub use store::PostgresStore;
