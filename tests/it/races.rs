//! Concurrent requests: one wins, the rest get the reason.

use serde_json::json;
use simops_tests::{ServerBuilder, cli};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_concurrent_starts_one_wins_and_63_name_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let starts: Vec<_> = (0..64)
        .map(|n| {
            let client = server.client.clone();
            tokio::spawn(async move {
                let body = json!({"mode": "test", "run_id": format!("racer-{n}")});
                client.post("control/run/start", &body).await
            })
        })
        .collect();
    let mut won = Vec::new();
    let mut lost = Vec::new();
    for start in starts {
        let answer = start.await.unwrap();
        match answer.status {
            200 => won.push(answer),
            409 => lost.push(answer),
            _ => panic!("{answer:?}"),
        }
    }
    assert_eq!((won.len(), lost.len()), (1, 63));
    let winner = won[0].body["run_id"].as_str().unwrap();
    for answer in &lost {
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(winner), "{detail}");
        assert_eq!(answer.content_type, "application/problem+json");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_and_command_lines_on_one_database_start_one_run() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let path = dir.path().to_owned();
    let by_cli: Vec<_> = (0..6)
        .map(|n| {
            let path = path.clone();
            tokio::spawn(async move {
                let name = format!("cli-{n}");
                cli(&path, &["run", "start", "--mode", "test", "--run-id", &name]).await
            })
        })
        .collect();
    let by_http = server.client.post("control/run/start", &json!({"mode": "test"})).await;
    let mut won = usize::from(by_http.status == 200);
    for start in by_cli {
        let output = start.await.unwrap();
        match output.status.code() {
            Some(0) => won += 1,
            Some(1) => assert!(String::from_utf8_lossy(&output.stderr).contains("has not ended")),
            _ => panic!("{output:?}"),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_idempotency_key_given_32_times_at_once_acts_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let body = json!({"mode": "test", "reset_world": true});
    let calls: Vec<_> = (0..32)
        .map(|_| {
            let client = server.client.clone();
            let body = body.clone();
            tokio::spawn(async move {
                let request = client.request(reqwest::Method::POST, "control/run/start");
                client.send(request.header("Idempotency-Key", "once").json(&body)).await.unwrap()
            })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap().ok());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let runs = server.client.get("runs").await.ok();
    assert_eq!(runs["items"].as_array().unwrap().len(), 1);
}
