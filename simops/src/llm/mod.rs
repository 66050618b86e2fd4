//! Models: asking them, and never for more than the day may cost.
//!
//! A world asks the [`router`] with a [`context`]. The router goes down its [`route`]s; each
//! `attempt` waits for a place ([`limits`]), passes the [`breaker`], is reserved at its upper
//! [`bound`], made under a time-out, and booked by the `till`. [`retry`] says when to ask again,
//! [`refusals`] remembers runs whose budget ran out. A [`provider`] is what answers: `openai` over
//! HTTP (feature `http`, from a [`config`]), [`scripted`] without a network. [`setup`] puts all that
//! the environment says together; with feature `clap`, its variables are flags, too.

mod attempt;
pub mod bound;
pub mod breaker;
mod builder;
mod chain;
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
pub mod scripted;
pub mod setup;
mod till;

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
pub use router::{Answer, Router};
pub use scripted::ScriptedProvider;
pub use setup::LlmConfig;
