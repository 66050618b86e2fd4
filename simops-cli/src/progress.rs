//! Progress of long work: a bar on stderr when that is a terminal, otherwise nothing.

use std::borrow::Cow;
use std::io::Read;
use std::pin::pin;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::timeout;

use crate::print;

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
