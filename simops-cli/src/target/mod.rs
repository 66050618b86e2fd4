//! What commands work on: a database or a server. Both answer alike.

mod direct;
mod probe;
mod retry;
mod route;
mod server;

use serde_json::Value;
use simops::digest::Requirements;

pub(crate) use direct::Direct;
pub(crate) use probe::{Probe, Seen};
use server::Server;

use crate::exit::Failure;
use crate::globals::{Globals, Place};
use crate::progress::while_at;
use crate::request::Request;

/// Answers requests with the JSON of the admin API.
pub(crate) enum Target {
    /// A database, through the library.
    Direct(Box<Direct>),
    /// A server, through its admin API.
    Server(Box<Server>),
}

/// The answer of what the user names to a single request.
pub(crate) async fn ask(globals: &Globals, request: &Request) -> Result<Value, Failure> {
    Target::of(globals, request.is_write()).await?.ask(request).await
}

impl Target {
    /// What the user names: a server, or else a database, which must be writable only if the command
    /// writes.
    pub(crate) async fn of(globals: &Globals, writes: bool) -> Result<Self, Failure> {
        Self::with_gate(globals, writes, Requirements::default()).await
    }

    /// The same; on a database, a digest needs at least `gate`.
    pub(crate) async fn with_gate(
        globals: &Globals,
        writes: bool,
        gate: Requirements,
    ) -> Result<Self, Failure> {
        Ok(match globals.place() {
            Place::Server(server) => Self::Server(Box::new(Server::new(server)?)),
            Place::Database(on) if writes => {
                Self::Direct(Box::new(Direct::with_gate(on, gate).await?))
            }
            Place::Database(on) => Self::Direct(Box::new(Direct::open_to_read(on).await?)),
        })
    }

    /// The answer to `request`.
    pub(crate) async fn ask(&self, request: &Request) -> Result<Value, Failure> {
        match self {
            Self::Direct(direct) => while_at("asking the database", direct.ask(request)).await,
            Self::Server(server) => while_at("asking the server", server.ask(request)).await,
        }
    }
}
