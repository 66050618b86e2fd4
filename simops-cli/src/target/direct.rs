//! A database as the target: the library's use cases, in this process.

use std::sync::Arc;

use simops::ops::{Caller, Ops, OpsOptions, Writer};
use simops::{ErrorKind, SystemClock};

use crate::database;
use crate::exit::Failure;
use crate::globals::OnDatabase;
use crate::print;

/// The use cases on a database.
pub(crate) struct Direct {
    pub(crate) ops: Ops,
    pub(crate) caller: Caller,
}

impl Direct {
    /// The database, under the rules of its environment.
    pub(crate) async fn open(on: OnDatabase<'_>) -> Result<Self, Failure> {
        Self::open_with(on, true, |_| ()).await
    }

    /// The same for commands that change nothing: a database that may only be read will do.
    pub(crate) async fn open_to_read(on: OnDatabase<'_>) -> Result<Self, Failure> {
        Self::open_with(on, false, |_| ()).await
    }

    /// One of both, with options that `adjust` changes.
    pub(super) async fn open_with(
        on: OnDatabase<'_>,
        writes: bool,
        adjust: impl FnOnce(&mut OpsOptions),
    ) -> Result<Self, Failure> {
        let (globals, database) = (on.0, on.database()?);
        let store = match writes {
            true => database::open(&database).await?,
            false => database::open_to_read(&database).await?,
        };
        let caller = Caller { actor: globals.actor()?, ..Caller::default() };
        // Notifications and scheduled work are the server's.
        let mut options = OpsOptions {
            write_gate: globals.admin_write_enabled,
            registry: database::registry()?,
            output_folder: globals.simops_output_dir.clone(),
            ..OpsOptions::of(globals.environment)
        };
        adjust(&mut options);
        Ok(Self { ops: Ops::new(store, Arc::new(SystemClock), options), caller })
    }

    /// The right to write, as the actor of this command.
    pub(crate) async fn writer(&self) -> Result<Writer<'_>, Failure> {
        match self.ops.writer(&self.caller).await {
            Err(error) if error.kind() == ErrorKind::Forbidden => {
                if self.ops.store().load().await?.production_mark {
                    print::note(
                        "the database is marked as production: writes need ADMIN_WRITE_ENABLED=true",
                    );
                }
                Err(error.into())
            }
            writer => Ok(writer?),
        }
    }

    /// Writes the report of a run that this command ended; otherwise a server or worker writes it.
    pub(crate) async fn write_report(&self) {
        if let Err(error) = self.ops.system().write_missing_reports().await {
            print::note(&format!("the report of the run is not written yet: {error}"));
        }
    }
}
