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

#[test]
fn a_terminal_sees_that_work_is_under_way() {
    let (_listener, url) = silent();
    // `script` gives its command a terminal.
    let command = format!("{} digest list --url {url} --token t", env!("CARGO_BIN_EXE_simops-cli"));
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
            if String::from_utf8_lossy(&seen).contains("waiting for the server") {
                return tell.send(()).unwrap();
            }
        }
    });
    let found = told.recv_timeout(Duration::from_secs(30));
    script.kill().unwrap();
    script.wait().unwrap();
    found.expect("a sign of life");
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
