//! Atomic writes of output files such as baselines and digests. Only the owner of the process can read
//! what is created.

use std::fs::{self, File, OpenOptions};
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
    create_folder(folder)?;
    let temporary = folder.join(format!(".{}.tmp", Uuid::now_v7().simple()));
    let written = create_file(&temporary).and_then(|mut file| {
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

/// Creates a file that only its owner can read and write (0600).
///
/// # Errors
/// Returns `AlreadyExists` if there is a file at `path`.
pub fn create_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Creates a folder with its missing parents, for their owner only (0700).
fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
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

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_created_belongs_to_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        replace(&below.join("replaced"), b"1").unwrap();
        write_new("new", b"1", |stem| below.join(stem)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for name in ["replaced", "new"] {
            assert_eq!(mode(&below.join(name)), 0o600, "{name}");
        }
        assert_eq!((mode(&below), mode(&folder.path().join("a"))), (0o700, 0o700));
    }
}
