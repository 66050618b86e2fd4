//! Errors of one attempt ([`LlmError`]) and of a whole call ([`CallError`]).

use std::sync::Arc;
use std::time::Duration;

use crate::usage::{Refused, Tokens};
use crate::{Error, ErrorKind};

named! {
    /// The kind of failure of one attempt.
    pub enum LlmErrorKind {
        /// The time-out expired.
        Timeout = "timeout",
        /// The connection failed, or closed before the response.
        Connection = "connection",
        /// The provider's rate limit was reached (429).
        RateLimited = "rate_limited",
        /// The provider failed (5xx).
        ServerError = "server_error",
        /// The provider rejected the key (401, 403).
        Auth = "auth",
        /// The account has no credit (402).
        PaymentRequired = "payment_required",
        /// The provider rejected the request or the model.
        BadRequest = "bad_request",
        /// The response was incomplete or malformed.
        InvalidResponse = "invalid_response",
        /// The provider's implementation cancelled the call.
        Cancelled = "cancelled",
        /// The circuit breaker was open; nothing was sent.
        CircuitOpen = "circuit_open",
        /// The provider's implementation panicked.
        Panicked = "provider_panicked",
    }
}

impl LlmErrorKind {
    /// Whether to repeat the request on the same route. A time-out or an incomplete response has
    /// most likely been charged, so it is not repeated.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::ServerError | Self::Connection)
    }

    /// Whether it counts as a failure of the provider rather than of the request.
    pub fn is_provider_fault(self) -> bool {
        !matches!(self, Self::BadRequest | Self::Cancelled | Self::CircuitOpen)
    }
}

/// What a failed attempt cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spent {
    /// Nothing: the request was refused before a model ran, or never arrived.
    Nothing,
    /// Exactly these tokens.
    Exactly(Tokens),
    /// Unknown: a model may have run. Charged at the upper bound of its cost.
    #[default]
    Unknown,
    /// At least these tokens. Charged at the upper bound or their price, whichever is
    /// higher.
    AtLeast(Tokens),
}

/// Why one attempt failed, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct LlmError {
    /// The kind of failure.
    pub kind: LlmErrorKind,
    /// A message for people; contains no secret.
    pub detail: String,
    /// How long the provider asks to wait before the next request.
    pub retry_after: Option<Duration>,
    /// What the attempt cost.
    pub spent: Spent,
}

impl LlmError {
    /// An error of unknown cost: a model may have run.
    pub fn new(kind: LlmErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None, spent: Spent::Unknown }
    }

    /// An error that cost nothing: no model ran.
    pub fn unsent(kind: LlmErrorKind, detail: impl Into<String>) -> Self {
        Self { spent: Spent::Nothing, ..Self::new(kind, detail) }
    }

    /// Sets what the attempt cost.
    #[must_use]
    pub fn with_spent(self, spent: Spent) -> Self {
        Self { spent, ..self }
    }

    /// Sets how long to wait.
    #[must_use]
    pub fn with_retry_after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }
}

impl From<Error> for LlmError {
    /// Converts the error of a scripted provider: a retryable one simulates an outage, any other a
    /// rejected request.
    fn from(error: Error) -> Self {
        let kind =
            if error.is_retryable() { LlmErrorKind::ServerError } else { LlmErrorKind::BadRequest };
        Self::unsent(kind, error.detail()).with_retry_after(error.retry_after())
    }
}

impl From<LlmError> for Error {
    fn from(error: LlmError) -> Self {
        let retryable = error.kind.is_retryable() || error.kind == LlmErrorKind::Timeout;
        let kind = if retryable { ErrorKind::Unavailable } else { ErrorKind::Rejected };
        Self::new(kind, error.detail.clone()).with_source(error)
    }
}

/// Why a whole call failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The router has no route.
    #[error("no model provider is configured")]
    NoProvider,
    /// The run gate closed or moved, so no attempt may begin. Attempts sent before are recorded.
    #[error("the turn was cancelled; no model call begins")]
    Cancelled,
    /// A cap or budget refuses the call on every route.
    #[error("a budget refuses the call: {}", refusal(*.reason, .budget, .place, *.retry_after))]
    Refused {
        /// Why.
        reason: Refused,
        /// The id of the cap or budget that refused it.
        budget: Arc<str>,
        /// Which use of it: the window and the value of its key. Empty for a cap.
        place: Arc<str>,
        /// The time to wait if only reservations of calls in flight exceed the limit; `None` if it is
        /// used up.
        retry_after: Option<Duration>,
    },
    /// No route's model has a price, and the policy refuses such models.
    #[error("{0}")]
    Unpriced(String),
    /// The provider's rate limit did not admit the call before its deadline.
    #[error("{provider} is busy: its rate limit does not admit the call in time")]
    Busy {
        /// The provider of the first busy route.
        provider: String,
        /// The time until the limit admits a call, if known.
        retry_after: Option<Duration>,
    },
    /// The circuit breakers of all routes are open. The ledger has a row for the call.
    #[error("{provider} keeps failing; next attempt in {} s", retry_after.as_secs_f64().ceil())]
    CircuitOpen {
        /// The provider of the first route.
        provider: String,
        /// The time until it is tried again.
        retry_after: Duration,
    },
    /// The usage counter is unavailable, so the caps could not be checked. Nothing was sent.
    #[error("the call could not be counted, so it was not made: {0}")]
    CounterUnavailable(String),
    /// Every attempt failed; the ledger has a row for each.
    #[error("{provider} {model} failed: {error}")]
    Failed {
        /// The provider of the last attempt.
        provider: String,
        /// The model of the last attempt.
        model: String,
        /// The error of the last attempt.
        #[source]
        error: Box<LlmError>,
        /// Attempts made.
        attempts: u32,
    },
}

fn refusal(reason: Refused, budget: &str, place: &str, retry_after: Option<Duration>) -> String {
    let code = reason.as_str();
    let which = if place.is_empty() { budget.to_owned() } else { format!("{budget}: {place}") };
    match retry_after {
        Some(wait) => {
            format!("{code} ({which}), by calls in flight; retry in {} s", wait.as_secs())
        }
        None => format!("{code} ({which})"),
    }
}

impl CallError {
    /// A code for records: why a budget refused the call, the `error_type` of the last attempt, or
    /// the reason why no attempt was made.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoProvider => "no_provider",
            Self::Cancelled => "cancelled",
            Self::Refused { reason, .. } => reason.as_str(),
            Self::Unpriced(_) => "unpriced",
            Self::Busy { .. } => "busy",
            Self::CircuitOpen { .. } => LlmErrorKind::CircuitOpen.as_str(),
            Self::CounterUnavailable(_) => "counter_unavailable",
            Self::Failed { error, .. } => error.kind.as_str(),
        }
    }

    /// Whether the same call may succeed if it is repeated soon.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { retry_after, .. } => retry_after.is_some(),
            Self::Busy { .. } | Self::CircuitOpen { .. } | Self::CounterUnavailable(_) => true,
            Self::Failed { error, .. } => error.kind.is_retryable(),
            Self::NoProvider | Self::Cancelled | Self::Unpriced(_) => false,
        }
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        let kind = match &error {
            CallError::Cancelled => ErrorKind::Stale,
            error if error.is_retryable() => ErrorKind::Unavailable,
            _ => ErrorKind::Rejected,
        };
        Self::new(kind, error.to_string()).with_source(error)
    }
}
