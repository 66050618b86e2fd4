//! The simops server: the admin API, the console and the in-process reference world.
//!
//! It is a thin layer over [`simops::ops::Ops`]: `config` reads the configuration, `state` holds
//! what handlers share, `routes` maps each path to one use case, `middleware` surrounds every
//! route, `application` assembles them and `start` serves the result. Every error response is a
//! `problem`.

mod access;
mod application;
mod assets;
mod body;
pub mod config;
mod connections;
mod ingest;
pub mod logs;
mod metrics;
mod middleware;
mod openapi;
mod problem;
mod query;
mod request;
mod request_id;
mod request_log;
mod response;
mod routes;
mod serve;
mod signals;
mod single_flight;
mod snapshot;
mod start;
mod state;
mod stream;
mod worker;

pub use access::{AccessOptions, MetricsAccess, Networks, Token};
pub use application::Application;
pub use ingest::{IngestLimits, IngestOptions};
pub use serve::serve;
pub use signals::shutdown;
pub use start::start;
pub use stream::{MAX_STREAMS, Streams};
