//! Reading an answer, bounded in size and in silence.

use std::error::Error as _;

use reqwest::Response;
use tokio::time::timeout;

use super::OpenAiOptions;
use crate::llm::{LlmError, LlmErrorKind};

/// Bytes of an error's body that are looked at.
const HEAD: usize = 8 * 1024;

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

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// `InvalidResponse` when it breaks off or is too long, `Timeout` when nothing comes.
    pub(super) async fn piece(&mut self) -> Result<Option<Vec<u8>>, LlmError> {
        let idle = self.options.idle_timeout;
        let piece = match timeout(idle, self.response.chunk()).await {
            Ok(Ok(Some(piece))) => piece,
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(error)) => {
                let detail = format!("the answer broke off: {}", cause(&error));
                return Err(LlmError::new(LlmErrorKind::InvalidResponse, detail));
            }
            Err(_) => {
                let detail = format!("the answer fell silent for {:.1} s", idle.as_secs_f64());
                return Err(LlmError::new(LlmErrorKind::Timeout, detail));
            }
        };
        self.read = self.read.saturating_add(piece.len());
        if self.read > self.options.max_body {
            let detail = format!("the answer is longer than {} bytes", self.options.max_body);
            return Err(LlmError::new(LlmErrorKind::InvalidResponse, detail));
        }
        Ok(Some(piece.into()))
    }

    /// All of it.
    pub(super) async fn whole(&mut self) -> Result<Vec<u8>, LlmError> {
        let mut whole = Vec::new();
        while let Some(piece) = self.piece().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    /// The beginning, as far as it comes: the body of an error only explains.
    pub(super) async fn head(&mut self) -> Vec<u8> {
        let mut head = Vec::new();
        while head.len() < HEAD {
            match self.piece().await {
                Ok(Some(piece)) => head.extend_from_slice(&piece),
                Ok(None) | Err(_) => break,
            }
        }
        head.truncate(HEAD);
        head
    }
}

/// The innermost cause of an error: the outer ones name the URL.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let mut source = error.source();
    while let Some(inner) = source.and_then(|source| source.source()) {
        source = Some(inner);
    }
    source.map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}
