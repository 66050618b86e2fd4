//! A disk so small that a test fills it.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

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

    /// Fills what is free with a file; its path.
    ///
    /// # Panics
    /// When the file cannot be made.
    pub fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).expect("a file");
        for size in [1 << 20, 4_096, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        // Also while a process that is ending has a file open.
        let _ = unmount.arg("-l").arg(self.path()).status();
    }
}
