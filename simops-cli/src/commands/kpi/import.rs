//! Events from a file: the valid ones are recorded in batches, the others are reported with their lines.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, stdin};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Map, Value};
use simops::Clock;
use simops::control::Write;
use simops::kpi::{KpiEvent, MAX_BATCH, parse_one};
use simops::ops::KpiImport;
use simops::store::rules::hash_key;

use super::array::Elements;
use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::progress::Bar;
use crate::target::Direct;

/// The greatest length of an event in bytes.
const MAX_EVENT: usize = 64 * 1024;
/// Rejected lines that are reported one by one.
const MAX_REPORTED: u64 = 100;
/// Attempts to record a batch while the database is unavailable.
const MAX_ATTEMPTS: u32 = 5;
const TOO_LONG: &str = "longer than 64 KiB, which no event is";
const UTF8_BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];
const UTF16_BOMS: [[u8; 2]; 2] = [[0xFF, 0xFE], [0xFE, 0xFF]];

#[derive(Args)]
pub(crate) struct ImportArgs {
    /// The file; - is stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The form of the file [default: by the file's name, else ndjson]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Start with this line: where an earlier import was interrupted
    #[arg(long, value_name = "LINE", default_value_t = 1)]
    from_line: u64,
}

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object per line, or a JSON array of them.
    Ndjson,
    /// Columns named in the first line.
    Csv,
}

struct Import<'a> {
    import: KpiImport<'a>,
    clock: &'a dyn Clock,
    bar: Bar,
    batch: Vec<KpiEvent>,
    /// How often each content without an `event_uid` has occurred, by a hash of it.
    seen: HashMap<u64, u64>,
    read: u64,
    /// Whether a line can hold several events: then a line is not done with one of them.
    lines_are_shared: bool,
    from_line: u64,
    imported: Imported,
}

#[derive(Default, Serialize)]
struct Imported {
    ok: bool,
    accepted: u64,
    duplicates: u64,
    rejected: u64,
    /// The last line up to which every event is recorded or rejected.
    last_line: u64,
}

pub(super) async fn run(
    globals: &Globals,
    direct: &Direct,
    args: &ImportArgs,
) -> Result<(), Failure> {
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
    let bar = Bar::bytes(length);
    let reader = without_bom(bar.wrap_read(reader))?;
    let source = args.file.display().to_string();
    let mut import = Import {
        import: writer.begin_kpi_import(&source).await?,
        clock: &**direct.ops.clock(),
        bar,
        batch: Vec::with_capacity(MAX_BATCH),
        seen: HashMap::new(),
        read: 0,
        lines_are_shared: false,
        from_line: args.from_line,
        imported: Imported::default(),
    };
    let read = match format {
        Format::Ndjson => import.json(reader).await,
        Format::Csv => import.csv(reader).await,
    };
    // The events before a broken place are valid.
    let recorded = import.record().await.and_then(|()| {
        import.imported.last_line = import.read;
        read
    });
    import.bar.clear();
    let mut imported = import.imported;
    imported.ok = recorded.is_ok() && imported.rejected == 0;
    print::show(&Output::record(&imported), globals.output)?;
    if let Err(failure) = recorded {
        let next = imported.last_line + 1;
        print::note(&format!("the import was interrupted; continue with --from-line {next}"));
        return Err(failure);
    }
    match imported.rejected {
        0 => Ok(()),
        1 => Err(Failure::new("1 event was not imported")),
        events => Err(Failure::new(format!("{events} events were not imported"))),
    }
}

/// The bytes behind a byte order mark, which spreadsheets write.
fn without_bom(mut reader: impl Read + Send) -> Result<impl BufRead + Send, Failure> {
    let mut start = Vec::with_capacity(UTF8_BOM.len());
    reader.by_ref().take(3).read_to_end(&mut start).map_err(|error| broken(1, &error))?;
    if UTF16_BOMS.iter().any(|bom| start.starts_with(bom)) {
        return Err(Failure::new("line 1: the file is UTF-16; convert it to UTF-8"));
    }
    let skipped = if start == UTF8_BOM { start.len() } else { 0 };
    let rest = Cursor::new(start.split_off(skipped)).chain(reader);
    Ok(BufReader::new(rest))
}

