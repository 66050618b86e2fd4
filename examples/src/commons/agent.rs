//! An agent: what it owns and can do, and how it is.

use serde::{Deserialize, Serialize};

use super::chance::{Chance, Purpose};
use super::stock::{Resource, Stock};

/// Whether an agent can act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Condition {
    /// It acts.
    Alive,
    /// Too weak to do anything but rest.
    Dormant,
    /// For ever.
    Dead,
}

/// A message that one agent sent to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Letter {
    pub(super) from: i64,
    pub(super) text: String,
}

/// How many messages an agent remembers.
const LETTERS_KEPT: usize = 3;

/// An agent, as its document keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Agent {
    pub(super) number: i64,
    pub(super) state: Condition,
    pub(super) stock: Stock,
    /// What an ordinary day's work brings it, by resource.
    pub(super) skill: Stock,
    /// Days in a row without food.
    pub(super) days_hungry: u32,
    /// Days in a row dormant.
    pub(super) days_dormant: u32,
    /// Awake since its last turn, and not yet itself.
    pub(super) drowsy: bool,
    /// Turns taken.
    pub(super) turns: i64,
    /// The day it died.
    pub(super) died_on: Option<i64>,
    /// The messages it received last, oldest first.
    pub(super) letters: Vec<Letter>,
}

impl Agent {
    /// An agent new to world `seed`, as if it had taken `turns` already.
    pub(super) fn born(number: i64, seed: u64, turns: i64) -> Self {
        let mut chance = Chance::of(seed, Purpose::Birth, number, 0);
        let mut between = |least: u32, most: u32| least + chance.below(most - least + 1);
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

    /// Whether it can decide for itself, so that a model is asked. The first turn after waking
    /// follows the rule: a turn may begin before the day ends and be acted on after, and its
    /// history must not depend on which.
    pub(super) fn is_lucid(&self) -> bool {
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
        let excess = self.letters.len().saturating_sub(LETTERS_KEPT);
        self.letters.drain(..excess);
    }
}
