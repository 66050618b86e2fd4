//! Tools to test hosts and stores with.
//!
//! [`MemoryStore`] is the reference that other stores are compared with, [`conformance`] the suite
//! that every store passes, [`FaultyStore`] a store with outages on demand, [`ManualClock`] a clock
//! that stands still.

mod clock;
pub mod conformance;
mod faulty;
mod memory;

pub use clock::ManualClock;
pub use conformance::{CounterBuilder, Counting, StoreBuilder};
pub use faulty::{Fault, FaultyStore};
pub use memory::MemoryStore;
