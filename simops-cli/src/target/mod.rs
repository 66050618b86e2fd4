//! What commands work on: a database or a server. Both give the same answers.

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

use crate::args::Globals;
use crate::exit::Failure;
use crate::progress::while_at;
use crate::request::Request;

/// Answers requests with the JSON of the admin API.
pub(crate) enum Target {
    /// A database, through the library.
    Direct(Box<Direct>),
    /// A server, through its admin API.
    Server(Box<Server>),
}

impl Target {
    /// The server if one is named, else the database.
    pub(crate) async fn of(globals: &Globals) -> Result<Self, Failure> {
        match &globals.url {
            Some(url) => Ok(Self::Server(Box::new(Server::new(url, globals)?))),
            None => Ok(Self::Direct(Box::new(Direct::open(globals).await?))),
        }
    }

    /// The same; a digest of the database takes so much evidence.
    pub(crate) async fn with_gate(globals: &Globals, gate: Requirements) -> Result<Self, Failure> {
        match &globals.url {
            Some(_) => Self::of(globals).await,
            None => Ok(Self::Direct(Box::new(Direct::with_gate(globals, gate).await?))),
        }
    }

    /// The answer to `request`.
    pub(crate) async fn ask(&self, request: &Request) -> Result<Value, Failure> {
        match self {
            Self::Direct(direct) => while_at("at the database", direct.ask(request)).await,
            Self::Server(server) => while_at("waiting for the server", server.ask(request)).await,
        }
    }
}
