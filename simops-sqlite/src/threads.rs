//! Starts and ends the threads of a store.

use std::thread::{Builder, JoinHandle};

use simops::{Error, Result};

/// Starts a thread.
///
/// # Errors
/// `Unavailable` if the process may have no more of them.
pub(crate) fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let failed =
        |error| Error::unavailable("cannot start a thread for the database").with_source(error);
    Builder::new().name(name.to_owned()).spawn(run).map_err(failed)
}

/// Wakes threads that must end, and waits until they have.
pub(crate) fn end(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!(code = "store_thread_panicked", "store thread panicked");
        }
    }
}
