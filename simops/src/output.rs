//! Files for people: written whole or not at all, and never in the place of another by mistake.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::{Error, ErrorKind, Result};

/// Where baselines and digests go when nothing else is said.
pub const DEFAULT_FOLDER: &str = "output";

/// Puts `content` at `path`, in the place of what was there. A reader sees the old file or the new
/// one; a crash leaves one of them. Missing folders are made.
///
/// # Errors
/// `Unavailable` naming the path.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let written = beside(path, content).and_then(|fresh| {
        fs::rename(&fresh, path).inspect_err(|_| drop(fs::remove_file(&fresh)))?;
        sync_folder(path)
    });
    written.map_err(|error| unwritable(path, error))
}

/// Puts `content` at the path that `name` makes of `stem`, or of `stem-2`, `stem-3`, … when that is
/// taken; the stem it got.
///
/// # Errors
/// `Unavailable` naming the path.
pub fn keep(stem: &str, content: &[u8], name: impl Fn(&str) -> PathBuf) -> Result<String> {
    let mut free = stem.to_owned();
    let mut next = 2_u32;
    loop {
        let path = name(&free);
        match put_new(&path, content) {
            Ok(()) => return Ok(free),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                free = format!("{stem}-{next}");
                next = next.saturating_add(1);
            }
            Err(error) => return Err(unwritable(&path, error)),
        }
    }
}

fn put_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = beside(path, content)?;
    // Unlike a rename, a link is refused where something is.
    let linked = fs::hard_link(&fresh, path);
    let _ = fs::remove_file(&fresh);
    linked?;
    sync_folder(path)
}

/// Writes `content` to a new file in the folder of `path`, durably.
fn beside(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let folder = folder(path);
    fs::create_dir_all(folder)?;
    let fresh = folder.join(format!(".{}.tmp", Uuid::now_v7().simple()));
    let written = File::create_new(&fresh).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(fresh),
        Err(error) => {
            let _ = fs::remove_file(&fresh);
            Err(error)
        }
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new name is durable once its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder(path))?.sync_all() } else { Ok(()) }
}

fn unwritable(path: &Path, error: io::Error) -> Error {
    let detail = format!("{} cannot be written: {error}", path.display());
    Error::unavailable(detail).with_source(error)
}

/// The error of a file that cannot be read.
pub(crate) fn unreadable(path: &Path, error: io::Error) -> Error {
    let (kind, detail) = match error.kind() {
        io::ErrorKind::NotFound => {
            (ErrorKind::NotFound, format!("there is no file {}", path.display()))
        }
        _ => (ErrorKind::Unavailable, format!("{} cannot be read: {error}", path.display())),
    };
    Error::new(kind, detail).with_source(error)
}
