//! Progress of long commands, on a terminal only.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::support::{SOON, TestDir};

/// A server that takes connections and never answers.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// Runs a command on a terminal until what that has shown is as wanted; what it has shown by then.
fn shown_until(is_wanted: fn(&str) -> bool, arguments: &str) -> String {
    // `script` gives its command a terminal.
    let command = format!("{} {arguments}", env!("CARGO_BIN_EXE_simops-cli"));
    let mut script = Command::new("script")
        .args(["-qfec", &command, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = script.stdout.take().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let (mut seen, mut part) = (Vec::new(), [0; 1024]);
        while let Ok(read @ 1..) = shown.read(&mut part) {
            seen.extend_from_slice(&part[..read]);
            let text = String::from_utf8_lossy(&seen);
            if is_wanted(&text) {
                return sender.send(text.into_owned()).unwrap();
            }
        }
    });
    let found = receiver.recv_timeout(SOON);
    script.kill().unwrap();
    script.wait().unwrap();
    found.expect("progress")
}

#[test]
fn a_terminal_sees_that_work_is_under_way() {
    let (_listener, url) = silent();
    let waits = |shown: &str| shown.contains("asking the server");
    shown_until(waits, &format!("digest list --url {url}"));
}

#[test]
fn a_terminal_sees_for_how_long_a_drill_waits() {
    let counts = |shown: &str| {
        let mut times = shown.split("no provider is configured ").skip(1);
        times.any(|time| time.starts_with(|digit: char| ('1'..='9').contains(&digit)))
    };
    let shown = shown_until(counts, "drill provider-outage");
    // Something that turns, and no bar of unknown length.
    assert!(shown.contains("setting the stage 0s") && !shown.contains("0/0"), "{shown}");
}

#[test]
fn without_a_terminal_nothing_is_shown() {
    let dir = TestDir::with_database();
    let (listener, url) = silent();
    let mut command = dir.command(&["digest", "list", "--url", &url]);
    let asking = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Long after a spinner would have begun, the server hangs up for good.
    let (connection, _) = listener.accept().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    drop((connection, listener));
    let output = asking.wait_with_output().unwrap();
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("asking") && !stderr.contains('\u{1b}'), "{stderr}");
}
