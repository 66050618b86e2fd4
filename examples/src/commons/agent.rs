//! An agent: its goods, skills and condition.

use serde::{Deserialize, Serialize};

use super::rng::{Purpose, SeededRng};
use super::stock::{Resource, Stock};

/// Whether an agent can act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Condition {
    /// It can take any action.
    Alive,
    /// It can only rest.
    Dormant,
    /// It takes no more turns.
    Dead,
}

/// A message that one agent sent to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Letter {
    pub(super) from: i64,
    pub(super) text: String,
}

/// The most messages that an agent keeps.
const MAX_LETTERS: usize = 3;

/// An agent, as stored in its document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Agent {
    pub(super) number: i64,
    pub(super) state: Condition,
    pub(super) stock: Stock,
    /// The base yield of its work, by resource.
    pub(super) skill: Stock,
    /// Days in a row without food.
    pub(super) days_hungry: u32,
    /// Days in a row dormant.
    pub(super) days_dormant: u32,
    /// Whether it woke up after its last turn. Its next turn follows the fallback rule.
    pub(super) drowsy: bool,
    /// Turns taken.
    pub(super) turns: i64,
    /// The day it died.
    pub(super) died_on: Option<i64>,
    /// The latest messages it received, oldest first.
    pub(super) letters: Vec<Letter>,
}

impl Agent {
    /// A new agent in the world of `seed`. `turns` places it in the turn order.
    pub(super) fn new(number: i64, seed: u64, turns: i64) -> Self {
        let mut rng = SeededRng::new(seed, Purpose::Birth, number, 0);
        let mut between = |min: u32, max: u32| min + rng.below(max - min + 1);
        Self {
            number,
            state: Condition::Alive,
            stock: Stock { food: between(2, 5), energy: between(3, 6), materials: between(0, 4) },
            skill: Stock { food: between(1, 4), energy: between(2, 4), materials: between(2, 5) },
            days_hungry: 0,
            days_dormant: 0,
            drowsy: false,
            turns,
            died_on: None,
            letters: Vec::new(),
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.state == Condition::Alive
    }

    /// Whether a model may decide for it. The first turn after waking follows the fallback rule: a
    /// turn can begin before the agent wakes and be acted on afterwards, and the history must not
    /// depend on that.
    pub(super) fn can_decide(&self) -> bool {
        self.is_alive() && !self.drowsy
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state == Condition::Dead
    }

    pub(super) fn has(&self, resource: Resource) -> u32 {
        self.stock.get(resource)
    }

    pub(super) fn receive(&mut self, letter: Letter) {
        self.letters.push(letter);
        let excess = self.letters.len().saturating_sub(MAX_LETTERS);
        self.letters.drain(..excess);
    }
}
