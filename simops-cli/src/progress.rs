//! Progress of long work: a bar on stderr when that is a terminal. Otherwise recounts show lines, and
//! other work shows nothing.

use std::borrow::Cow;
use std::io::{IsTerminal, Read, stderr};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use simops::recount::{RecountProgress, Stage};
use tokio::time::timeout;

use crate::exit::Failure;
use crate::print;
use crate::signal::interruption;

/// Time between two lines about a recount.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shorter work shows no progress.
const SHOW_AFTER: Duration = Duration::from_millis(300);

/// Does `work`; if it takes long, shows `what` and the time since.
pub(crate) async fn while_at<T>(what: &'static str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Ok(done) = timeout(SHOW_AFTER, &mut work).await {
        return done;
    }
    let _spinner = Bar::spinner(what);
    work.await
}

/// Recounts `what`, with its progress. When the process is asked to end, the recount ends, and the
/// failure says what has `remained`.
pub(crate) async fn recount<T>(
    what: &'static str,
    remained: &str,
    work: impl AsyncFnOnce(&(dyn Fn(RecountProgress) + Send + Sync)) -> simops::Result<T>,
) -> Result<T, Failure> {
    let bar = stderr().is_terminal().then(|| Bar::new(what));
    let shown = Mutex::new(Instant::now());
    let show = |RecountProgress { stage, done, of }: RecountProgress| {
        let what = match stage {
            Stage::Counting => what,
            Stage::Comparing => "comparing days",
            Stage::Indexing => "writing the index of events",
        };
        if let Some(bar) = &bar {
            bar.show_message(what);
            return bar.show(done, of);
        }
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.elapsed() >= LINE_INTERVAL {
            *shown = Instant::now();
            print::note(&format!("{what}: {done} of {of}"));
        }
    };
    until_interrupted(remained, async { Ok(work(&show).await?) }).await
}

/// Runs `work`. When the process is asked to end, it ends, and the failure says what has `remained`.
pub(crate) async fn until_interrupted<T>(
    remained: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let interrupted = interruption()?;
    tokio::select! {
        done = work => done,
        () = interrupted => Err(Failure::new(format!("interrupted; {remained}"))),
    }
}

/// What a deletion in pieces leaves.
pub(crate) const DELETED: &str = "what was deleted stays deleted: run it again to delete the rest";

/// What a recount that only compares leaves.
pub(crate) const UNCHANGED: &str = "nothing was changed";

/// What a recount that corrects leaves.
pub(crate) const CORRECTED: &str =
    "corrections that were made are kept: run it again to make the rest";

/// A bar that disappears when it is dropped.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar that counts steps of `what`.
    pub(crate) fn new(what: &'static str) -> Self {
        Self::styled("{bar:32} {pos}/{len} {msg} {elapsed}", what)
    }

    /// A bar that counts the bytes that are read of a file; a spinner if its length is not known.
    pub(crate) fn bytes(length: Option<u64>) -> Self {
        let Some(length) = length else {
            return Self::styled("{spinner} {binary_bytes} {msg}", "");
        };
        let bar = Self::styled("{bar:40} {percent:>3}% {binary_bytes_per_sec} {msg}", "");
        bar.0.set_length(length);
        bar
    }

    /// `reader`, whose bytes the bar counts.
    pub(crate) fn wrap_read<R: Read>(&self, reader: R) -> impl Read + use<R> {
        self.0.wrap_read(reader)
    }

    /// A spinner, for work of unknown length.
    pub(crate) fn spinner(what: &'static str) -> Self {
        let bar = Self::styled("{spinner} {msg} {elapsed}", what);
        bar.0.enable_steady_tick(SHOW_AFTER / 2);
        bar
    }

    fn styled(template: &str, what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // The style must be set before the first message, which is drawn at once.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self(bar)
    }

    /// Changes the message.
    pub(crate) fn show_message(&self, what: impl Into<Cow<'static, str>>) {
        self.0.set_message(what);
    }

    /// Prints a line above the bar.
    pub(crate) fn note(&self, line: &str) {
        self.0.suspend(|| print::note(line));
    }

    /// `done` of `all` steps are done.
    pub(crate) fn show(&self, done: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(done);
    }

    /// Removes it from the terminal.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}
