//! Atomic writes of output files such as baselines and digests.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::{Error, ErrorKind, Result};

/// The default folder for baselines and digests.
pub const DEFAULT_FOLDER: &str = "output";

/// Writes `content` to `path` atomically and replaces an existing file. Concurrent readers see
/// either the old or the new content, and so does a reader after a crash. Missing folders are
/// created.
///
/// # Errors
/// Returns `Unavailable`, with the path in the message, if the file cannot be written.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let written = write_temporary(path, content).and_then(|temporary| {
        fs::rename(&temporary, path).inspect_err(|_| drop(fs::remove_file(&temporary)))?;
        sync_folder(path)
    });
    written.map_err(|error| write_error(path, error))
}

/// Writes `content` to the path that `name` returns for `stem`. If that file exists, tries `stem-2`,
/// `stem-3`, … instead. Never replaces a file. Returns the stem that was used.
///
/// # Errors
/// Returns `Unavailable`, with the path in the message, if the file cannot be written.
pub fn write_new(stem: &str, content: &[u8], name: impl Fn(&str) -> PathBuf) -> Result<String> {
    let mut free = stem.to_owned();
    let mut next = 2_u32;
    loop {
        let path = name(&free);
        match create(&path, content) {
            Ok(()) => return Ok(free),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                free = format!("{stem}-{next}");
                next = next.saturating_add(1);
            }
            Err(error) => return Err(write_error(&path, error)),
        }
    }
}

fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = write_temporary(path, content)?;
    // Unlike `rename`, `hard_link` fails if the path exists.
    let linked = fs::hard_link(&temporary, path);
    let _ = fs::remove_file(&temporary);
    linked?;
    sync_folder(path)
}

/// Writes `content` to a new temporary file in the folder of `path` and syncs it to disk.
fn write_temporary(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let folder = folder(path);
    fs::create_dir_all(folder)?;
    let temporary = folder.join(format!(".{}.tmp", Uuid::now_v7().simple()));
    let written = File::create_new(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(temporary),
        Err(error) => {
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Syncs the folder of `path`: a new or renamed directory entry is durable only after that.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder(path))?.sync_all() } else { Ok(()) }
}

fn write_error(path: &Path, error: io::Error) -> Error {
    let detail = format!("{} cannot be written: {error}", path.display());
    Error::unavailable(detail).with_source(error)
}

/// Converts an I/O error of reading `path`: `NotFound` if the file is missing, else `Unavailable`.
pub(crate) fn read_error(path: &Path, error: io::Error) -> Error {
    let (kind, detail) = match error.kind() {
        io::ErrorKind::NotFound => {
            (ErrorKind::NotFound, format!("there is no file {}", path.display()))
        }
        _ => (ErrorKind::Unavailable, format!("{} cannot be read: {error}", path.display())),
    };
    Error::new(kind, detail).with_source(error)
}
