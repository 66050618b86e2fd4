//! Alerts from visitors' events to a receiver, across servers, crashes and lost answers.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use simops::notify::SigningSecret;
use simops_tests::postgres::PostgresServer;
use simops_tests::provider::{Provider, Reply};
use simops_tests::{Server, ServerBuilder, WorkerProcess, cli, eventually};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What a receiver got: the headers of the scheme, and the body.
struct Received {
    id: String,
    timestamp: i64,
    signature: String,
    body: String,
}

fn received(receiver: &Provider) -> Vec<Received> {
    let parse = |request: String| {
        let (head, body) = request.split_once("\r\n\r\n")?;
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        Some(Received {
            id: header("webhook-id")?,
            timestamp: header("webhook-timestamp")?.parse().ok()?,
            signature: header("webhook-signature")?,
            body: body.to_owned(),
        })
    };
    receiver.seen().into_iter().filter_map(parse).collect()
}

fn ids(receiver: &Provider) -> BTreeSet<String> {
    received(receiver).into_iter().map(|received| received.id).collect()
}

fn server(dir: &tempfile::TempDir, receiver: &Provider) -> ServerBuilder {
    ServerBuilder::new(dir.path())
        .arg("--host=none")
        .env("KPI_ALERT_WEBHOOK_ENABLED", "true")
        .env("KPI_ALERT_WEBHOOK_URL", &receiver.url)
        .env("KPI_ALERT_WEBHOOK_SECRET", SECRET)
}

/// Sends one event of each of these visitors.
async fn visit(server: &Server, name: &str, visitors: std::ops::Range<u32>) {
    let events: Vec<_> = visitors
        .map(|number| json!({ "event_name": name, "visitor_id": format!("visitor-{number}") }))
        .collect();
    let request = server.client.bare(Method::POST, "/api/analytics/kpi/events");
    server.client.send(request.json(&events)).await.unwrap().ok();
}

async fn notification(server: &Server) -> Value {
    server.client.get("kpi/rollups?days=1").await.ok()["alert_notification"].clone()
}

async fn until_sent(server: &Server) -> Value {
    eventually("the alert is accepted", async || {
        let notification = notification(server).await;
        (notification["sent"] == true).then_some(notification)
    })
    .await
}

