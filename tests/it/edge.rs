//! Strangers at the server's address: whatever they hold, operators keep control.

use std::path::Path;

use simops_tests::hostile::Attack;
use simops_tests::process::TOKEN;
use simops_tests::{Server, ServerBuilder, cli, eventually};

/// Memory of the server's process.
fn resident_mib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// An operator who connects again for each command, from an address of the attack.
async fn controls(dir: &Path, server: &Server) {
    std::fs::write(dir.join("token"), TOKEN).unwrap();
    for _ in 0..10 {
        let pause = ["run", "pause", "--url", &server.base, "--token-file", "token"];
        let output = cli(dir, &pause).await;
        assert!(output.status.success(), "{output:?}");
    }
}

async fn attacked_from(addresses: u8) {
    const HOSTILE: usize = 2_500;
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).env("SIMOPS_HOST", "none").start().await;
    let attack = Attack::start(server.base.strip_prefix("http://").unwrap(), HOSTILE, addresses);
    eventually("every hostile connection was opened", async || {
        (attack.opened() >= HOSTILE).then_some(())
    })
    .await;
    controls(dir.path(), &server).await;
    let resident = resident_mib(&server);
    assert!(resident < 256, "{resident} MiB");
    let answer = server.client.get("status").await.ok();
    assert_eq!(answer["viewer_ops"]["simulation_paused"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_keeps_control_while_the_same_address_holds_thousands_of_connections() {
    attacked_from(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_keeps_control_while_many_addresses_hold_thousands_of_connections() {
    attacked_from(100).await;
}
