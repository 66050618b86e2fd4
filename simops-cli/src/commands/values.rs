//! Arguments that several commands share.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use simops::{Clock, SystemClock};

/// A page of a list.
#[derive(Args, Serialize)]
pub(crate) struct PageArgs {
    /// The greatest number of rows, 1 to 500
    #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true)]
    pub(super) limit: i64,
    /// Continue where an earlier page ended: its next_cursor
    #[arg(long)]
    pub(super) cursor: Option<String>,
}

/// The moment that an argument like `7d` or `2026-03-01` names.
pub(super) fn since(text: &str) -> Result<Timestamp, String> {
    let moment = simops::ops::since(text, SystemClock.now());
    // clap names the argument already.
    moment.map_err(|error| error.fields().iter().map(|field| field.message.as_str()).collect())
}

/// A setting and the text of its value.
pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("must be of the form KEY=VALUE".to_owned()),
    }
}
