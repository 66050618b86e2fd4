//! The router, its parts and the OpenAI provider.

mod http;
mod ledger;
mod peer;
mod pure;
mod router;
mod scene;
mod waiting;
