//! An operator's pause, and the memory of the server, while strangers hold 5,000 connections: slow
//! heads, half heads, slow bodies, half open, never reading, pipelined; each opened again when the
//! server closes it. From one address, which is also the operator's, and from a hundred.
//!
//! `cargo build --release --workspace --bins && cargo bench -p simops-tests --bench attack`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::{Duration, Instant};

use simops_tests::hostile::Attack;
use simops_tests::process::TOKEN;
use simops_tests::{Client, ServerBuilder, eventually};

const HOSTILE: usize = 5_000;
const PAUSES: usize = 300;
const WANTED: Duration = Duration::from_millis(500);
const WANTED_MIB: u64 = 256;

#[tokio::main]
async fn main() {
    let mut as_promised = true;
    for addresses in [1, 100] {
        let dir = tempfile::tempdir().unwrap();
        let server = ServerBuilder::new(dir.path()).env("SIMOPS_HOST", "none").start().await;
        let attack =
            Attack::start(server.base.strip_prefix("http://").unwrap(), HOSTILE, addresses);
        eventually("every hostile connection was opened", async || {
            (attack.opened() >= HOSTILE).then_some(())
        })
        .await;
        let mut took = Vec::new();
        for _ in 0..PAUSES {
            // A new connection, from the address 127.0.0.1 of the attack.
            let operator = Client::new(&server.base, TOKEN);
            let begun = Instant::now();
            operator.post("control/pause", &serde_json::json!({})).await.ok();
            took.push(begun.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        took.sort();
        let share = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1];
        let memory = server.peak_mib();
        println!(
            "{HOSTILE} from {addresses:>3} addresses: pause p50 {:.1?}, p99 {:.1?}, max {:.1?}; \
             {memory} MiB; {} of the connections open, {} opened so far",
            share(50),
            share(99),
            share(100),
            attack.open(),
            attack.opened(),
        );
        as_promised &= share(99) < WANTED && memory < WANTED_MIB;
    }
    assert!(as_promised, "wanted: p99 under {WANTED:?}, memory under {WANTED_MIB} MiB");
}
