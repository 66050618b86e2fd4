//! Goods, in whole units.

use std::fmt;

use serde::{Deserialize, Serialize};
use simops::{Error, Result};

/// A kind of good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Resource {
    /// Agents eat one per day.
    Food,
    /// Consumed by living and working.
    Energy,
    /// Used as tools for better harvests.
    Materials,
}

impl Resource {
    pub(super) const ALL: [Self; 3] = [Self::Food, Self::Energy, Self::Materials];
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Food => "food",
            Self::Energy => "energy",
            Self::Materials => "materials",
        })
    }
}

/// The goods of an agent or of the common pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stock {
    pub(super) food: u32,
    pub(super) energy: u32,
    pub(super) materials: u32,
}

impl Stock {
    pub(super) fn get(&self, resource: Resource) -> u32 {
        match resource {
            Resource::Food => self.food,
            Resource::Energy => self.energy,
            Resource::Materials => self.materials,
        }
    }

    fn slot(&mut self, resource: Resource) -> &mut u32 {
        match resource {
            Resource::Food => &mut self.food,
            Resource::Energy => &mut self.energy,
            Resource::Materials => &mut self.materials,
        }
    }

    pub(super) fn add(&mut self, resource: Resource, amount: u32) {
        let slot = self.slot(resource);
        *slot = slot.saturating_add(amount);
    }

    /// Removes exactly `amount`, or nothing if there is less.
    pub(super) fn take(&mut self, resource: Resource, amount: u32) -> Result<()> {
        let slot = self.slot(resource);
        let owned = *slot;
        *slot = owned.checked_sub(amount).ok_or_else(|| {
            Error::rejected(format!("it takes {amount} {resource}, and there are only {owned}"))
        })?;
        Ok(())
    }

    /// Removes at most `amount` and returns the removed amount.
    pub(super) fn take_up_to(&mut self, resource: Resource, amount: u32) -> u32 {
        let slot = self.slot(resource);
        let taken = amount.min(*slot);
        *slot -= taken;
        taken
    }

    /// Moves all goods to `other`.
    pub(super) fn move_all_to(&mut self, other: &mut Self) {
        for resource in Resource::ALL {
            other.add(resource, self.take_up_to(resource, u32::MAX));
        }
    }
}
