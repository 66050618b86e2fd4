//! Money in whole nano-dollars, so that sums are exact in any order.

use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// An amount in billionths of a US dollar.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NanoUsd(pub i64);

const PER_DOLLAR: f64 = 1e9;

impl NanoUsd {
    /// The amount nearest to `dollars`; 0 for NaN.
    pub fn from_dollars(dollars: f64) -> Self {
        // `as` saturates at the bounds and takes NaN for 0.
        #[expect(clippy::cast_possible_truncation, reason = "rounded and saturated on purpose")]
        Self((dollars * PER_DOLLAR).round() as i64)
    }

    /// The amount as a JSON number of dollars.
    pub fn dollars(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "only for showing")]
        let nanos = self.0 as f64;
        nanos / PER_DOLLAR
    }
}

impl Add for NanoUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for NanoUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

/// An amount, or null, in JSON as a number of dollars.
pub(crate) mod as_dollars_or_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::NanoUsd;

    #[expect(clippy::ref_option, reason = "serde passes a reference")]
    pub(crate) fn serialize<S: Serializer>(
        amount: &Option<NanoUsd>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        amount.map(NanoUsd::dollars).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<NanoUsd>, D::Error> {
        let dollars = Option::<f64>::deserialize(from)?;
        Ok(dollars.map(NanoUsd::from_dollars))
    }
}

/// An amount in JSON as a number of dollars.
pub(crate) mod as_dollars {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::NanoUsd;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) fn serialize<S: Serializer>(amount: &NanoUsd, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(amount.dollars())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<NanoUsd, D::Error> {
        f64::deserialize(from).map(NanoUsd::from_dollars)
    }
}