fn accepted() -> Reply {
    Reply::Status(204, String::new(), String::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_accepted_once_whatever_becomes_of_servers_and_answers() {
    is_accepted_once(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_accepted_once_of_servers_on_postgres() {
    is_accepted_once(Some(PostgresServer::shared().database().url())).await;
}

async fn is_accepted_once(database_url: Option<String>) {
    let dir = tempfile::tempdir().unwrap();
    // The first answer is lost: the receiver has the message, and the server cannot know.
    let receiver = Provider::start(|n| if n == 0 { Reply::HangsUp } else { accepted() }).await;
    let mut builder = server(&dir, &receiver);
    if let Some(url) = &database_url {
        builder = builder.env("DATABASE_URL", url);
    }
    let (one, other) = tokio::join!(builder.start(), builder.start());
    visit(&one, "landing_view", 0..60).await;
    visit(&other, "landing_run_click", 0..1).await;
    eventually("the receiver is asked", async || (!received(&receiver).is_empty()).then_some(()))
        .await;
    // Whichever of the two delivers: one of them is killed.
    one.kill().await;
    let one = builder.start().await;
    let sent = until_sent(&other).await;
    assert_eq!(sent["reason"], "cooldown_active");
    assert_eq!(ids(&receiver), [sent["message_id"].as_str().unwrap().to_owned()].into());

    // Small changes send no message, and neither does a restart.
    visit(&one, "landing_view", 60..90).await;
    other.kill().await;
    visit(&one, "landing_view", 90..95).await;
    let other = builder.start().await;
    visit(&other, "landing_view", 95..99).await;
    // A new alert is sent at once, and shows that everything before it was evaluated.
    visit(&one, "replay_start", 0..40).await;
    eventually("the new alert is sent", async || (ids(&receiver).len() > 1).then_some(())).await;
    until_sent(&one).await;
    assert_eq!(ids(&receiver).len(), 2, "one message per payload");

    let secret = SigningSecret::parse("", SECRET).unwrap();
    for received in received(&receiver) {
        let signed = secret.sign(&received.id, received.timestamp, received.body.as_bytes());
        assert_eq!(received.signature, signed);
        let body: Value = serde_json::from_str(&received.body).unwrap();
        assert_eq!(body["type"], "kpi.alert.critical");
        assert!(body["text"].as_str().unwrap().contains("Landing -> Run CTR"));
        assert!(body["data"]["items"][0]["message"].as_str().unwrap().contains("95% interval"));
    }
    assert!(one.terminate().await && other.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_there_first_keeps_no_alert_from_being_sent() {
    let dir = tempfile::tempdir().unwrap();
    let worker = WorkerProcess::start(dir.path(), "sqlite://simops.db", "first");
    let path = dir.path().join("simops.db");
    eventually("the worker holds leases", async || {
        let read_only = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let database = rusqlite::Connection::open_with_flags(&path, read_only).ok()?;
        let held = "SELECT count(*) FROM duties WHERE holder IS NOT NULL";
        let held: i64 = database.query_row(held, [], |row| row.get(0)).ok()?;
        (held > 0).then_some(())
    })
    .await;
    let receiver = Provider::start(|_| accepted()).await;
    let server = server(&dir, &receiver).start().await;
    visit(&server, "landing_view", 0..60).await;
    until_sent(&server).await;
    assert!(server.terminate().await && worker.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_acknowledges_silences_and_replays() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Provider::start(|_| accepted()).await;
    let server = server(&dir, &receiver).start().await;
    visit(&server, "landing_view", 0..60).await;
    let sent = until_sent(&server).await;
    let alert = server.client.get("kpi/alerts").await.ok()["items"][0].clone();
    assert_eq!(
        (&alert["state"], &alert["metric"]),
        (&json!("firing"), &json!("landing_to_run_ctr"))
    );
    let path = format!("kpi/alerts/{}", alert["id"].as_str().unwrap());

    let reason = json!({ "reason": "known" });
    server.client.post(&format!("{path}/acknowledge"), &reason).await.ok();
    let known = server.client.get(&path).await.ok();
    assert_eq!(
        (&known["state"], &known["acknowledged_by"]),
        (&json!("acknowledged"), &json!("tester"))
    );
    assert_eq!(notification(&server).await["reason"], "acknowledged_or_silenced");
    server.client.post(&format!("{path}/silence"), &json!({ "minutes": 5 })).await.ok();
    assert!(server.client.get(&path).await.ok()["silenced_until"].is_string());
    let audit = server.client.get("audit").await.ok();
    let keys: Vec<_> = audit["items"].as_array().unwrap().iter().map(|row| &row["key"]).collect();
    assert_eq!(keys, ["ALERT:landing_to_run_ctr"; 3]);
    assert_eq!(audit["items"][1]["reason"], "known");
    assert_eq!(server.client.get("audit/verify").await.ok()["ok"], true);

    let delivery = sent["deliveries"][0]["id"].as_str().unwrap();
    let replay = cli(dir.path(), &["alert", "replay", delivery, "--reason", "again"]).await;
    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
    eventually("the delivery is tried again", async || {
        (received(&receiver).len() == 2).then_some(())
    })
    .await;
    assert_eq!(ids(&receiver).len(), 1, "under the same id");
    let shown = eventually("the second try is kept", async || {
        let shown = server.client.get(&format!("kpi/deliveries/{delivery}")).await.ok();
        (shown["attempts"].as_array().unwrap().len() == 2).then_some(shown)
    })
    .await;
    assert_eq!(shown["delivery"]["state"], "delivered");

    // Enough clicks, and all is well again.
    visit(&server, "landing_run_click", 0..30).await;
    eventually("the alert is resolved", async || {
        (server.client.get(&path).await.ok()["state"] == "resolved").then_some(())
    })
    .await;
    let refused = server.client.post(&format!("{path}/acknowledge"), &json!({})).await;
    assert_eq!(refused.status, 409);
    let unknown = server.client.get("kpi/alerts/nonsense").await;
    assert_eq!(unknown.status, 404);
    assert!(server.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_gets_no_more_and_no_redirect_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let inside = Provider::start(|_| accepted()).await;
    let location = format!("location: {}\r\n", inside.url);
    let receiver = Provider::start(move |n| match n {
        0 => Reply::Status(307, location.clone(), String::new()),
        _ => Reply::Status(410, String::new(), String::new()),
    })
    .await;
    let server = server(&dir, &receiver).start().await;
    visit(&server, "landing_view", 0..60).await;
    let gone = eventually("the receiver says that it is gone", async || {
        let notification = notification(&server).await;
        (notification["deliveries"][0]["state"] == "gone").then_some(notification)
    })
    .await;
    assert_eq!(gone["deliveries"][0]["attempts"], 2);
    assert_eq!((&gone["sent"], &gone["reason"]), (&json!(false), &json!("http_error")));
    // New alerts are not sent to it.
    visit(&server, "replay_start", 0..40).await;
    eventually("the new alert has a message", async || {
        let messages = server.client.get("kpi/notifications").await.ok();
        (messages["items"].as_array().unwrap().len() == 2).then_some(messages)
    })
    .await;
    assert_eq!(notification(&server).await["deliveries"][0]["state"], "gone");
    assert_eq!((receiver.seen().len(), inside.seen().len()), (2, 0));
    assert!(server.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_no_message_goes_inside() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Provider::start(|_| accepted()).await;
    let production = server(&dir, &receiver).env("ENVIRONMENT", "production");
    for url in [receiver.url.clone(), receiver.url.replace("127.0.0.1", "localhost")] {
        let server = production.clone().env("KPI_ALERT_WEBHOOK_URL", &url).start().await;
        visit(&server, "landing_view", 0..60).await;
        let error = eventually("the delivery is refused", async || {
            let messages = server.client.get("kpi/notifications").await.ok();
            let delivery = &messages["items"][0]["deliveries"][0];
            delivery["last_error"].as_str().map(str::to_owned)
        })
        .await;
        assert!(error.contains("has an internal address"), "{error}");
        assert!(server.terminate().await);
        std::fs::remove_file(dir.path().join("simops.db")).unwrap();
    }
    assert!(receiver.seen().is_empty());
    let allowed = production
        .env("KPI_ALERT_WEBHOOK_URL", &receiver.url.replace("127.0.0.1", "localhost"))
        .env("KPI_ALERT_ALLOWED_HOSTS", "localhost");
    let server = allowed.start().await;
    visit(&server, "landing_view", 0..60).await;
    until_sent(&server).await;
    assert!(server.terminate().await);
}

/// Bodies that a receiver got, as JSON.
fn bodies(receiver: &Provider) -> Vec<Value> {
    let body = |request: String| {
        let (_, body) = request.split_once("\r\n\r\n")?;
        serde_json::from_str(body).ok()
    };
    receiver.seen().into_iter().filter_map(body).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_and_the_pager_get_messages_in_their_own_formats() {
    let dir = tempfile::tempdir().unwrap();
    let slack = Provider::start(|_| Reply::Status(200, String::new(), "ok".to_owned())).await;
    let discord = Provider::start(|_| accepted()).await;
    let pager = Provider::start(|_| Reply::Status(202, String::new(), "{}".to_owned())).await;
    let builder = ServerBuilder::new(dir.path())
        .arg("--host=none")
        .env("KPI_ALERT_SLACK_URL", &slack.url)
        .env("KPI_ALERT_DISCORD_URL", &discord.url)
        .env("KPI_ALERT_PAGERDUTY_KEY", "routing-key")
        .env("KPI_ALERT_PAGERDUTY_URL", &pager.url);
    let server = builder.start().await;
    visit(&server, "landing_view", 0..60).await;
    eventually("all three took it", async || {
        let notification = notification(&server).await;
        let deliveries = notification["deliveries"].as_array()?;
        let all = deliveries.iter().all(|delivery| delivery["state"] == "delivered");
        (deliveries.len() == 3 && all).then_some(())
    })
    .await;
    let received = [&slack, &discord, &pager].map(bodies);
    assert!(received.iter().all(|bodies| bodies.len() == 1), "{received:?}");
    let [slack, discord, event] = received.map(|mut bodies| bodies.remove(0));
    let text = slack["text"].as_str().unwrap();
    assert!(text.contains("Landing -&gt; Run CTR"), "{text}");
    let content = discord["content"].as_str().unwrap();
    assert!(content.contains("Landing -> Run CTR"), "{content}");
    assert_eq!(discord["allowed_mentions"], json!({ "parse": [] }));
    assert_eq!(
        (&event["routing_key"], &event["event_action"], &event["dedup_key"]),
        (&json!("routing-key"), &json!("trigger"), &json!("simops-kpi-development"))
    );
    assert_eq!(event["payload"]["severity"], "critical");
    assert!(event["payload"]["summary"].as_str().unwrap().contains("Landing -> Run CTR"));
    assert!(server.terminate().await);
}
