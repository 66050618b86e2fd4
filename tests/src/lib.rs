//! What black-box tests share: real processes on free ports in fresh folders, a client, deadlines.

pub mod browser;
pub mod client;
pub mod clock;
pub mod disk;
pub mod fixture;
pub mod history;
pub mod hostile;
pub mod network;
pub mod older;
pub mod pgbouncer;
pub mod port;
pub mod postgres;
pub mod process;
pub mod provider;
pub mod proxy;
pub mod redis;
pub mod turns;
pub mod visits;
pub mod wait;
pub mod worker;

pub use client::{Answer, Client};
pub use process::{Server, ServerBuilder, cli, program};
pub use wait::eventually;
pub use worker::WorkerProcess;
