//! The simops server: thin. It reads its configuration, puts the library's use cases behind HTTP,
//! carries the console, and runs the reference world in-process.
//!
//! A request passes `edge` (name, access, headers, figures, log) and reaches a route, which calls
//! one use case of [`simops::ops::Ops`]. Every refusal is a `problem`.

mod access;
mod answer;
mod app;
mod assets;
mod body;
pub mod config;
mod edge;
mod fresh;
mod ingest;
pub mod logs;
mod meters;
mod openapi;
mod patterns;
mod problem;
mod query;
mod request_id;
mod routes;
mod serve;
mod signals;
mod snapshot;
mod start;
mod stream;
mod worker;

pub use access::{AccessOptions, Networks, Token};
pub use app::{Application, app};
pub use ingest::IngestOptions;
pub use serve::serve;
pub use signals::Signals;
pub use start::start;
pub use stream::{MAX_STREAMS, Streams};
