//! The one place that writes: results to stdout, all else to stderr. A closed pipe is no failure.

mod rows;
mod table;

use std::io::{ErrorKind, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For spreadsheets.
    Csv,
    /// Of reports and digests.
    Markdown,
}

/// A result, with what its forms show of it.
pub(crate) struct Output {
    value: Value,
    /// The rows that a table and CSV show; without them they show the fields of the value.
    rows: Option<Vec<Value>>,
    /// The columns of a table, which need not be all.
    columns: &'static [&'static str],
    /// Replaces the table.
    text: Option<String>,
    /// Replaces the CSV of the rows.
    csv: Option<String>,
    markdown: Option<String>,
}

impl Output {
    /// A result whose fields are shown.
    pub(crate) fn record(result: impl Serialize) -> Self {
        let value = json!(result);
        Self { value, rows: None, columns: &[], text: None, csv: None, markdown: None }
    }

    /// A result whose `items` are shown, in a table with `columns`.
    pub(crate) fn list(result: impl Serialize, columns: &'static [&'static str]) -> Self {
        Self::record(result).with_rows_of("items", columns)
    }

    /// The same, showing the rows of a field.
    pub(crate) fn with_rows_of(self, field: &str, columns: &'static [&'static str]) -> Self {
        let rows = self.value.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
        self.with_rows(rows, columns)
    }

    /// The same, showing `rows`.
    pub(crate) fn with_rows(self, rows: Vec<Value>, columns: &'static [&'static str]) -> Self {
        Self { rows: Some(rows), columns, ..self }
    }

    /// The same, showing `text` in place of a table.
    pub(crate) fn with_text(self, text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..self }
    }

    /// The same, showing `csv` as CSV.
    pub(crate) fn with_csv(self, csv: impl Into<String>) -> Self {
        Self { csv: Some(csv.into()), ..self }
    }

    /// The same with a form in Markdown, which a terminal shows, too.
    pub(crate) fn with_markdown(self, markdown: impl Into<String>) -> Self {
        let markdown = markdown.into();
        Self { markdown: Some(markdown.clone()), ..self.with_text(markdown) }
    }
}

/// Prints a result: in the `format` asked for, else as a table on a terminal and as JSON in a pipe.
pub(crate) fn show(output: &Output, format: Option<Format>) -> Result<(), Failure> {
    let is_terminal = std::io::stdout().is_terminal();
    let usual = if is_terminal { Format::Table } else { Format::Json };
    match format.unwrap_or(usual) {
        Format::Json => pretty(&output.value),
        Format::Csv => {
            match (&output.csv, &output.rows) {
                (Some(csv), _) => raw(csv.as_bytes())?,
                (None, Some(rows)) => raw(&rows::csv(rows, output.columns)?)?,
                (None, None) => raw(&rows::csv_of_record(&output.value)?)?,
            }
            more(&output.value);
            Ok(())
        }
        Format::Markdown => match &output.markdown {
            Some(markdown) => raw(markdown.as_bytes()),
            None => Err(Failure::usage("this command prints table, json or csv, not markdown")),
        },
        Format::Table => {
            let width = if is_terminal { table::terminal_width() } else { None };
            let text = match (&output.text, &output.rows) {
                (Some(text), _) => text.clone(),
                (None, Some(rows)) => table::of_rows(rows, output.columns, width),
                (None, None) => table::of_fields(&output.value, width),
            };
            raw(printable(&text).as_bytes())?;
            more(&output.value);
            Ok(())
        }
    }
}

/// Says on stderr that a list has another page.
fn more(value: &Value) {
    if let Some(cursor) = value.get("next_cursor").and_then(Value::as_str) {
        note(&format!("there are more: --cursor {cursor}"));
    }
}

fn pretty(value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(format!("the result cannot be written: {error}")))?;
    // Outside of strings there are no control characters but line feeds.
    let escaped = text.chars().fold(String::with_capacity(text.len() + 1), |mut escaped, c| {
        match c {
            '\n' => escaped.push('\n'),
            c if c.is_control() => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
        escaped
    });
    raw(format!("{escaped}\n").as_bytes())
}

/// Bytes as they are.
pub(crate) fn raw(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("stdout cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

pub(crate) fn note(message: &str) {
    lines(&[message.to_owned()]);
}

pub(crate) fn failure(failure: &Failure) {
    lines(&failure.lines());
}

fn lines(lines: &[String]) {
    let mut err = std::io::stderr().lock();
    for line in lines {
        // Nothing can be done when stderr is closed.
        let _ = writeln!(err, "{}", printable(&line.replace('\n', "\u{FFFD}")));
    }
}

/// Text may quote what agents and visitors wrote, so a terminal gets no control characters of theirs.
fn printable(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', "\u{FFFD}")
}
