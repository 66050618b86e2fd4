//! What can go wrong with an attempt ([`LlmError`]) and with a whole call ([`CallError`]).

use std::time::Duration;

use crate::usage::{Refused, Tokens};
use crate::{Error, ErrorKind};

/// Why one attempt brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LlmErrorKind {
    /// It took too long.
    Timeout,
    /// The provider could not be reached, or hung up before it answered.
    Connection,
    /// It asks to be asked less often (429).
    RateLimited,
    /// It failed on its side (5xx).
    ServerError,
    /// It does not accept the key (401, 403).
    Auth,
    /// The account has no credit (402).
    PaymentRequired,
    /// It does not accept the request, or knows no such model.
    BadRequest,
    /// What it answered is half an answer, or none that can be read.
    InvalidResponse,
    /// The provider's code gave the call up.
    Cancelled,
    /// The breaker let nothing through; nothing was sent.
    CircuitOpen,
    /// The provider's code panicked.
    Panicked,
}

impl LlmErrorKind {
    /// The ledger's error type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::Auth => "auth",
            Self::PaymentRequired => "payment_required",
            Self::BadRequest => "bad_request",
            Self::InvalidResponse => "invalid_response",
            Self::Cancelled => "cancelled",
            Self::CircuitOpen => "circuit_open",
            Self::Panicked => "provider_panicked",
        }
    }

    /// Whether the same request to the same provider may soon be answered. A time-out or half an
    /// answer has most likely been paid for and is not repeated on the same route.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::ServerError | Self::Connection)
    }

    /// Whether it speaks against the provider's health, rather than against the request.
    pub fn is_provider_fault(self) -> bool {
        !matches!(self, Self::BadRequest | Self::Cancelled | Self::CircuitOpen)
    }
}

/// What a failed attempt has cost, as far as the provider's answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spent {
    /// Nothing: it was refused before a model ran, or never arrived.
    Nothing,
    /// These tokens, and no more.
    Exactly(Tokens),
    /// Nobody knows: a model may have run. At least these tokens, when some were reported. Charged
    /// at the reserved upper bound or the price of these tokens, whichever is more.
    #[default]
    Unknown,
    /// As [`Unknown`](Self::Unknown), but at least these tokens.
    AtLeast(Tokens),
}

impl Spent {
    /// The tokens that were reported.
    pub fn tokens(self) -> Option<Tokens> {
        match self {
            Self::Nothing | Self::Unknown => None,
            Self::Exactly(tokens) | Self::AtLeast(tokens) => Some(tokens),
        }
    }
}

/// Why one attempt brought no answer, and what it has cost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct LlmError {
    /// What went wrong.
    pub kind: LlmErrorKind,
    /// A sentence for a person; names no secret.
    pub detail: String,
    /// How long the provider asks to wait.
    pub retry_after: Option<Duration>,
    /// What it has cost.
    pub spent: Spent,
}

impl LlmError {
    /// An error after which a model may have run.
    pub fn new(kind: LlmErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None, spent: Spent::Unknown }
    }

    /// An error before any model ran.
    pub fn unsent(kind: LlmErrorKind, detail: impl Into<String>) -> Self {
        Self { spent: Spent::Nothing, ..Self::new(kind, detail) }
    }

    /// The same error with what it has cost.
    #[must_use]
    pub fn spending(self, spent: Spent) -> Self {
        Self { spent, ..self }
    }

    /// The same error with how long to wait.
    #[must_use]
    pub fn retry_after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }
}

impl From<Error> for LlmError {
    /// The error of a script: it stands for an outage when a retry may help, else for a refusal.
    fn from(error: Error) -> Self {
        let kind =
            if error.is_retryable() { LlmErrorKind::ServerError } else { LlmErrorKind::BadRequest };
        Self::unsent(kind, error.detail()).retry_after(error.retry_after())
    }
}

