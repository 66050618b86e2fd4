//! Termination signals: SIGINT and SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A future that completes at the first signal; the second one ends the process at once. Signals are
/// caught from this call on.
///
/// # Errors
/// The operating system's error if a handler cannot be installed.
pub fn shutdown() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        next(&mut interrupt, &mut terminate).await;
        tokio::spawn(async move {
            next(&mut interrupt, &mut terminate).await;
            std::process::exit(130);
        });
    })
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
