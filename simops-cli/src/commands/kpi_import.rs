//! Events from a file: line by line, the good ones recorded in batches, the bad ones named.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use simops::Clock;
use simops::control::Write;
use simops::kpi::{KpiEvent, MAX_BATCH, parse_one};
use simops::ops::Writer;

use super::kpi::ImportArgs;
use crate::exit::Failure;
use crate::print;
use crate::target::Direct;

/// A longer line is no event.
const MAX_LINE: usize = 64 * 1024;
/// So many bad lines are named one by one.
const NAMED: u64 = 100;
/// How often a batch is tried while the database is away.
const TRIES: u32 = 5;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object per line.
    Ndjson,
    /// Columns named in the first line.
    Csv,
}

/// Where an import stands.
struct Import<'a> {
    writer: Writer<'a>,
    clock: &'a dyn Clock,
    bar: ProgressBar,
    batch: Vec<KpiEvent>,
    accepted: u64,
    duplicates: u64,
    rejected: u64,
    /// The last line read.
    read: u64,
    /// The last line whose fate is settled.
    line: u64,
    from_line: u64,
}

/// Records the events of a file.
pub(super) async fn run(direct: &Direct, args: &ImportArgs) -> Result<(), Failure> {
    let writer = direct.writer().await?;
    writer.permit(Write::ImportKpi)?;
    let is_stdin = args.file == Path::new("-");
    let by_name = args.file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    let format = args.format.unwrap_or(if by_name { Format::Csv } else { Format::Ndjson });
    let (reader, length): (Box<dyn Read + Send>, _) = if is_stdin {
        (Box::new(stdin()), None)
    } else {
        let unreadable = |error| Failure::new(format!("{}: {error}", args.file.display()));
        let file = File::open(&args.file).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        (Box::new(file), Some(length))
    };
    let bar = progress(length);
    let mut import = Import {
        writer,
        clock: &**direct.ops().clock(),
        bar: bar.clone(),
        batch: Vec::with_capacity(MAX_BATCH),
        accepted: 0,
        duplicates: 0,
        rejected: 0,
        read: 0,
        line: 0,
        from_line: args.from_line,
    };
    let reader = BufReader::new(bar.wrap_read(reader));
    let read = match format {
        Format::Ndjson => import.ndjson(reader).await,
        Format::Csv => import.csv(reader).await,
    };
    let recorded = match read {
        Ok(()) => import.record().await.map(|()| import.line = import.read),
        Err(failure) => Err(failure),
    };
    bar.finish_and_clear();
    print::json(&json!({
        "ok": recorded.is_ok() && import.rejected == 0,
        "accepted": import.accepted,
        "duplicates": import.duplicates,
        "rejected": import.rejected,
        "lines": import.line,
    }))?;
    if let Err(failure) = recorded {
        let again = import.line + 1;
        print::note(&format!("interrupted; go on with --from-line {again}"));
        return Err(failure);
    }
    match import.rejected {
        0 => Ok(()),
        1 => Err(Failure::new("1 line was not imported")),
        lines => Err(Failure::new(format!("{lines} lines were not imported"))),
    }
}

