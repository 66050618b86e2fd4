//! The simops store on PostgreSQL: many servers, many workers, one database.
//!
//! [`PostgresStore`] implements every role of [`simops::store`] in a module of the same name, as the
//! store on SQLite does. They rest on `codec` (values and rows), `transaction` (runs calls and retries
//! them), `queue` (group commit), `connection` (the pool), `watch` (commits of other processes),
//! `pooler` (detects one) and `migrate` (the schema). `open` assembles a store.
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
mod counter_epoch_rows;
mod counting;
mod days;
mod digests;
mod error;
mod events;
mod hosts;
mod kpi;
mod kpi_dedup_index;
mod kpi_recount;
mod kpi_rows;
mod leader_leases;
mod lease_rows;
mod leases;
mod link;
mod location;
mod migrate;
mod open;
mod options;
mod pooler;
mod queue;
mod recount;
mod retention;
mod revision;
mod runs;
mod server_info;
mod store;
mod tally;
mod transaction;
mod usage;
mod usage_rows;
mod watch;
mod world;

pub use options::PostgresOptions;
pub use server_info::ServerInfo;
pub use store::PostgresStore;
