//! A server as the target, played by a script: what is sent, and what is made of the answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use crate::support::{CliOutput, TestDir};

/// A request: its first line, its headers in lower case, its body.
struct Request {
    line: String,
    headers: Vec<String>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A server that answers its connections with `answers`, in order; its URL and the requests it receives.
fn server(answers: &[&str]) -> (String, JoinHandle<Vec<Request>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    let requests = std::thread::spawn(move || {
        answers.iter().map(|answer| serve(listener.accept().unwrap().0, answer)).collect()
    });
    (url, requests)
}

fn serve(mut stream: TcpStream, answer: &str) -> Request {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let mut request = Request { line: head.remove(0), headers: Vec::new(), body: String::new() };
    request.headers = head
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| format!("{}: {value}", name.to_lowercase()))
        .collect();
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    request.body = String::from_utf8(body).unwrap();
    stream.write_all(answer.as_bytes()).unwrap();
    request
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

#[test]
fn a_read_goes_to_the_admin_api_with_token_and_actor() {
    let (url, requests) = server(&[&answer("200 OK", "", r#"{"items":[]}"#)]);
    let dir = TestDir::empty();
    let list = ["events", "list", "--run-id", "r 1", "--type", "vote_cast", "--limit", "5"];
    let mut command = dir.command(&[&list[..], &["--url", &url, "--actor", "Zoë"]].concat());
    let output = CliOutput::of(command.env("ADMIN_API_TOKEN", "t0k").output().unwrap());
    assert_eq!(output.json(), serde_json::json!({"items": []}));
    let request = requests.join().unwrap().remove(0);
    assert_eq!(request.line, "GET /api/admin/events?run_id=r+1&type=vote_cast&limit=5 HTTP/1.1");
    assert_eq!(request.header("authorization"), Some("Bearer t0k"));
    assert_eq!(request.header("x-admin-user"), Some("Zoë"));
    assert_eq!(request.header("idempotency-key"), None);
}

#[test]
fn the_address_of_the_console_will_do_and_the_token_may_be_in_a_file() {
    for address in ["/ops", "/ops/#run", "/ops?view=runs#token=hidden", "/"] {
        let (url, received) = server(&[&answer("200 OK", "", r#"{"items":[]}"#)]);
        let dir = TestDir::empty();
        std::fs::write(dir.path().join("token"), "t0k\n").unwrap();
        dir.ok(&["run", "list", "--url", &format!("{url}{address}"), "--token-file", "token"]);
        let received = received.join().unwrap().remove(0);
        assert_eq!(received.line, "GET /api/admin/runs?limit=50 HTTP/1.1");
        assert_eq!(received.header("authorization"), Some("Bearer t0k"));
    }
    let (code, error) =
        TestDir::empty().fails(&["run", "list", "--url", "http://h", "--token=t0k"]);
    assert_eq!(code, 2);
    assert!(error.contains("ADMIN_API_TOKEN") && !error.contains("t0k"), "{error}");
}

#[test]
fn a_write_is_sent_again_with_the_same_key_when_the_server_says_so() {
    let unavailable =
        answer("503 Service Unavailable", "retry-after: 0\r\n", r#"{"detail":"unavailable"}"#);
    let done = answer("200 OK", "", r#"{"ok":true}"#);
    // The second connection breaks off without an answer.
    let (url, requests) = server(&[&unavailable, "", &done]);
    let dir = TestDir::empty();
    let output = dir.run(&["run", "start", "--mode", "test", "--reset-world", "--url", &url]);
    assert_eq!((output.code, output.json()["ok"].as_bool()), (0, Some(true)));
    assert_eq!(output.stderr, "unavailable; trying again\n");
    let requests = requests.join().unwrap();
    for request in &requests {
        assert_eq!(request.line, "POST /api/admin/control/run/start HTTP/1.1");
        assert_eq!(request.body, r#"{"mode":"test","reset_world":true}"#);
    }
    let keys: Vec<_> =
        requests.iter().map(|request| request.header("idempotency-key").unwrap()).collect();
    assert!(!keys[0].is_empty() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn a_problem_is_shown_with_its_fields_and_is_final() {
    let problem = r#"{"title":"Unprocessable Content","status":422,"detail":"Not allowed.",
        "errors":[{"field":"reason","message":"must be\u001b[2J short"}]}"#;
    let (url, requests) = server(&[&answer("422 Unprocessable Content", "", problem)]);
    let output = TestDir::empty().fails(&["run", "pause", "--reason", "x", "--url", &url]);
    let shown = "error: Not allowed.\n  reason: must be\u{FFFD}[2J short\n";
    assert_eq!(output, (2, shown.to_owned()));
    requests.join().unwrap();
}

#[test]
fn a_missing_token_a_redirect_and_another_program_give_different_errors() {
    for (given, expected) in [
        (
            answer("401 Unauthorized", "", r#"{"detail":"Invalid admin credentials"}"#),
            "no token given",
        ),
        (answer("302 Found", "location: https://example.org\r\n", ""), "redirect"),
        (answer("200 OK", "", "<html>"), "is it a simops server?"),
    ] {
        let (url, requests) = server(&[&given]);
        let (code, error) = TestDir::empty().fails(&["run", "status", "--url", &url]);
        assert_eq!((code, error.contains(expected)), (1, true), "{error}");
        requests.join().unwrap();
    }
}

#[test]
fn a_server_that_is_not_there_is_one_clear_line() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (code, error) = TestDir::empty().fails(&["run", "status", "--url", &url]);
    assert_eq!(code, 1);
    assert!(error.starts_with(&format!("error: {url} cannot be reached: Connection refused")));
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn a_verification_that_fails_on_the_server_fails_here() {
    let body = r#"{"ok":false,"rows":null,"head":null,
        "detail":"the audit trail does not hold: row 3 is missing"}"#;
    let (url, requests) = server(&[&answer("200 OK", "", body)]);
    let head = format!("7:{}", "ab".repeat(32));
    let output = TestDir::empty().run(&["audit", "verify", "--head", &head, "--url", &url]);
    assert_eq!((output.code, output.json()["ok"].as_bool()), (1, Some(false)));
    assert!(output.json().get("rows").is_none());
    assert_eq!(output.stderr, "error: the audit trail does not hold: row 3 is missing\n");
    let line = requests.join().unwrap().remove(0).line;
    assert!(line.contains("audit/verify?head_id=7&head_hash=abab"), "{line}");
}

#[test]
fn a_name_that_could_lead_elsewhere_is_not_asked_for() {
    for name in ["..", "", "a/b"] {
        let output = TestDir::empty().fails(&["run", "show", name, "--url", "http://127.0.0.1:1"]);
        assert_eq!(output, (1, format!("error: there is no run {name:?}\n")));
    }
}

#[test]
fn a_path_that_passes_the_gate_in_a_disguise_is_found_because_it_is_sent_as_it_is_written() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Lets through what a careless proxy would.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            reader.read_line(&mut line).unwrap();
            reader.lines().take_while(|line| matches!(line, Ok(line) if !line.is_empty())).count();
            let leaks =
                ["/ops/../api/", "..;", "%2e%2e", "//api"].iter().any(|part| line.contains(part));
            let answer = match leaks {
                true => answer("200 OK", "", r#"{"viewer_ops":{}}"#),
                false => answer("401 Unauthorized", "", "{}"),
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let dir = TestDir::empty();
    std::fs::write(dir.path().join("token"), "q8Zr5Wn2Lx7Vb4Tc9Ym6Ks3H").unwrap();
    let check = ["check", "production", "--url", &url, "--token-file", "token"];
    let output = dir.run(&check);
    assert_eq!(output.code, 1, "{}", output.stderr);
    let checked = output.json();
    let mut checks = checked["checks"].as_array().unwrap().iter();
    let found =
        checks.find(|check| check["check"].as_str().unwrap().starts_with("no disguised path"));
    let detail = found.unwrap()["detail"].as_str().unwrap();
    let spellings: Vec<_> = detail.split(' ').collect();
    for path in [
        "/ops/../api/admin/status",
        "/ops/..;/api/admin/status",
        "/ops/%2e%2e/api/admin/status",
        "/api/admin/%2e%2e/admin/status",
        "//api/admin/status",
    ] {
        assert!(spellings.contains(&path), "{path}: {detail}");
    }
    assert_eq!(spellings.len(), 5, "{detail}");
}