impl From<LlmError> for Error {
    fn from(error: LlmError) -> Self {
        let retryable = error.kind.is_retryable() || error.kind == LlmErrorKind::Timeout;
        let kind = if retryable { ErrorKind::Unavailable } else { ErrorKind::Rejected };
        Self::new(kind, error.detail.clone()).with_source(error)
    }
}

/// Why a whole call brought no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The router has no route.
    #[error("no model provider is configured")]
    NoProvider,
    /// The gate moved: no call may begin. Nothing was sent since.
    #[error("the turn was overtaken; no model call begins")]
    Overtaken,
    /// The day's caps do not admit it on any route.
    #[error("the day's caps refuse the call: {}", refusal(*.reason, *.retry_after))]
    Refused {
        /// Which cap.
        reason: Refused,
        /// When to ask again, if only calls in flight stand in the way; else the cap is spent for
        /// the day.
        retry_after: Option<Duration>,
    },
    /// The price book knows no route's model, and the policy is to refuse such.
    #[error("{0}")]
    Unpriced(String),
    /// The call's time was up before a place became free.
    #[error("{provider} is busy: its limit of calls leaves no place in time")]
    Busy {
        /// The provider of the first busy route.
        provider: String,
        /// When a place becomes free, if that is known.
        retry_after: Option<Duration>,
    },
    /// The breakers of all routes are open. It is in the ledger as a failed call.
    #[error("{provider} keeps failing; it is asked again in {} s", retry_after.as_secs_f64().ceil())]
    CircuitOpen {
        /// The provider of the first route.
        provider: String,
        /// When it is tried again.
        retry_after: Duration,
    },
    /// Whether the caps admit it cannot be said: the counter or the ledger is away. Nothing was
    /// sent.
    #[error("the call could not be counted, so it was not made: {0}")]
    Uncounted(String),
    /// Every attempt failed; each is in the ledger.
    #[error("{provider} {model} did not answer: {error}")]
    Failed {
        /// The provider asked last.
        provider: String,
        /// The model asked last.
        model: String,
        /// What went wrong last.
        #[source]
        error: Box<LlmError>,
        /// Attempts made.
        attempts: u32,
    },
}

fn refusal(reason: Refused, retry_after: Option<Duration>) -> String {
    let word = word_of(reason);
    match retry_after {
        Some(wait) => format!("{word}, by calls in flight; ask again in {} s", wait.as_secs()),
        None => format!("{word}, for today"),
    }
}

/// The word that the admin API uses.
fn word_of(reason: Refused) -> &'static str {
    match reason {
        Refused::HardBudgetReached => "hard_budget_reached",
        Refused::MaxCallsTotalReached => "max_calls_total_reached",
        Refused::MaxCallsOpenrouterFreeReached => "max_calls_openrouter_free_reached",
        Refused::MaxCallsGroqReached => "max_calls_groq_reached",
        Refused::MaxCallsGeminiReached => "max_calls_gemini_reached",
    }
}

impl CallError {
    /// One word for records: the cap that refused the call, the error type of the last attempt, or
    /// what kept it from being made.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoProvider => "no_provider",
            Self::Overtaken => "overtaken",
            Self::Refused { reason, .. } => word_of(*reason),
            Self::Unpriced(_) => "unpriced",
            Self::Busy { .. } => "busy",
            Self::CircuitOpen { .. } => LlmErrorKind::CircuitOpen.as_str(),
            Self::Uncounted(_) => "uncounted",
            Self::Failed { error, .. } => error.kind.as_str(),
        }
    }

    /// Whether the same call may succeed soon.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { retry_after, .. } => retry_after.is_some(),
            Self::Busy { .. } | Self::CircuitOpen { .. } | Self::Uncounted(_) => true,
            Self::Failed { error, .. } => error.kind.is_retryable(),
            Self::NoProvider | Self::Overtaken | Self::Unpriced(_) => false,
        }
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        let kind = match &error {
            CallError::Overtaken => ErrorKind::Stale,
            error if error.is_retryable() => ErrorKind::Unavailable,
            _ => ErrorKind::Rejected,
        };
        Self::new(kind, error.to_string()).with_source(error)
    }
}
