//! A disk so small that a test fills it.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;

/// A file system in memory, unmounted when it is dropped.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts a file system of `mib` MiB. `None` where that is not permitted, as in a container: the
    /// reason is on stderr.
    ///
    /// # Panics
    /// When there is no temporary folder, or no program `mount`.
    pub fn mount(mib: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(folder.path());
        let status = mount.status().expect("mount is installed");
        if !status.success() {
            eprintln!("full disks are not tested: no file system can be mounted here ({status})");
            return None;
        }
        Some(Self(folder))
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills what is free with a file, and from then on what becomes free, some times a second, until the
    /// result is dropped.
    ///
    /// # Panics
    /// When the file cannot be made.
    pub fn keep_full(&self) -> Filler {
        let path = self.path().join("filler");
        let mut file = OpenOptions::new().create(true).append(true).open(path).expect("a file");
        let mut fill = move || {
            for size in [1 << 20, 4_096, 1] {
                while file.write_all(&vec![7; size]).is_ok() {}
            }
        };
        fill();
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(50));
                fill();
            }
        });
        Filler { ended, thread: Some(thread) }
    }
}

/// Keeps a disk full.
#[derive(Debug)]
pub struct Filler {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        // Also while a process that is ending has a file open.
        let _ = unmount.arg("-l").arg(self.path()).status();
    }
}
