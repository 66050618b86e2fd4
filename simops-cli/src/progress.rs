//! How far long work is: a bar on stderr when that is a terminal, otherwise nothing.

use std::pin::pin;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::timeout;

/// What is done sooner needs no sign that it is under way.
const PATIENCE: Duration = Duration::from_millis(300);

/// Does `work`; while it takes long, what it is and for how long is shown.
pub(crate) async fn while_at<T>(what: &'static str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Ok(done) = timeout(PATIENCE, &mut work).await {
        return done;
    }
    let _spinner = Bar::spinner(what);
    work.await
}

/// A bar that disappears when it is dropped.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar that counts steps of `what`. Nothing is drawn where no terminal is.
    pub(crate) fn new(what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_message(what);
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} {msg} {elapsed}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// A sign of life while nobody knows how much is left.
    fn spinner(what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_message(what);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(PATIENCE / 2);
        Self(bar)
    }

    /// `done` of `all` steps are done.
    pub(crate) fn show(&self, done: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
