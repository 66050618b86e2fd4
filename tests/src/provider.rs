//! A model provider on a free port that answers as the test says, for better or worse.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the provider does with a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answers with this text, and says that it used 1,000 tokens in and 10 out.
    Says(String),
    /// A status with headers (each ending in `\r\n`) and this body.
    Status(u16, String, String),
    /// The begin of an answer, then nothing more.
    Half,
    /// This text in pieces, as a stream; its last event may be missing.
    Streams(String, bool),
    /// Nothing, for ever.
    Hangs,
    /// Nothing, and hangs up.
    HangsUp,
}

impl Reply {
    /// An action that any agent can take.
    pub fn action() -> Self {
        Self::Says(r#"{"action":"work","resource":"food"}"#.to_owned())
    }
}

/// A provider; it ends with the test.
#[derive(Debug)]
pub struct Provider {
    /// Its base URL.
    pub url: String,
    seen: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Provider {
    /// One that answers the nth request, counted from 0, with `reply(n)`.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(reply: impl Fn(usize) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let requests = Arc::clone(&seen);
        let serving = tokio::spawn(async move {
            for n in 0.. {
                let Ok((socket, _)) = listener.accept().await else { break };
                tokio::spawn(serve(socket, reply(n), Arc::clone(&requests)));
            }
        });
        Self { url, seen, serving }
    }

    /// The requests so far, head and body.
    ///
    /// # Panics
    /// Never: nothing panics while they are locked.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").clone()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(mut socket: TcpStream, reply: Reply, seen: Arc<Mutex<Vec<String>>>) {
    let request = read_request(&mut socket).await;
    seen.lock().expect("no panic").push(request);
    let (status, headers, body) = match reply {
        Reply::Says(text) => (200, String::new(), answer(&text)),
        Reply::Status(status, headers, body) => (status, headers, body),
        Reply::Streams(text, whole) => {
            let headers = "x-stream: yes\r\n".to_owned();
            (200, headers, events(&text, whole))
        }
        Reply::Half => (200, "x-half: yes\r\n".to_owned(), answer("{\"action\":\"re")),
        Reply::Hangs => return std::future::pending().await,
        Reply::HangsUp => return,
    };
    let length = body.len();
    let sent = if headers.contains("x-half") { &body[..length / 2] } else { &body };
    let kind = if headers.contains("x-stream") { "text/event-stream" } else { "application/json" };
    let head = format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
         connection: close\r\n{headers}\r\n"
    );
    // Who asked may be gone.
    let _ = socket.write_all(format!("{head}{sent}").as_bytes()).await;
    let _ = socket.shutdown().await;
}

fn answer(text: &str) -> String {
    let message = json!({ "role": "assistant", "content": text });
    json!({
        "id": "1",
        "model": "test-model",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 1_000, "completion_tokens": 10, "total_tokens": 1_010 },
    })
    .to_string()
}

/// A stream of a letter an event; without the end, the usage is missing, too.
fn events(text: &str, whole: bool) -> String {
    let event = |value: serde_json::Value| format!("data: {value}\n\n");
    let choice = |delta: serde_json::Value, reason: Option<&str>| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
        json!({ "id": "1", "model": "test-model", "choices": [choice] })
    };
    let pieces =
        text.chars().map(|letter| event(choice(json!({ "content": letter.to_string() }), None)));
    let mut stream: String = pieces.collect();
    if whole {
        let usage =
            json!({ "prompt_tokens": 1_000, "completion_tokens": 10, "total_tokens": 1_010 });
        stream += &event(choice(json!({}), Some("stop")));
        stream +=
            &event(json!({ "id": "1", "model": "test-model", "choices": [], "usage": usage }));
        stream += "data: [DONE]\n\n";
    }
    stream
}

async fn read_request(socket: &mut TcpStream) -> String {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().unwrap_or(0))
            });
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match socket.read(&mut piece).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&piece[..read]),
            _ => return text,
        }
    }
}
