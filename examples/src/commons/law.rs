//! Laws: what a proposal asks for, and what holds once it has passed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::rules::Refusal;
use super::stock::Resource;

/// For so many days a law holds.
pub(super) const TERM: i64 = 12;
/// A tithe is taken of what an agent owns beyond this.
pub(super) const UNTAXED: u32 = 4;
/// A cap may not be lower.
pub(super) const LOWEST_CAP: u32 = 6;
const HIGHEST_CAP: u32 = 1_000;
const HIGHEST_TITHE: u32 = 50;

/// What a law says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Rule {
    /// A share of what each owns beyond [`UNTAXED`] goes to the common pool every day.
    Tithe { resource: Resource, percent: u32 },
    /// Work on it is organised, and brings one more.
    WorkBonus { resource: Resource },
    /// Who owns more breaks the law and may be sanctioned.
    Cap { resource: Resource, limit: u32 },
}

impl Rule {
    pub(super) fn resource(self) -> Resource {
        match self {
            Self::Tithe { resource, .. }
            | Self::WorkBonus { resource }
            | Self::Cap { resource, .. } => resource,
        }
    }

    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Tithe { .. } => "tithe",
            Self::WorkBonus { .. } => "work_bonus",
            Self::Cap { .. } => "cap",
        }
    }

    /// Whether both are about the same matter, so that only one can hold.
    pub(super) fn rivals(self, other: Self) -> bool {
        self.kind() == other.kind() && self.resource() == other.resource()
    }

    pub(super) fn check(self) -> Result<(), Refusal> {
        let (what, value, range) = match self {
            Self::Tithe { percent, .. } => ("percent", percent, 1..=HIGHEST_TITHE),
            Self::Cap { limit, .. } => ("limit", limit, LOWEST_CAP..=HIGHEST_CAP),
            Self::WorkBonus { .. } => return Ok(()),
        };
        if range.contains(&value) {
            return Ok(());
        }
        let (least, most) = (range.start(), range.end());
        Err(Refusal::because(format!("{what} must be between {least} and {most}")))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tithe { resource, percent } => {
                write!(f, "{percent} % of {resource} beyond {UNTAXED} goes to the pool every day")
            }
            Self::WorkBonus { resource } => write!(f, "work on {resource} is organised together"),
            Self::Cap { resource, limit } => write!(f, "nobody owns more than {limit} {resource}"),
        }
    }
}

/// A law in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Law {
    pub(super) id: i64,
    pub(super) proposal_id: i64,
    pub(super) rule: Rule,
    /// The last day it holds.
    pub(super) until: i64,
}