fn progress(length: Option<u64>) -> ProgressBar {
    // Draws on stderr, and only where that is a terminal.
    let (bar, template) = match length {
        Some(length) => {
            (ProgressBar::new(length), "{bar:40} {percent:>3}% {binary_bytes_per_sec} {msg}")
        }
        None => (ProgressBar::new_spinner(), "{spinner} {binary_bytes} {msg}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl Import<'_> {
    async fn ndjson(&mut self, mut reader: impl BufRead) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        for line in 1.. {
            bytes.clear();
            let mut bounded = reader.by_ref().take(MAX_LINE as u64 + 1);
            let read = bounded.read_until(b'\n', &mut bytes);
            if read.map_err(|error| broken(line, &error))? == 0 {
                break;
            }
            self.read = line;
            if bytes.len() > MAX_LINE {
                self.reject(line, "longer than an event can be");
                skip_line(&mut reader).map_err(|error| broken(line, &error))?;
                continue;
            }
            self.take(line, bytes.trim_ascii()).await?;
        }
        Ok(())
    }

    async fn csv(&mut self, reader: impl Read) -> Result<(), Failure> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(reader);
        let header = reader.headers().map_err(|error| Failure::new(format!("line 1: {error}")))?;
        let columns: Vec<_> = header.iter().map(|name| name.trim().to_owned()).collect();
        if !columns.iter().any(|name| name == "event_name") {
            return Err(Failure::new(
                "line 1: names no column event_name; is this a CSV of events?",
            ));
        }
        let mut record = csv::StringRecord::new();
        loop {
            let line = reader.position().line();
            let read = reader.read_record(&mut record);
            if !matches!(read, Ok(false)) {
                self.read = line;
            }
            match read {
                Ok(false) => return Ok(()),
                Ok(true) => match object(&columns, &record) {
                    Ok(event) => self.take(line, event.to_string().as_bytes()).await?,
                    Err(why) => self.reject(line, &why),
                },
                Err(error) if error.is_io_error() => return Err(Failure::new(error.to_string())),
                Err(error) => self.reject(line, &error.to_string()),
            }
        }
    }

    /// Takes a line's event, and records the batch when it is full.
    async fn take(&mut self, line: u64, text: &[u8]) -> Result<(), Failure> {
        if text.is_empty() || line < self.from_line {
            return Ok(());
        }
        // The same line of the same file is the same event.
        let uid = format!("import {line} {}", String::from_utf8_lossy(text));
        match parse_one(text, &uid, self.clock.now()) {
            Ok(event) => self.batch.push(event),
            Err(error) => self.reject(line, error.detail()),
        }
        if self.batch.len() >= MAX_BATCH {
            self.record().await?;
            self.line = line;
        } else if self.batch.is_empty() {
            self.line = line;
        }
        Ok(())
    }

    fn reject(&mut self, line: u64, why: &str) {
        self.rejected += 1;
        if self.rejected <= NAMED {
            self.bar.suspend(|| print::note(&format!("line {line}: {why}")));
        } else if self.rejected == NAMED + 1 {
            self.bar.suspend(|| print::note("further bad lines are only counted"));
        }
    }

    async fn record(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut tries = 1;
        let recorded = loop {
            match self.writer.import_kpi(&self.batch).await {
                Ok(recorded) => break recorded,
                // Each has a uid: what was recorded unknown to us is not recorded again.
                Err(error) if error.is_retryable() && tries < TRIES => {
                    tokio::time::sleep(Duration::from_secs(1) * tries).await;
                    tries += 1;
                }
                Err(error) => return Err(error.into()),
            }
        };
        self.accepted += recorded.accepted;
        self.duplicates += recorded.duplicates;
        self.batch.clear();
        self.bar.set_message(format!("{} events", self.accepted + self.duplicates));
        Ok(())
    }
}

fn broken(line: u64, error: &std::io::Error) -> Failure {
    Failure::new(format!("line {line}: {error}"))
}

fn skip_line(reader: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            return Ok(());
        }
        let end = piece.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(piece.len(), |end| end + 1);
        reader.consume(length);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// A record as the object that a line of NDJSON would be.
fn object(columns: &[String], record: &csv::StringRecord) -> Result<Value, String> {
    if record.len() != columns.len() {
        return Err(format!("has {} fields, the first line {}", record.len(), columns.len()));
    }
    let mut event = Map::new();
    for (name, field) in columns.iter().zip(record).filter(|(_, field)| !field.is_empty()) {
        let value = match name.as_str() {
            "metadata" => serde_json::from_str(field)
                .map_err(|error| format!("metadata: must be JSON: {error}"))?,
            _ => Value::from(field),
        };
        event.insert(name.clone(), value);
    }
    Ok(Value::Object(event))
}
