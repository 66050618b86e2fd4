//! Calls to language models, within the day's budget.
//!
//! A simulation calls the [`router`] with a [`context`]. The router tries its [`route`]s in order.
//! Each `attempt` waits for the provider's [`limits`], takes a permit of its circuit [`breaker`],
//! reserves its upper [`bound`] of cost, sends the request under a time-out, and records the result
//! in the `call_ledger`. [`retry`] decides when to repeat an attempt; [`refusals`] keeps the runs
//! whose budget is exhausted. A [`provider`] is `openai` over HTTP (feature `http`, configured by a
//! [`config`]), or [`scripted`] without a network. [`setup`] builds all of it from environment
//! variables, which the feature `clap` also offers as flags.

mod attempt;
pub mod bound;
pub mod breaker;
mod builder;
mod call_ledger;
pub mod config;
pub mod context;
pub mod error;
#[cfg(feature = "clap")]
pub mod flags;
pub mod limits;
#[cfg(feature = "http")]
pub mod openai;
pub mod options;
pub mod provider;
pub mod refusals;
pub mod retry;
pub mod route;
pub mod router;
mod routing;
pub mod scripted;
pub mod setup;

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
pub use refusals::{BudgetRefusals, Refusal};
pub use route::Route;
pub use router::{RoutedResponse, Router};
pub use scripted::ScriptedProvider;
pub use setup::LlmConfig;
