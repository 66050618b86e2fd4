//! Processes whose clocks are set with faketime.

use std::path::PathBuf;

/// The variables that start a process with another clock: `+5s` shifts it, `@2026-03-01 12:00:00`
/// (UTC) sets it, and it runs on from there. Durations are measured as before.
///
/// # Panics
/// When faketime is missing: `tests/run.sh` installs it.
pub fn clock(spec: &str) -> [(&'static str, String); 4] {
    [
        ("LD_PRELOAD", library().display().to_string()),
        ("FAKETIME", spec.to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("TZ", "UTC".to_owned()),
    ]
}

/// Debian keeps the library in the folder of the architecture.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    libraries.find(|library| library.exists()).expect("faketime; tests/run.sh installs it")
}