impl Import<'_> {
    /// A JSON array, or an object per line.
    async fn json(&mut self, mut reader: impl BufRead) -> Result<(), Failure> {
        let mut line = 1;
        loop {
            let byte = reader.fill_buf().map_err(|error| broken(line, &error))?.first().copied();
            match byte {
                Some(b'[') => return self.array(reader, line).await,
                Some(b'\n') => line += 1,
                Some(byte) if byte.is_ascii_whitespace() => {}
                _ => return self.lines(reader, line).await,
            }
            reader.consume(1);
        }
    }

    async fn array(&mut self, reader: impl BufRead, line: u64) -> Result<(), Failure> {
        let mut elements = Elements::new(reader, line, MAX_EVENT);
        self.lines_are_shared = true;
        while let Some(element) = elements.next()? {
            self.read = element.line - 1;
            match element.text {
                Some(text) => self.take(element.line, &text).await?,
                None => self.reject(element.line, TOO_LONG),
            }
        }
        self.read = elements.line();
        Ok(())
    }

    async fn lines(&mut self, mut reader: impl BufRead, first: u64) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        for line in first.. {
            bytes.clear();
            let mut bounded = reader.by_ref().take(MAX_EVENT as u64 + 1);
            let read = bounded.read_until(b'\n', &mut bytes);
            if read.map_err(|error| broken(line, &error))? == 0 {
                break;
            }
            self.read = line;
            if bytes.len() > MAX_EVENT {
                self.reject(line, TOO_LONG);
                reader.skip_until(b'\n').map_err(|error| broken(line, &error))?;
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
        if text.is_empty() {
            return Ok(());
        }
        let uid = self.default_uid(text);
        if line < self.from_line {
            return Ok(());
        }
        match parse_one(text, &uid, self.clock.now()) {
            Ok(event) => self.batch.push(event),
            Err(error) => self.reject(line, error.detail()),
        }
        if self.batch.len() >= MAX_BATCH {
            self.record().await?;
        }
        if self.batch.is_empty() {
            self.imported.last_line = line - u64::from(self.lines_are_shared);
        }
        Ok(())
    }

    /// The uid of an event that has no `event_uid`: made of its content, and of its number among those
    /// with the same content. So a file that was imported before may be imported again, also with more
    /// events in it, wherever they are.
    fn default_uid(&mut self, text: &[u8]) -> String {
        let content = serde_json::from_slice::<Value>(text);
        let content = content.map_or_else(|_| String::new(), |content| content.to_string());
        let hash = hash_key(&content).as_u64_pair().0;
        let number = self.seen.entry(hash).or_default();
        *number += 1;
        format!("import {number} {content}")
    }

    fn reject(&mut self, line: u64, why: &str) {
        self.imported.rejected += 1;
        if self.imported.rejected <= MAX_REPORTED {
            self.bar.note(&format!("line {line}: {why}"));
        } else if self.imported.rejected == MAX_REPORTED + 1 {
            self.bar.note("further rejected events are only counted");
        }
    }

    async fn record(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut attempts = 1;
        let recorded = loop {
            match self.import.record(&self.batch).await {
                Ok(recorded) => break recorded,
                // Each has a uid: what an attempt recorded without an answer is not recorded twice.
                Err(error) if error.is_retryable() && attempts < MAX_ATTEMPTS => {
                    tokio::time::sleep(Duration::from_secs(1) * attempts).await;
                    attempts += 1;
                }
                Err(error) => return Err(error.into()),
            }
        };
        self.imported.accepted += recorded.accepted;
        self.imported.duplicates += recorded.duplicates;
        self.batch.clear();
        let events = self.imported.accepted + self.imported.duplicates;
        self.bar.show_message(format!("{events} events"));
        Ok(())
    }
}

fn broken(line: u64, error: &std::io::Error) -> Failure {
    Failure::new(format!("line {line}: {error}"))
}

/// A record as the object that a line of NDJSON is.
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
