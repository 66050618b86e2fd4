//! Server-sent events: one broadcaster per server, which runs only while there are subscribers.

mod message;
mod streams;
mod subscriber;

pub use streams::{MAX_STREAMS, Streams};
