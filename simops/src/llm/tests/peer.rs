//! A provider server controlled by the test, byte by byte.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::Secret;
use crate::llm::{OpenAi, OpenAiOptions, ProviderConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The key that must not appear anywhere.
pub(crate) const KEY: &str = "sk-hush-0123456789";

/// Longer than a busy machine takes to answer.
pub(crate) const PATIENT: OpenAiOptions = OpenAiOptions {
    stream: false,
    connect_timeout: Duration::from_secs(20),
    timeout: Duration::from_secs(20),
    idle_timeout: Duration::from_secs(20),
    max_body: 64 * 1024,
};

/// What the peer does with a request, step by step; then it hangs up.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Send(String),
    /// The same text, repeated until the count is reached or the client disconnects.
    Repeat(String, usize),
    Hang,
}

/// A peer on a free port; it ends with the test.
pub(crate) struct Peer {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Peer {
    /// One that follows the nth script on the nth request, and the last on all after.
    pub(crate) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let requests = Arc::clone(&seen);
        let serving = tokio::spawn(async move {
            for n in 0.. {
                let Ok((socket, _)) = listener.accept().await else { break };
                let script = scripts[n.min(scripts.len() - 1)].clone();
                tokio::spawn(serve(socket, script, Arc::clone(&requests)));
            }
        });
        Self { url, seen, serving }
    }

    /// The requests received, head and body.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// A provider of that name that asks this peer, with the key.
    pub(crate) fn provider(&self, name: &str, stream: bool) -> OpenAi {
        provider_at(&self.url, name, OpenAiOptions { stream, ..PATIENT })
    }
}

pub(crate) fn provider_at(url: &str, name: &str, options: OpenAiOptions) -> OpenAi {
    let config = ProviderConfig {
        name: name.to_owned(),
        base_url: url.to_owned(),
        key: Some(Secret::new(KEY)),
        model: "m".to_owned(),
    };
    OpenAi::new(&config, options).unwrap()
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(mut socket: TcpStream, script: Vec<Step>, seen: Arc<Mutex<Vec<String>>>) {
    let request = read_request(&mut socket).await;
    seen.lock().unwrap().push(request);
    for step in script {
        let sent = match step {
            Step::Send(text) => socket.write_all(text.as_bytes()).await,
            Step::Repeat(text, times) => {
                let mut sent = Ok(());
                for _ in 0..times {
                    sent = socket.write_all(text.as_bytes()).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    if sent.is_err() {
                        break;
                    }
                }
                sent
            }
            Step::Hang => std::future::pending().await,
        };
        if sent.is_err() {
            return;
        }
    }
    let _ = socket.shutdown().await;
}

async fn read_request(socket: &mut TcpStream) -> String {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().unwrap())
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

/// A response with a body, whole.
pub(crate) fn response(status: &str, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    vec![Step::Send(format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n{headers}\r\n{body}"
    ))]
}

/// The head of a stream, and its events.
pub(crate) fn stream(events: &[&str]) -> Vec<Step> {
    let mut text = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
                    connection: close\r\n\r\n"
        .to_owned();
    for event in events {
        text.push_str(&format!("data: {event}\n\n"));
    }
    vec![Step::Send(text)]
}

/// An answer with cached and reasoning tokens.
pub(crate) const ANSWER: &str = r#"{"id": "1", "model": "vendor/m-2", "choices": [{"index": 0,
    "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 8},
    "completion_tokens_details": {"reasoning_tokens": 3}}}"#;
