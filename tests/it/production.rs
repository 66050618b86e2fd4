//! What a server in production refuses and warns of at start, and who can read the files it creates.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use simops_tests::process::{ServerBuilder, cli};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exposure_is_warned_of_at_start_in_production() {
    const CODES: [&str; 3] = ["listens_beyond_loopback", "no_allowlist", "no_token"];
    let dir = tempfile::tempdir().unwrap();
    let production = |builder: ServerBuilder| builder.env("ENVIRONMENT", "production");
    let open = production(ServerBuilder::new(dir.path()).env("SIMOPS_LISTEN", "0.0.0.0:0"));
    let careful = production(ServerBuilder::new(dir.path()).env("ADMIN_IP_ALLOWLIST", "127.0.0.1"));
    let development = ServerBuilder::new(dir.path());
    for (server, expected) in
        [(open.without("ADMIN_API_TOKEN"), &CODES[..]), (careful, &[]), (development, &[])]
    {
        let server = server.start().await;
        let log = std::fs::read_to_string(&server.log).unwrap();
        let found: Vec<_> = CODES.into_iter().filter(|code| log.contains(code)).collect();
        assert_eq!(found, expected, "{log}");
        assert!(server.terminate().await);
    }
}

#[tokio::test]
async fn a_weak_token_stops_the_start_in_production_and_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let builder = ServerBuilder::new(dir.path()).without("ADMIN_API_TOKEN");
    std::fs::write(dir.path().join(".env"), "ADMIN_API_TOKEN='hunter$2'\n").unwrap();
    let mut command = builder.env("ENVIRONMENT", "production").command();
    let output = timeout(Duration::from_secs(60), command.output()).await.unwrap().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("ADMIN_API_TOKEN"), "{error}");
    assert!(error.contains("8 characters") && !error.contains("hunter"), "{error}");
}

/// Names and permissions of all that is in `dir`, except for what the test itself puts there.
fn permissions(dir: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".log") || name.ends_with(".out") {
            continue;
        }
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            found.extend(permissions(&entry.path()));
        }
        found.push((name, metadata.permissions().mode() & 0o777));
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_simops_creates_are_readable_by_their_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let start = json!({"mode": "test", "reset_world": true});
    server.client.post("control/run/start", &start).await.ok();
    server.client.post("baseline", &json!({})).await.ok();
    server.client.post("digest", &json!({"allow_duplicate_anchor": true})).await.ok();
    let found = permissions(dir.path());
    for name in ["simops.db", "simops.db-wal", "simops.db-shm", "output", "baseline_latest.json"] {
        assert!(found.iter().any(|(created, _)| created == name), "{name}: {found:?}");
    }
    assert!(server.terminate().await);
    assert!(cli(dir.path(), &["baseline"]).await.status.success());
    for (name, mode) in found.into_iter().chain(permissions(dir.path())) {
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
}
