//! Chance that repeats: numbers that follow from a seed and from what they are drawn for.
//!
//! Nothing is kept between draws of different turns, so a restart or another pace changes nothing.

/// What numbers are drawn for, so that the draws of one purpose say nothing of another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// How agent `a` begins.
    Birth = 1,
    /// The `b`th turn of agent `a`.
    Turn,
    /// What agent `a` thinks of matter `b`.
    Opinion,
    /// How agent `a` fares on day `b`.
    Fate,
    /// The weather of period `a`.
    Weather,
    /// Who arrives on day `a`.
    Arrival,
}

/// A stream of numbers (splitmix64).
#[derive(Debug, Clone)]
pub(super) struct Chance {
    state: u64,
}

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Chance {
    /// The stream of world `seed` for a purpose and what it is about.
    pub(super) fn of(seed: u64, purpose: Purpose, a: i64, b: i64) -> Self {
        let mut chance = Self { state: seed };
        for part in [purpose as u64, a.cast_unsigned(), b.cast_unsigned()] {
            chance.state = chance.next() ^ part;
        }
        chance
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound` - 1; 0 when there is none.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        let drawn = self.next() % u64::from(bound.max(1));
        u32::try_from(drawn).unwrap_or_default()
    }

    /// True once in `n` draws, in the long run.
    pub(super) fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// One of `items`; `None` when there are none.
    pub(super) fn pick<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
        items.get(self.below(count) as usize).cloned()
    }

    /// One of `items`, each as likely as its weight; `None` when all weights are 0.
    pub(super) fn weighted<T>(&mut self, items: Vec<(u32, T)>) -> Option<T> {
        let total = items.iter().map(|(weight, _)| weight).sum();
        let mut drawn = self.below(total);
        for (weight, item) in items {
            if drawn < weight {
                return Some(item);
            }
            drawn -= weight;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_and_differs_by_every_part_of_its_key() {
        let draw = |seed, purpose, a, b| Chance::of(seed, purpose, a, b).next();
        let base = draw(42, Purpose::Turn, 7, 3);
        assert_eq!(base, draw(42, Purpose::Turn, 7, 3));
        assert_ne!(base, draw(43, Purpose::Turn, 7, 3));
        assert_ne!(base, draw(42, Purpose::Fate, 7, 3));
        assert_ne!(base, draw(42, Purpose::Turn, 3, 7));
        assert_ne!(base, draw(42, Purpose::Turn, 7, 4));
    }

    #[test]
    fn a_weight_of_nothing_is_never_drawn() {
        let mut chance = Chance::of(1, Purpose::Turn, 1, 1);
        for _ in 0..1_000 {
            assert_eq!(chance.weighted(vec![(0, 'a'), (3, 'b'), (0, 'c')]), Some('b'));
        }
        assert_eq!(chance.weighted(vec![(0, 'a')]), None);
    }
}
