//! A connection's stream, which notes when the server waits for the client, and completes the
//! responses of hyper itself.

use std::fmt::Write;
use std::io::{ErrorKind, IoSlice, Read, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::StatusCode;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Connection;
use crate::problem::{PROBLEM_JSON, Problem};
use crate::response::SECURITY_HEADERS;

/// The stream of `connection`.
#[derive(Debug)]
pub(crate) struct Watched {
    stream: TcpStream,
    connection: Arc<Connection>,
}

impl Watched {
    pub(crate) fn new(stream: TcpStream, connection: Arc<Connection>) -> Self {
        Self { stream, connection }
    }
}

/// Reads what the system has received, also if the runtime does not know of it yet.
fn read_now(stream: &TcpStream, buffer: &mut ReadBuf<'_>) -> Result<()> {
    let read = (&*SockRef::from(stream)).read(buffer.initialize_unfilled())?;
    buffer.advance(read);
    Ok(())
}

/// The whole response to a request whose head hyper could not read. To that it responds by itself,
/// with a head and no more. `None` for every other text.
fn completed(bytes: &[u8]) -> Option<String> {
    if !bytes.starts_with(b"HTTP/1.1 4") || !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok()?;
    // Responses of the application have an id.
    let head = head.strip_suffix("\r\n").filter(|head| !head.contains("x-request-id"))?;
    let status = StatusCode::from_bytes(head.get(9..12)?.as_bytes()).ok()?;
    let detail = match status {
        StatusCode::URI_TOO_LONG => "The path of the request is too long",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            "The head of the request has too many headers, or over 64 KiB"
        }
        _ => "The head of the request is not valid HTTP/1.1",
    };
    let body = Problem::new(status, detail).body();
    let mut whole = head.replace("content-length: 0\r\n", "");
    for (name, value) in SECURITY_HEADERS {
        write!(whole, "{name}: {value}\r\n").ok()?;
    }
    let length = body.len();
    write!(
        whole,
        "cache-control: no-store\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: {length}\r\n\r\n{}",
        String::from_utf8(body).ok()?
    )
    .ok()?;
    Some(whole)
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let this = self.get_mut();
        let mut polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if polled.is_pending() && this.connection.is_asked() {
            polled = match read_now(&this.stream, buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
                read => Poll::Ready(read),
            };
        }
        match polled {
            Poll::Pending => this.connection.waits(),
            Poll::Ready(_) => this.connection.received(),
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let this = self.get_mut();
        if let Some(whole) = completed(bytes) {
            let polled = Pin::new(&mut this.stream).poll_write(context, whole.as_bytes());
            return polled.map_ok(|_| bytes.len());
        }
        let polled = Pin::new(&mut this.stream).poll_write(context, bytes);
        if polled.is_pending() {
            this.connection.waits();
        }
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        if let [only] = slices {
            return self.poll_write(context, only);
        }
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        if polled.is_pending() {
            this.connection.waits();
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
