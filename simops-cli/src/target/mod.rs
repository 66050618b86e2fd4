//! What commands work on: a database or a server. Both answer alike.

mod direct;
mod probe;
mod route;
mod server;

use serde::Serialize;
use serde_json::{Value, json};
use simops::Result as LibraryResult;
use simops::ops::{Ops, OpsOptions, Writer};

pub(crate) use direct::Direct;
pub(crate) use probe::{Probe, Seen};
pub(crate) use route::{Route, get, post};
use server::Server;

use crate::exit::Failure;
use crate::globals::{Globals, Place};
use crate::progress::while_at;

/// Answers requests with the JSON of the admin API.
pub(crate) enum Target {
    /// A database, through the library.
    Direct(Box<Direct>),
    /// A server, through its admin API.
    Server(Box<Server>),
}

/// Reads from what the user names: from a server by `route`, or from a database by `call`.
pub(crate) async fn read<T: Serialize>(
    globals: &Globals,
    route: Route,
    call: impl AsyncFnOnce(&Ops) -> LibraryResult<T>,
) -> Result<Value, Failure> {
    Target::of(globals, false).await?.read(route, call).await
}

/// Writes to what the user names: to a server by `route`, or to a database by `call`.
pub(crate) async fn write<T: Serialize>(
    globals: &Globals,
    route: Route,
    call: impl AsyncFnOnce(&Writer<'_>) -> LibraryResult<T>,
) -> Result<Value, Failure> {
    Target::of(globals, true).await?.write(route, call).await
}

impl Target {
    /// What the user names: a server, or else a database, which must be writable only if the command
    /// writes.
    pub(crate) async fn of(globals: &Globals, writes: bool) -> Result<Self, Failure> {
        Self::with_options(globals, writes, |_| ()).await
    }

    /// The same; on a database, with options that `adjust` changes. A server has its own.
    pub(crate) async fn with_options(
        globals: &Globals,
        writes: bool,
        adjust: impl FnOnce(&mut OpsOptions),
    ) -> Result<Self, Failure> {
        Ok(match globals.place() {
            Place::Server(server) => Self::Server(Box::new(Server::new(server)?)),
            Place::Database(on) => {
                Self::Direct(Box::new(Direct::open_with(on, writes, adjust).await?))
            }
        })
    }

    /// As [`read`].
    pub(crate) async fn read<T: Serialize>(
        &self,
        route: Route,
        call: impl AsyncFnOnce(&Ops) -> LibraryResult<T>,
    ) -> Result<Value, Failure> {
        match self {
            Self::Server(server) => server.ask(route).await,
            Self::Direct(direct) => {
                Ok(json!(while_at("asking the database", call(&direct.ops)).await?))
            }
        }
    }

    /// As [`write()`].
    pub(crate) async fn write<T: Serialize>(
        &self,
        route: Route,
        call: impl AsyncFnOnce(&Writer<'_>) -> LibraryResult<T>,
    ) -> Result<Value, Failure> {
        match self {
            Self::Server(server) => server.ask(route).await,
            Self::Direct(direct) => {
                let write = async { Ok::<_, Failure>(call(&direct.writer().await?).await?) };
                Ok(json!(while_at("asking the database", write).await?))
            }
        }
    }
}
