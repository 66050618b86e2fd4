//! Long work shows that it is under way, to people and to nobody else.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::support::Place;

/// A server that takes connections and never answers.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// Runs a command on a terminal until that shows `sign`; what it has shown by then.
fn shown_until(sign: &'static str, arguments: &str) -> String {
    // `script` gives its command a terminal.
    let command = format!("{} {arguments}", env!("CARGO_BIN_EXE_simops-cli"));
    let mut script = Command::new("script")
        .args(["-qfec", &command, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = script.stdout.take().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let (mut seen, mut part) = (Vec::new(), [0; 1024]);
        while let Ok(read @ 1..) = shown.read(&mut part) {
            seen.extend_from_slice(&part[..read]);
            let text = String::from_utf8_lossy(&seen);
            if text.contains(sign) {
                return tell.send(text.into_owned()).unwrap();
            }
        }
    });
    let found = told.recv_timeout(Duration::from_secs(30));
    script.kill().unwrap();
    script.wait().unwrap();
    found.expect("a sign of life")
}

#[test]
fn a_terminal_sees_that_work_is_under_way() {
    let (_listener, url) = silent();
    shown_until("waiting for the server", &format!("digest list --url {url} --token t"));
}

#[test]
fn a_terminal_sees_for_how_long_a_drill_waits() {
    let shown = shown_until("no provider is configured 1s", "drill provider-outage");
    // Something that turns, and no bar of unknown length.
    assert!(shown.contains("setting the stage 0s") && !shown.contains("0/0"), "{shown}");
}

#[test]
fn without_a_terminal_nothing_is_shown() {
    let place = Place::with_database();
    let (listener, url) = silent();
    let mut command = place.command(&["digest", "list", "--url", &url, "--token", "t"]);
    let asking = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Long after a spinner would have begun, the server hangs up for good.
    let (connection, _) = listener.accept().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    drop((connection, listener));
    let said = asking.wait_with_output().unwrap();
    assert!(!said.status.success());
    let stderr = String::from_utf8_lossy(&said.stderr);
    assert!(!stderr.contains("waiting") && !stderr.contains('\u{1b}'), "{stderr}");
}
