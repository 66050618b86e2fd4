//! Operators who write as fast as they get answers, each write under its own key, and its outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use simops_tests::{Client, eventually};
use tokio::task::JoinHandle;

/// The setting that is written: each write has a value of its own.
const SETTING: &str = "LLM_MEMORY_MAX_CHARS";
const LEAST: u64 = 200;
const WRITES: u64 = 7_800;

/// Writers that continue until they are stopped.
pub(crate) struct Load {
    going: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    writers: Vec<JoinHandle<Vec<u64>>>,
}

impl Load {
    /// Starts `writers` of them, each on all of `clients` in turn: one that does not answer is left
    /// for the next, as a balancer would do.
    pub(crate) fn start(writers: u64, clients: &[Client]) -> Self {
        let (going, next) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let writers = (0..writers).map(|number| {
            let (going, next, clients) = (Arc::clone(&going), Arc::clone(&next), clients.to_vec());
            let acknowledged = Arc::clone(&acknowledged);
            tokio::spawn(async move {
                let mut done = Vec::new();
                while going.load(Ordering::Relaxed) {
                    let write = next.fetch_add(1, Ordering::Relaxed);
                    assert!(write < WRITES, "the values have run out");
                    until_answered(&clients, number, write).await;
                    done.push(write);
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                done
            })
        });
        let writers = writers.collect();
        Self { going, acknowledged, writers }
    }

    /// Waits until `more` writes have been acknowledged from now on.
    pub(crate) async fn goes_on(&self, more: u64) {
        let wanted = self.acknowledged.load(Ordering::Relaxed) + more;
        eventually("writes are acknowledged", async || {
            (self.acknowledged.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await;
    }

    /// Stops them; the writes that were acknowledged.
    pub(crate) async fn stop(self) -> Vec<u64> {
        self.going.store(false, Ordering::Relaxed);
        let mut all = Vec::new();
        for writer in self.writers {
            all.extend(writer.await.unwrap());
        }
        all
    }
}

/// Repeats a write under its key until it is answered with success.
async fn until_answered(clients: &[Client], writer: u64, write: u64) {
    let body = json!({
        "updates": { SETTING: LEAST + write },
        "reason": format!("write-{write}"),
    });
    let (mut attempt, deadline) = (writer, Instant::now() + Duration::from_secs(90));
    while Instant::now() < deadline {
        let client = &clients[usize::try_from(attempt).unwrap() % clients.len()];
        attempt += 1;
        let request = client.request(Method::PATCH, "config").json(&body);
        let request = request.header("Idempotency-Key", format!("write-{write}"));
        match client.send(request).await {
            Ok(answer) if answer.status == 200 => return,
            // Unavailable or overloaded: retry.
            Ok(answer) => assert_eq!(answer.status, 503, "{answer:?}"),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("write {write} was not answered in time");
}

/// Each acknowledged write is in the audit trail, exactly once, and the trail verifies.
pub(crate) async fn check(client: &Client, acknowledged: &[u64]) {
    assert!(!acknowledged.is_empty());
    let mut rows = Vec::new();
    loop {
        let page = client.get(&format!("audit?limit=500&offset={}", rows.len())).await.ok();
        let items = page["items"].as_array().unwrap();
        if items.is_empty() {
            break;
        }
        rows.extend(items.iter().cloned());
    }
    let mut counts = std::collections::HashMap::<String, usize>::new();
    for row in &rows {
        *counts.entry(row["reason"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    for write in acknowledged {
        assert_eq!(counts.get(&format!("write-{write}")), Some(&1), "write {write}");
    }
    let verified = client.get("audit/verify").await.ok();
    assert_eq!(verified["ok"], Value::Bool(true), "{verified}");
}
