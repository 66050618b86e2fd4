//! A database as the target: the library's use cases, in this process.

use std::sync::Arc;

use simops::digest::Requirements;
use simops::ops::{Caller, Ops, OpsOptions, Writer};
use simops::store::RunStore;
use simops::{ErrorKind, SystemClock};

use crate::database;
use crate::exit::Failure;
use crate::globals::{Globals, OnDatabase};
use crate::print;

/// The use cases on a database.
pub(crate) struct Direct {
    pub(crate) ops: Ops,
    pub(crate) caller: Caller,
}

impl Direct {
    /// The database, under the rules of its environment.
    pub(crate) async fn open(on: OnDatabase<'_>) -> Result<Self, Failure> {
        Self::with_gate(on, Requirements::default()).await
    }

    /// The same, where a digest needs at least `gate`.
    pub(crate) async fn with_gate(on: OnDatabase<'_>, gate: Requirements) -> Result<Self, Failure> {
        Self::on(database::open(&on.database()?).await?, on.0, gate)
    }

    /// The same for commands that change nothing: a database that may only be read will do.
    pub(crate) async fn open_to_read(on: OnDatabase<'_>) -> Result<Self, Failure> {
        let store = database::open_to_read(&on.database()?).await?;
        Self::on(store, on.0, Requirements::default())
    }

    fn on(
        store: Arc<dyn RunStore>,
        globals: &Globals,
        digest_gate: Requirements,
    ) -> Result<Self, Failure> {
        let caller = Caller { actor: globals.actor()?, ..Caller::default() };
        // Alerts and scheduled work are the server's.
        let options = OpsOptions {
            write_gate: globals.admin_write_enabled,
            registry: database::registry()?,
            output_folder: globals.simops_output_dir.clone(),
            digest_gate,
            ..OpsOptions::of(globals.environment)
        };
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
