//! Laws: the rule that a proposal asks for and that applies once it has passed.

use std::fmt;
use std::mem::discriminant;

use serde::{Deserialize, Serialize};
use simops::{Error, Result};

use super::stock::Resource;

/// How long a law is in force, in days.
pub(super) const LAW_DURATION_DAYS: i64 = 12;
/// The amount of a good that is not taxed.
pub(super) const TAX_FREE_AMOUNT: u32 = 4;
/// The lowest cap that can be proposed.
pub(super) const MIN_CAP: u32 = 6;
const MAX_CAP: u32 = 1_000;
const MAX_TITHE_PERCENT: u32 = 50;

/// The content of a law.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Rule {
    /// Each agent pays a share of what it owns beyond [`TAX_FREE_AMOUNT`] to the common pool every
    /// day.
    Tithe { resource: Resource, percent: u32 },
    /// Work on the resource is organised and yields one more.
    WorkBonus { resource: Resource },
    /// An agent that owns more breaks the law and can be sanctioned.
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

    /// Whether both have the same kind and resource, so that only one can be in force.
    pub(super) fn conflicts_with(self, other: Self) -> bool {
        discriminant(&self) == discriminant(&other) && self.resource() == other.resource()
    }

    pub(super) fn check(self) -> Result<()> {
        let (what, value, range) = match self {
            Self::Tithe { percent, .. } => ("percent", percent, 1..=MAX_TITHE_PERCENT),
            Self::Cap { limit, .. } => ("limit", limit, MIN_CAP..=MAX_CAP),
            Self::WorkBonus { .. } => return Ok(()),
        };
        if range.contains(&value) {
            return Ok(());
        }
        let (min, max) = (range.start(), range.end());
        Err(Error::rejected(format!("{what} must be between {min} and {max}")))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tithe { resource, percent } => {
                write!(
                    f,
                    "{percent} % of {resource} beyond {TAX_FREE_AMOUNT} goes to the pool every day"
                )
            }
            Self::WorkBonus { resource } => write!(f, "work on {resource} is organised together"),
            Self::Cap { resource, limit } => {
                write!(f, "no agent owns more than {limit} {resource}")
            }
        }
    }
}

/// A law in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Law {
    pub(super) id: i64,
    pub(super) proposal_id: i64,
    pub(super) rule: Rule,
    /// The last day on which it is in force.
    pub(super) until: i64,
}
