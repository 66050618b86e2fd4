//! How far long work is: a bar on stderr when that is a terminal, otherwise nothing.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

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
