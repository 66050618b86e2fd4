//! The actions of an agent; also the JSON format of a model's response.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::law::Rule;
use super::stock::Resource;

/// One action. The `rules` decide whether it is possible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub(super) enum Action {
    Work { resource: Resource },
    Trade(Offer),
    Gift { to: i64, resource: Resource, amount: u32 },
    ForumPost { title: String, text: String },
    ForumReply { thread: i64, text: String },
    DirectMessage { to: i64, text: String },
    Propose { title: String, law: Rule },
    Vote { proposal: i64, vote: Vote },
    Sanction { agent: i64, reason: String },
    Rest {},
}

/// An offer to trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offer {
    pub(super) with: i64,
    pub(super) give: Resource,
    pub(super) give_amount: u32,
    pub(super) want: Resource,
    pub(super) want_amount: u32,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Vote {
    Yes,
    No,
}

impl Action {
    /// Its name in JSON.
    pub(super) fn name(&self) -> String {
        json!(self)["action"].as_str().unwrap_or_default().to_owned()
    }
}
