//! What a call reserves of budgets in dollars: what it can cost at most, or what calls to its model have
//! used so far, with a margin.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::usage::Tokens;

named! {
    /// How many dollars a call reserves before it is made.
    #[derive(Default)]
    pub enum BudgetReservation {
        /// The 99th percentile of the last calls to the model, times 1.3: the tokens received, and of the
        /// tokens that a request can have at most the share that it really had. Never more than the
        /// bound, and the bound until 50 calls are known. A call can cost more than this; its row is
        /// marked `over_reservation`.
        #[default]
        Learned = "learned",
        /// What the call can cost at most, so that no budget is ever exceeded.
        Bound = "bound",
    }
}

/// The least number of known calls from which is learned.
const MIN_CALLS: usize = 50;
/// The number of calls that are remembered.
const MAX_CALLS: usize = 1000;
/// The percentile, and the margin, in percent.
const PERCENTILE: usize = 99;
const MARGIN: i64 = 130;
/// Shares of the input are counted in this many parts.
const PARTS: i64 = 1_000_000;

/// What the last calls to one model have used.
#[derive(Debug, Default)]
pub(super) struct RecentCalls(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    /// The calls, the oldest first.
    calls: VecDeque<Used>,
    input_shares: Sorted,
    outputs: Sorted,
}

/// Numbers in order, so that a percentile is one of them.
#[derive(Debug, Default)]
struct Sorted(Vec<i64>);

impl Sorted {
    fn insert(&mut self, number: i64) {
        self.0.insert(self.0.partition_point(|other| *other < number), number);
    }

    /// Removes a number that was inserted.
    fn remove(&mut self, number: i64) {
        self.0.remove(self.0.partition_point(|other| *other < number));
    }

    /// The least of them that at most one in a hundred exceeds.
    fn percentile(&self) -> i64 {
        let place = (self.0.len() * PERCENTILE).div_ceil(100).saturating_sub(1);
        self.0.get(place).copied().unwrap_or_default()
    }
}

/// What a call has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Used {
    /// Of the most input tokens that the request can have, in millionths.
    input_share: i64,
    /// Tokens received.
    output: i64,
}

impl RecentCalls {
    /// Adds a call that can have used `bound` at most and has used `used`.
    pub(super) fn add(&self, bound: Tokens, used: Tokens) {
        let input_share = share(used.input, PARTS, bound.input);
        let used = Used { input_share, output: used.output.max(0) };
        self.with(|recent| {
            recent.calls.push_back(used);
            recent.input_shares.insert(used.input_share);
            recent.outputs.insert(used.output);
            if recent.calls.len() > MAX_CALLS
                && let Some(oldest) = recent.calls.pop_front()
            {
                recent.input_shares.remove(oldest.input_share);
                recent.outputs.remove(oldest.output);
            }
        });
    }

    /// The tokens that a request reserves which can use `bound` at most; all of it until enough calls
    /// are known.
    pub(super) fn tokens(&self, bound: Tokens) -> Tokens {
        let Some(most) = self.with(|recent| recent.most()) else { return bound };
        let input = share(bound.input, most.input_share.saturating_mul(MARGIN), PARTS * 100);
        Tokens {
            input: input.min(bound.input),
            cached_input: 0,
            output: share(most.output, MARGIN, 100).min(bound.output),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Recent) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `amount * times / of`, rounded up.
fn share(amount: i64, times: i64, of: i64) -> i64 {
    let positive = |number: i64| u128::from(number.max(0).unsigned_abs());
    let share = (positive(amount) * positive(times)).div_ceil(positive(of).max(1));
    i64::try_from(share).unwrap_or(i64::MAX)
}

impl Recent {
    /// What all but one in a hundred of the calls have used at most, once enough are known.
    fn most(&self) -> Option<Used> {
        (self.calls.len() >= MIN_CALLS).then(|| Used {
            input_share: self.input_shares.percentile(),
            output: self.outputs.percentile(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn used() -> impl Strategy<Value = (i64, Tokens)> {
        let amount = || prop_oneof![0..2_000_i64, any::<i64>()];
        (amount(), amount(), amount())
            .prop_map(|(bound, input, output)| (bound, Tokens { input, cached_input: 0, output }))
    }

    proptest! {
        /// Against sorted lists of the last calls, and never more than the bound.
        #[test]
        fn reserves_the_percentile_of_the_last_calls_with_a_margin(
            calls in prop::collection::vec(used(), 0..1_200),
            bound in (0..100_000_i64, 0..100_000_i64),
        ) {
            let bound = Tokens { input: bound.0, cached_input: 0, output: bound.1 };
            let recent = RecentCalls::default();
            for (most, used) in &calls {
                recent.add(Tokens { input: *most, ..*used }, *used);
            }
            let reserved = recent.tokens(bound);
            prop_assert!(reserved.input <= bound.input && reserved.output <= bound.output);
            let last = &calls[calls.len().saturating_sub(1_000)..];
            if last.len() < 50 {
                prop_assert_eq!(reserved, bound);
                return Ok(());
            }
            let mut outputs: Vec<_> = last.iter().map(|(_, used)| used.output.max(0)).collect();
            outputs.sort_unstable();
            // At most one in a hundred is larger.
            let most = outputs[last.len() - last.len() / 100 - 1];
            let with_margin = (i128::from(most) * 13 + 9) / 10;
            prop_assert_eq!(i128::from(reserved.output), with_margin.min(bound.output.into()));
        }

        #[test]
        fn a_call_like_the_last_ones_never_costs_more_than_it_reserves(
            bound in 1..1_000_000_i64, input in 0..1_000_000_i64, output in 0..1_000_i64,
        ) {
            let used = Tokens { input: input.min(bound), cached_input: 0, output };
            let bound = Tokens { input: bound, cached_input: 0, output: 1_000 };
            let recent = RecentCalls::default();
            (0..MIN_CALLS).for_each(|_| recent.add(bound, used));
            let reserved = recent.tokens(bound);
            prop_assert!(reserved.input >= used.input && reserved.output >= used.output);
        }
    }
}
