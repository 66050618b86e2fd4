//! The simops store on PostgreSQL: many servers, many workers, one database.
//!
//! [`PostgresStore`] implements the roles of [`simops::store`] that depend on the dialect in modules
//! of the same names, and gets the others as an [`SqlStore`](simops::store::sql::SqlStore), as the
//! store on SQLite does. They rest on `codec` (values and rows), `transaction` (runs calls and retries
//! them), `queue` (group commit), `connection` (the pool), `watch` (commits of other processes),
//! `pooler` (detects one), `migrate` and `schema` (its versions). `open` assembles a store.
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

mod codec;
mod connection;
mod counting;
mod error;
mod events;
mod kpi;
mod kpi_dedup_index;
mod kpi_recount;
mod kpi_rows;
mod ledger_rows;
mod link;
mod location;
mod migrate;
mod open;
mod operations;
mod options;
mod pooler;
mod queue;
mod retention;
mod revision;
mod schema;
mod server_info;
mod store;
mod tally;
mod transaction;
mod usage;
mod watch;

pub use options::PostgresOptions;
pub use server_info::ServerInfo;
pub use store::PostgresStore;
