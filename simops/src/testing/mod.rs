//! Tools to test hosts and stores with.
//!
//! [`MemoryStore`] is the reference that other stores are compared with, [`conformance`] the suite
//! that every store passes, [`replay`] compares counters by random histories, [`FaultyStore`] is a
//! store with outages on demand, and [`ManualClock`] a clock that moves only when it is set.

mod clock;
pub mod conformance;
mod faulty;
mod history;
mod memory;

pub use clock::ManualClock;
pub use conformance::{CounterBuilder, Counting, StoreBuilder};
pub use faulty::{Fault, FaultyStore};
pub use history::{History, HistoryStep, replay};
pub use memory::MemoryStore;
