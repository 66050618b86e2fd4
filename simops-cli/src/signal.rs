//! Signals that end the process: SIGTERM, SIGINT, and SIGHUP for commands of a terminal.

use std::future::poll_fn;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Failure;

/// A future that completes when the process is asked to end. The signals are caught from this call
/// on, not only once it is awaited.
pub(crate) fn shutdown() -> Result<impl Future<Output = ()>, Failure> {
    caught(&[SignalKind::terminate(), SignalKind::interrupt()])
}

/// As [`shutdown`], also when the terminal is gone.
pub(crate) fn interruption() -> Result<impl Future<Output = ()>, Failure> {
    caught(&[SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()])
}

fn caught(kinds: &[SignalKind]) -> Result<impl Future<Output = ()> + use<>, Failure> {
    let signals = kinds.iter().map(|kind| signal(*kind)).collect::<std::io::Result<Vec<_>>>();
    let mut signals =
        signals.map_err(|error| Failure::new(format!("signals cannot be caught: {error}")))?;
    Ok(async move {
        any(&mut signals).await;
        // A second signal ends the process at once.
        tokio::spawn(async move {
            any(&mut signals).await;
            std::process::exit(130);
        });
    })
}

async fn any(signals: &mut [Signal]) {
    poll_fn(|context| {
        let arrived = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if arrived { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
