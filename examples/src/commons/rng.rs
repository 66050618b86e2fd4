//! Reproducible random numbers, derived from the world's seed and a purpose.
//!
//! No generator state is kept between turns, so a restart or a different pace changes nothing.

/// What numbers are drawn for. Each purpose has an independent stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The initial state of agent `a`.
    Birth = 1,
    /// The `b`th turn of agent `a`.
    Turn,
    /// The opinion of agent `a` on matter `b`.
    Opinion,
    /// Whether agent `a` falls ill on day `b`.
    Illness,
    /// The weather of period `a`.
    Weather,
    /// Whether an agent arrives on day `a`.
    Arrival,
}

/// A stream of random numbers (splitmix64).
#[derive(Debug, Clone)]
pub(super) struct SeededRng {
    state: u64,
}

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl SeededRng {
    /// The stream of the world `seed` for a purpose; `a` and `b` are its subject, see [`Purpose`].
    pub(super) fn new(seed: u64, purpose: Purpose, a: i64, b: i64) -> Self {
        let mut rng = Self { state: seed };
        for part in [purpose as u64, a.cast_unsigned(), b.cast_unsigned()] {
            rng.state = rng.next() ^ part;
        }
        rng
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound` - 1; 0 if `bound` is 0.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        let drawn = self.next() % u64::from(bound.max(1));
        u32::try_from(drawn).unwrap_or_default()
    }

    /// True with a probability of 1 in `n`.
    pub(super) fn is_one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// One of `items`; `None` if there are none.
    pub(super) fn pick<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
        items.get(self.below(count) as usize).cloned()
    }

    /// One of `items`, with a probability proportional to its weight; `None` if all weights are 0.
    pub(super) fn pick_weighted<T>(&mut self, items: Vec<(u32, T)>) -> Option<T> {
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
        let draw = |seed, purpose, a, b| SeededRng::new(seed, purpose, a, b).next();
        let base = draw(42, Purpose::Turn, 7, 3);
        assert_eq!(base, draw(42, Purpose::Turn, 7, 3));
        assert_ne!(base, draw(43, Purpose::Turn, 7, 3));
        assert_ne!(base, draw(42, Purpose::Illness, 7, 3));
        assert_ne!(base, draw(42, Purpose::Turn, 3, 7));
        assert_ne!(base, draw(42, Purpose::Turn, 7, 4));
    }

    #[test]
    fn an_item_of_weight_zero_is_never_picked() {
        let mut rng = SeededRng::new(1, Purpose::Turn, 1, 1);
        for _ in 0..1_000 {
            assert_eq!(rng.pick_weighted(vec![(0, 'a'), (3, 'b'), (0, 'c')]), Some('b'));
        }
        assert_eq!(rng.pick_weighted(vec![(0, 'a')]), None);
    }
}
