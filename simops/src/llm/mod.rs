//! Models: the [`provider`] trait, and a [`scripted`] provider for tests and offline use.

pub mod provider;
pub mod scripted;

pub use provider::{ChatRequest, ChatResponse, LlmProvider};
pub use scripted::ScriptedProvider;
