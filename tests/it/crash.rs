//! Power cuts at random moments lose nothing that was acknowledged and leave nothing half done.

use std::collections::BTreeSet;
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

/// An order for a new run, for one of `runs`, for the current run or for all.
fn order(dice: &mut Dice, number: usize, runs: &[String]) -> Order {
    let reason = format!("order-{number}");
    let run_id = format!("run-{number}");
    let start = json!({ "mode": "test", "run_id": run_id, "reason": reason });
    let with = |name: &str, value: Value| {
        let mut body = start.clone();
        body[name] = value;
        body
    };
    let mut of_a_run = || {
        let named = usize::try_from(dice.roll(1 + runs.len() as u64)).unwrap();
        json!({ "run_id": runs.get(named), "reason": reason })
    };
    let named = of_a_run();
    let (method, path, body) = match dice.roll(24) {
        0..=2 => {
            let body = with("reset_world", json!(dice.roll(2) == 0));
            (Method::POST, "control/run/start", body)
        }
        // There are to be eight open runs, give or take some.
        3..=10 if runs.len() < 8 => {
            (Method::POST, "control/run/start", with("host", json!("gateway")))
        }
        3..=10 => (Method::POST, "control/run/stop", named),
        11..=12 => (Method::POST, "control/run/stop", json!({ "reason": reason })),
        13..=15 => (Method::POST, "control/pause", named),
        16..=18 => (Method::POST, "control/resume", named),
        19 => (Method::POST, "control/pause-all", json!({ "reason": reason })),
        20 => (Method::POST, "control/run/reset-dev", json!({ "reason": reason })),
        21 if dice.roll(8) == 0 => (Method::POST, "control/stop-all", json!({ "reason": reason })),
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

/// Everything the store shows agrees, whatever happened before. Returns the open runs.
async fn check_agreement(client: &Client) -> Vec<String> {
    let status = client.get("status").await.ok();
    let runs = client.get("runs?limit=500").await.ok();
    let runs = runs["items"].as_array().unwrap();
    let open: Vec<_> = runs.iter().filter(|run| run["ended_at"].is_null()).collect();
    let in_world = open.iter().filter(|run| !run["world"].is_null()).count();
    assert!(in_world <= 1, "two runs of a world not ended: {open:?}");
    let ids = |runs: &mut dyn Iterator<Item = &Value>| {
        let ids = runs.map(|run| run["run_id"].as_str().unwrap().to_owned());
        ids.collect::<BTreeSet<_>>()
    };
    let open_ids = ids(&mut open.iter().copied());
    // A run that has ended is shown until its host has left it.
    let shown = status["open_runs"].as_array().unwrap().iter();
    let mut shown = shown.filter(|run| run["run_state"] != "stopping");
    assert_eq!(ids(&mut shown), open_ids);
    let ops = &status["viewer_ops"];
    let current = open.iter().find(|run| run["run_id"] == ops["run_id"]);
    assert_eq!(ops["simulation_active"], json!(current.is_some()), "{status}");
    if let Some(open) = current {
        assert_eq!(&status["run_metadata"], *open);
    } else {
        assert_eq!(
            ops["simulation_paused"].as_bool(),
            Some(ops["run_id"] != "" || ops["simulation_paused"] == true)
        );
    }
    let verified = client.get("audit/verify").await.ok();
    assert_eq!(verified["ok"], true, "{verified}");
    open_ids.into_iter().collect()
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
    let mut cuts_of_many = 0;
    let mut runs = Vec::new();
    for cycle in 0..cycles() {
        let cut_after = (dice.roll(4) == 0).then(|| Duration::from_millis(dice.roll(120)));
        let orders: Vec<_> = (0..3)
            .map(|_| {
                number += 1;
                order(&mut dice, number, &runs)
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
                cuts_of_many += usize::from(runs.len() >= 7);
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
        runs = check_agreement(&server.client).await;
    }
    assert!(cuts >= cycles() / 10, "only {cuts} power cuts");
    assert!(cuts_of_many > 0, "no power cut with seven open runs");
    assert!(server.terminate().await);
    let verified = cli(dir.path(), &["audit", "verify"]).await;
    assert!(verified.status.success(), "{verified:?}");
    let db = rusqlite::Connection::open(dir.path().join("simops.db")).unwrap();
    let sound: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}
