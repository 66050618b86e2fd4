//! Power cuts at random moments lose nothing that was acknowledged and leave nothing half done.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use simops_tests::{Answer, Client, ServerBuilder, cli};

/// A small generator, seeded by time and printed, so that a failing order can be run again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

struct Order {
    method: Method,
    path: &'static str,
    body: Value,
    key: String,
}

fn order(dice: &mut Dice, number: usize) -> Order {
    let reason = format!("order-{number}");
    let (method, path, body) = match dice.roll(9) {
        0 | 1 => {
            let run_id = format!("run-{number}");
            let reset = dice.roll(2) == 0;
            let body =
                json!({"mode": "test", "run_id": run_id, "reset_world": reset, "reason": reason});
            (Method::POST, "control/run/start", body)
        }
        2 | 3 => (Method::POST, "control/run/stop", json!({ "reason": reason })),
        4 => (Method::POST, "control/pause", json!({ "reason": reason })),
        5 => (Method::POST, "control/resume", json!({ "reason": reason })),
        6 => (Method::POST, "control/run/reset-dev", json!({ "reason": reason })),
        _ => {
            let delay = 60 + dice.roll(800);
            let updates = json!({"AGENT_LOOP_DELAY_SECONDS": delay});
            (Method::PATCH, "config", json!({"updates": updates, "reason": reason}))
        }
    };
    Order { method, path, body, key: format!("key-{number}") }
}

async fn give(client: &Client, order: &Order) -> Option<Answer> {
    let request = client.request(order.method.clone(), order.path);
    let request = request.header("Idempotency-Key", &order.key).json(&order.body);
    client.send(request).await.ok().filter(|answer| answer.status != 503)
}

/// Everything the store shows agrees, whatever happened before.
async fn check_agreement(client: &Client) {
    let status = client.get("status").await.ok();
    let runs = client.get("runs?limit=500").await.ok();
    let runs = runs["items"].as_array().unwrap();
    let open: Vec<_> = runs.iter().filter(|run| run["ended_at"].is_null()).collect();
    assert!(open.len() <= 1, "two runs not ended: {open:?}");
    let ops = &status["viewer_ops"];
    assert_eq!(ops["simulation_active"], json!(!open.is_empty()), "{status}");
    if let Some(open) = open.first() {
        assert_eq!(ops["run_id"], open["run_id"]);
        assert_eq!(&status["run_metadata"], *open);
    } else {
        assert_eq!(
            ops["simulation_paused"].as_bool(),
            Some(ops["run_id"] != "" || ops["simulation_paused"] == true)
        );
    }
    let verified = client.get("audit/verify").await.ok();
    assert_eq!(verified["ok"], true, "{verified}");
}

/// Whether an acknowledged order left its audit rows and its event, once.
async fn check_order(client: &Client, order: &Order, answer: &Answer) {
    let reason = order.body["reason"].as_str().unwrap();
    let audit = client.get("audit?limit=500").await.ok();
    let rows: Vec<_> = of_reason(&audit["items"], |row| &row["reason"], reason);
    let events = client.get("events?limit=500").await.ok();
    let recorded: Vec<_> =
        of_reason(&events["items"], |event| &event["metadata"]["reason"], reason);
    if answer.status != 200 {
        assert!(rows.is_empty() && recorded.is_empty(), "{answer:?} left {rows:?} {recorded:?}");
        return;
    }
    assert_eq!(
        rows.is_empty(),
        recorded.is_empty(),
        "audit and events differ: {rows:?} {recorded:?}"
    );
    match order.path {
        "control/run/start" => {
            let started = recorded.iter().filter(|event| event["event_type"] == "run_started");
            assert_eq!(started.count(), 1);
            let run = client.get(&format!("runs/{}", order.body["run_id"].as_str().unwrap())).await;
            assert_eq!(run.status, 200, "an acknowledged run is missing");
        }
        "config" => {
            let applied = answer.body["applied"].as_object().unwrap();
            assert_eq!(applied.len(), rows.len());
        }
        "control/run/reset-dev" => {
            let epoch = &answer.body["reset_result"]["epoch"];
            let row = rows.iter().find(|row| row["key"] == "WORLD_EPOCH").unwrap();
            assert_eq!(&row["new_value"], epoch);
        }
        _ => {}
    }
}

fn of_reason<'a>(
    items: &'a Value,
    field: impl Fn(&Value) -> &Value,
    reason: &str,
) -> Vec<&'a Value> {
    items.as_array().unwrap().iter().filter(|item| *field(item) == json!(reason)).collect()
}

/// How many rounds of orders, a quarter of them cut short; `tests/long.sh` asks for more.
fn cycles() -> u32 {
    std::env::var("SIMOPS_TEST_CYCLES").map_or(200, |cycles| cycles.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_lose_nothing_acknowledged() {
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    println!("seed {seed}");
    let mut dice = Dice(seed.into());
    let dir = tempfile::tempdir().unwrap();
    let builder = ServerBuilder::new(dir.path());
    let mut server = builder.start().await;
    let mut number = 0;
    let mut cuts = 0;
    for cycle in 0..cycles() {
        let cut_after = (dice.roll(4) == 0).then(|| Duration::from_millis(dice.roll(120)));
        let orders: Vec<_> = (0..3)
            .map(|_| {
                number += 1;
                order(&mut dice, number)
            })
            .collect();
        let mut answers: Vec<Option<Answer>> = vec![None; orders.len()];
        let client = server.client.clone();
        let giving = async {
            for (order, answer) in orders.iter().zip(&mut answers) {
                *answer = give(&client, order).await;
            }
        };
        match cut_after {
            None => giving.await,
            Some(after) => {
                tokio::select! {
                    () = giving => {}
                    () = tokio::time::sleep(after) => {}
                }
                server.kill().await;
                cuts += 1;
                server = builder.start().await;
            }
        }
        // What was acknowledged before the cut still stands: its repetition gets the same answer.
        // What was not is given again under the same key, and happens once.
        for (order, before) in orders.iter().zip(&answers) {
            let Some(after) = give(&server.client, order).await else {
                panic!("cycle {cycle}: no answer to {}", order.path);
            };
            if let Some(before) = before {
                assert_eq!(before.status, after.status, "{} {before:?} {after:?}", order.path);
                assert_eq!(before.body, after.body, "{}", order.path);
            }
            check_order(&server.client, order, &after).await;
        }
        check_agreement(&server.client).await;
    }
    assert!(cuts >= cycles() / 10, "only {cuts} power cuts");
    assert!(server.terminate().await);
    let verified = cli(dir.path(), &["audit", "verify"]).await;
    assert!(verified.status.success(), "{verified:?}");
    let db = rusqlite::Connection::open(dir.path().join("simops.db")).unwrap();
    let sound: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}
