//! Reads a response body, with limits on its size and on idle time.

use std::error::Error as _;

use reqwest::Response;
use tokio::time::timeout;

use super::OpenAiOptions;
use crate::llm::{LlmError, LlmErrorKind};

/// The most bytes of an error's body that are read.
const MAX_ERROR_BYTES: usize = 8 * 1024;

/// The body of a response.
pub(super) struct Body {
    response: Response,
    options: OpenAiOptions,
    read: usize,
}

impl Body {
    pub(super) fn new(response: Response, options: OpenAiOptions) -> Self {
        Self { response, options, read: 0 }
    }

    /// The next chunk; `None` at the end.
    ///
    /// # Errors
    /// `InvalidResponse` if the connection breaks or the body is too long; `Timeout` if no data
    /// arrives within the idle time-out.
    pub(super) async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, LlmError> {
        let idle = self.options.idle_timeout;
        let chunk = match timeout(idle, self.response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(error)) => {
                let detail = format!("the response broke off: {}", cause(&error));
                return Err(LlmError::new(LlmErrorKind::InvalidResponse, detail));
            }
            Err(_) => {
                let detail = format!("no data for {:.1} s", idle.as_secs_f64());
                return Err(LlmError::new(LlmErrorKind::Timeout, detail));
            }
        };
        self.read = self.read.saturating_add(chunk.len());
        if self.read > self.options.max_body {
            let detail = format!("the response is longer than {} bytes", self.options.max_body);
            return Err(LlmError::new(LlmErrorKind::InvalidResponse, detail));
        }
        Ok(Some(chunk.into()))
    }

    /// The whole body.
    pub(super) async fn read_all(&mut self) -> Result<Vec<u8>, LlmError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.next_chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The beginning of an error's body; as much as arrives, because it is only used in a message.
    pub(super) async fn read_error(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < MAX_ERROR_BYTES {
            match self.next_chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) | Err(_) => break,
            }
        }
        bytes.truncate(MAX_ERROR_BYTES);
        bytes
    }
}

/// The innermost cause of an error. The outer ones contain the URL, which may hold a secret.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let mut source = error.source();
    while let Some(inner) = source.and_then(|source| source.source()) {
        source = Some(inner);
    }
    source.map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}
