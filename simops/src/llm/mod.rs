//! Calls to language models, within the day's budget.
//!
//! A simulation calls the `router` with a `context`. The router tries its `route`s in order.
//! Each `attempt` waits for the provider's `limits`, takes a permit of its circuit `breaker`,
//! reserves its upper `bound` of cost, sends the request under a time-out, and records the result
//! in the `call_ledger`. `retry` decides when to repeat an attempt; calls that a budget
//! refuses only because of calls in flight are `waiting`; `refusals` keeps the runs
//! whose budget is exhausted. A `provider` is `openai` over HTTP (feature `http`, configured by a
//! `config`), or `scripted` without a network. `setup` builds all of it from environment
//! variables, which the feature `clap` also offers as flags.

mod attempt;
mod bound;
mod breaker;
mod builder;
mod call_ledger;
mod config;
mod context;
mod error;
#[cfg(feature = "clap")]
mod flags;
mod limits;
#[cfg(feature = "http")]
mod openai;
mod options;
mod provider;
mod refusals;
mod reservation;
mod retry;
mod route;
mod router;
mod routing;
mod scripted;
mod setup;
#[cfg(test)]
mod tests;
mod waiting;

pub use breaker::BreakerPolicy;
pub use builder::RouterBuilder;
pub use config::ProviderConfig;
pub use context::CallContext;
pub use error::{CallError, LlmError, LlmErrorKind, Spent};
#[cfg(feature = "clap")]
pub use flags::LlmArgs;
pub use limits::Limits;
#[cfg(feature = "http")]
pub use openai::{OpenAi, OpenAiOptions};
pub use options::RouterOptions;
pub use provider::{ChatRequest, ChatResponse, LlmProvider};
pub use refusals::{BudgetRefusals, Refusal, RefusedCall};
pub use reservation::BudgetReservation;
pub use retry::RetryPolicy;
pub use route::{Route, RoutedResponse};
pub use router::Router;
pub use scripted::ScriptedProvider;
pub use setup::LlmConfig;
