//! A reverse proxy as operators have one: serves a server below a path, and fails on request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What the proxy does with requests whose path holds a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answers with this status and a page of its own.
    Status(u16),
    /// Closes the connection at once.
    Drop,
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<(String, Fault)>,
    seen: Vec<String>,
}

/// A proxy on a free port; it ends with the test.
#[derive(Debug)]
pub struct Proxy {
    /// Where the server's paths begin: `http://127.0.0.1:PORT/team/simops`.
    pub base: String,
    state: Arc<Mutex<State>>,
    serving: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Proxy {
    /// Serves the server at `target` (`http://HOST:PORT`) below `prefix` (`/team/simops`, or nothing).
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(target: &str, prefix: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}{prefix}", listener.local_addr().expect("an address"));
        let target = target.trim_start_matches("http://").to_owned();
        let (prefix, state) = (prefix.to_owned(), Arc::<Mutex<State>>::default());
        let shared = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (target, prefix) = (target.clone(), prefix.clone());
                open.spawn(pass(socket, target, prefix, Arc::clone(&shared)));
                while open.try_join_next().is_some() {}
            }
        });
        Self { base, state, serving }
    }

    /// From now on requests whose path holds `word` meet `fault`.
    pub fn fail(&self, word: &str, fault: Fault) {
        self.state().faults.push((word.to_owned(), fault));
    }

    /// From now on everything is passed on.
    pub fn mend(&self) {
        self.state().faults.clear();
    }

    /// The request lines so far.
    pub fn seen(&self) -> Vec<String> {
        self.state().seen.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request: its path without the prefix, one answer, and the end of the connection.
async fn pass(mut socket: TcpStream, target: String, prefix: String, state: Arc<Mutex<State>>) {
    let mut head = Vec::new();
    let end = loop {
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        match socket.read_buf(&mut head).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    };
    let text = String::from_utf8_lossy(&head[..end]).into_owned();
    let line = text.lines().next().unwrap_or_default().to_owned();
    let fault = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.seen.push(line.clone());
        state.faults.iter().find(|(word, _)| line.contains(word)).map(|(_, fault)| *fault)
    };
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let inner = path.strip_prefix(&prefix).filter(|rest| rest.starts_with('/'));
    match (fault, inner) {
        (Some(Fault::Drop), _) => {}
        (Some(Fault::Status(status)), _) => refuse(&mut socket, status).await,
        (None, None) => refuse(&mut socket, 404).await,
        (None, Some(inner)) => {
            let Ok(mut server) = TcpStream::connect(&target).await else {
                return refuse(&mut socket, 502).await;
            };
            let others = text
                .lines()
                .skip(1)
                .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
            let mut sent = format!("{method} {inner} HTTP/1.1\r\nConnection: close\r\n");
            others.for_each(|line| sent.extend([line, "\r\n"]));
            sent.push_str("\r\n");
            let mut sent = sent.into_bytes();
            sent.extend_from_slice(&head[end + 4..]);
            if server.write_all(&sent).await.is_ok() {
                let _ = copy_bidirectional(&mut socket, &mut server).await;
            }
        }
    }
}

async fn refuse(socket: &mut TcpStream, status: u16) {
    let page = "<html>the proxy's own page</html>";
    let answer = format!(
        "HTTP/1.1 {status} Fault\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{page}",
        page.len()
    );
    let _ = socket.write_all(answer.as_bytes()).await;
    let _ = socket.shutdown().await;
}
