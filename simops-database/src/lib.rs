//! Opens the store that `DATABASE_URL` names. The one place that knows every kind of database.
//!
//! A program flattens [`DatabaseArgs`] into its flags, validates them as a [`Database`] at start and
//! opens it. It reads its `.env` with [`env_file::load`] before that.

mod args;
mod database;
pub mod env_file;

pub use args::DatabaseArgs;
pub use database::{Database, Kind};
pub use simops_postgres::ServerInfo;
