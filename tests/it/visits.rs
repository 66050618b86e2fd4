//! Visitors' events as browsers send them: too many at once, from a page of another origin, over
//! midnight.

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use simops_tests::browser::Browser;
use simops_tests::clock::clock;
use simops_tests::network::{Network, Proxy};
use simops_tests::postgres::PostgresServer;
use simops_tests::{Client, Server, ServerBuilder, cli, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

const VISITS: &str = "/api/analytics/kpi/events";
/// How many bodies of an address may arrive at once, and how many batches wait for the database.
const ARRIVING: usize = 64;
const RECORDING: usize = 64;

fn landed(visitor: usize) -> Value {
    json!({
        "event_name": "landing_view",
        "visitor_id": format!("visitor-{visitor}"),
        "event_uid": format!("landed-{visitor}"),
    })
}

/// The status, and what a 503 must carry: when to come back.
async fn send(client: &Client, event: &Value) -> (StatusCode, Value) {
    let answer = client.bare(Method::POST, VISITS).json(event).send().await.unwrap();
    let status = answer.status();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let wait = answer.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    }
    (status, answer.json().await.unwrap())
}

/// Sends events again until each was taken; how many were new.
async fn send_until_taken(client: &Client, events: &[Value]) -> u64 {
    let mut accepted = 0;
    for event in events {
        accepted += eventually("room for an event", async || {
            let (status, answer) = send(client, event).await;
            (status == StatusCode::OK).then(|| answer["accepted"].as_u64().unwrap())
        })
        .await;
    }
    accepted
}

async fn today(server: &Server) -> Value {
    server.client.get("kpi/rollups?days=1").await.ok()["items"][0].clone()
}

/// Sends half of a body, and the rest once `go` says so; the head of the answer, which comes
/// before the rest where the request is refused.
async fn slowly(address: String, event: Value, mut go: watch::Receiver<bool>) -> String {
    let body = event.to_string().into_bytes();
    let head = format!(
        "POST {VISITS} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&body[..10]).await.unwrap();
    let mut answer = String::new();
    tokio::select! {
        _ = socket.readable() => {}
        _ = go.changed() => socket.write_all(&body[10..]).await.unwrap(),
    }
    socket.read_to_string(&mut answer).await.unwrap();
    answer.split("\r\n\r\n").next().unwrap_or_default().to_lowercase()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_concurrent_bodies_than_the_limit_are_refused_and_none_is_lost() {
    const MORE: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).env("KPI_EVENT_RATE_LIMIT", "0").start().await;
    let address = server.base.strip_prefix("http://").unwrap();
    let events: Vec<_> = (0..ARRIVING + MORE).map(landed).collect();
    let (go, going) = watch::channel(false);
    let mut slow = JoinSet::new();
    for event in events.clone() {
        slow.spawn(slowly(address.to_owned(), event, going.clone()));
    }
    for _ in 0..MORE {
        let answer = slow.join_next().await.unwrap().unwrap();
        assert!(
            answer.starts_with("http/1.1 503") && answer.contains("\nretry-after: 1\r"),
            "{answer}"
        );
    }
    go.send(true).unwrap();
    let answers = slow.join_all().await;
    let with = |status: &str| answers.iter().filter(|answer| answer.starts_with(status)).count();
    let (taken, refused) = (with("http/1.1 200"), with("http/1.1 503"));
    assert_eq!(taken + refused, ARRIVING);
    assert_eq!(send_until_taken(&server.client, &events).await, (refused + MORE) as u64);
    assert_eq!(today(&server).await["landing_views"], ARRIVING + MORE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_batches_than_may_wait_for_a_hanging_database_are_refused_and_none_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let database = PostgresServer::shared().database();
    let builder = ServerBuilder::new(dir.path())
        .env("DATABASE_URL", &database.url())
        .env("SIMOPS_HOST", "none");
    let server = builder.env("KPI_EVENT_RATE_LIMIT", "0").start().await;
    let held = database.hold("kpi_events").await;
    let mut waiting = JoinSet::new();
    let events: Vec<_> = (0..RECORDING + 40).map(landed).collect();
    for event in events.clone() {
        let client = server.client.clone();
        waiting.spawn(async move { send(&client, &event).await.0 });
    }
    // Those above the limit are refused at once; the others wait.
    let mut refused_early = 0;
    while refused_early < 40 {
        assert_eq!(waiting.join_next().await.unwrap().unwrap(), StatusCode::SERVICE_UNAVAILABLE);
        refused_early += 1;
    }
    assert_eq!(waiting.len(), RECORDING);
    drop(held);
    let taken = waiting.join_all().await;
    assert!(taken.iter().all(|status| *status == StatusCode::OK), "{taken:?}");
    assert_eq!(send_until_taken(&server.client, &events).await, 40);
    assert_eq!(today(&server).await["landing_views"], 104);
    let verified = cli(dir.path(), &["kpi", "verify", "--database-url", &database.url()]).await;
    assert!(verified.status.success(), "{verified:?}");
}

/// A site of another origin: each page but the last loads the snippet of `examples/browser`.
async fn site(endpoint: &str) -> String {
    let snippet = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/browser/kpi.js");
    let snippet = std::fs::read_to_string(snippet).unwrap();
    assert!(snippet.len() <= 2_048, "{} bytes", snippet.len());
    let page = format!("<!doctype html><script src=/kpi.js data-endpoint='{endpoint}'></script>");
    // As a page without TLS sees it.
    let plain =
        page.replace("<script", "<script>delete Crypto.prototype.randomUUID</script><script");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (snippet, page, plain) = (snippet.clone(), page.clone(), plain.clone());
            tokio::spawn(async move {
                let (mut request, mut piece) = (Vec::new(), [0; 4096]);
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    match socket.read(&mut piece).await {
                        Ok(read @ 1..) => request.extend_from_slice(&piece[..read]),
                        _ => return,
                    }
                }
                let path = String::from_utf8_lossy(&request).into_owned();
                let (kind, body) = match path.split(' ').nth(1) {
                    Some("/kpi.js") => ("text/javascript", snippet),
                    Some("/plain") => ("text/html", plain),
                    Some("/elsewhere") => ("text/html", "<!doctype html>gone".to_owned()),
                    _ => ("text/html", page),
                };
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\
                     connection: close\r\n\r\n",
                    body.len()
                );
                // A closed browser needs no answer.
                let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
            });
        }
    });
    base
}

async fn until_counted(server: &Server, field: &str, count: i64) {
    eventually(&format!("{count} {field}"), async || {
        (today(server).await[field] == count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_snippet_of_a_page_loses_nothing_and_counts_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    // Its own origin must be allowed, so the site is there first.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let proxy = Proxy::before(port).await;
    let site = site(&format!("http://127.0.0.1:{}{VISITS}", proxy.port())).await;
    let builder = ServerBuilder::new(dir.path()).env("KPI_EVENT_CORS_ORIGINS", &site);
    let server = builder.start().await;
    proxy.lead_to(server.base.rsplit(':').next().unwrap().parse().unwrap());
    let browser = Browser::open(800, 600).await;
    let open = async |path: &str| browser.client.goto(&format!("{site}{path}")).await.unwrap();

    open("/").await;
    browser.run("simopsKpi('landing_view', { surface: 'landing' })").await;
    browser.run("simopsKpi('landing_run_click', { run_id: 'r1' })").await;
    until_counted(&server, "landing_run_clicks", 1).await;
    let day = today(&server).await;
    assert_eq!((&day["landing_views"], &day["landing_view_visitors"]), (&json!(1), &json!(1)));

    // What is recorded while the server is unreachable is kept and sent later, by the page or by the next one.
    proxy.set(Network::Cut);
    browser.run("simopsKpi('replay_start', { run_id: 'r1' })").await;
    let kept = "return JSON.parse(localStorage.getItem('simops.queue')).length";
    browser
        .until("a vain attempt", "return performance.getEntriesByType('resource').length > 2")
        .await;
    assert_eq!(browser.run(kept).await, 1);
    proxy.set(Network::Whole);
    until_counted(&server, "replay_starts", 1).await;
    browser.until("an empty queue", &format!("{kept} === 0")).await;

    proxy.set(Network::Cut);
    browser.run("simopsKpi('replay_complete', { run_id: 'r1' })").await;
    open("/").await;
    proxy.set(Network::Whole);
    until_counted(&server, "replay_completions", 1).await;

    // Recorded in the last moment of a page, to be sent by a beacon and by no page after it.
    browser.run("simopsKpi('share_clicked', {}); location.href = '/elsewhere'").await;
    until_counted(&server, "share_clicks", 1).await;
    open("/").await;
    browser.until("an empty queue", &format!("{kept} === 0")).await;
    let day = today(&server).await;
    for field in [
        "landing_views",
        "landing_run_clicks",
        "replay_starts",
        "replay_completions",
        "share_clicks",
    ] {
        assert_eq!(day[field], 1, "{field} of {day}");
    }
    assert_eq!(day["landing_view_visitors"], 1);

    open("/plain").await;
    browser.run("simopsKpi('onboarding_shown', {}); simopsKpi('onboarding_shown', {})").await;
    until_counted(&server, "onboarding_shown", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beacons_of_a_listed_origin_arrive_and_those_of_a_stranger_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let (listed, stranger) = (site("/unused").await, site("/unused").await);
    let builder = ServerBuilder::new(dir.path()).env("KPI_EVENT_CORS_ORIGINS", &listed);
    let server = builder.start().await;
    let browser = Browser::open(800, 600).await;
    let url = format!("{}{VISITS}", server.base);
    let beacon = |kind: &str, step: &str, uid: &str| {
        format!(
            "return navigator.sendBeacon('{url}', new Blob([JSON.stringify({{ event_name: '{step}', \
             visitor_id: 'visitor-1', event_uid: '{uid}' }})], {{ type: '{kind}' }}))"
        )
    };
    let open = async |site: &str| {
        browser.client.goto(&format!("{site}/elsewhere")).await.unwrap();
    };

    // JSON across origins needs a preflight that allows credentials; plain text needs none.
    open(&stranger).await;
    assert_eq!(browser.run(&beacon("application/json", "landing_view", "s1")).await, true);
    assert_eq!(browser.run(&beacon("text/plain", "landing_view", "s2")).await, true);
    let refused = format!(
        "return fetch('{url}', {{ method: 'POST', mode: 'no-cors', body: JSON.stringify( \
         {{ event_name: 'landing_view', visitor_id: 'visitor-1' }}) }}).then(() => 'sent')"
    );
    assert_eq!(browser.run(&refused).await, "sent");

    open(&listed).await;
    assert_eq!(browser.run(&beacon("application/json", "landing_view", "l1")).await, true);
    until_counted(&server, "landing_views", 1).await;
    assert_eq!(browser.run(&beacon("text/plain", "landing_view", "l2")).await, true);
    until_counted(&server, "landing_views", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_midnight_a_day_ends_and_another_begins() {
    let dir = tempfile::tempdir().unwrap();
    let builder = clock("@2026-03-01 23:59:35")
        .iter()
        .fold(ServerBuilder::new(dir.path()), |builder, (name, value)| builder.env(name, value));
    let server = builder.start().await;
    let now = async || -> Timestamp {
        let status = server.client.get("status").await.ok();
        status["server_time_utc"].as_str().unwrap().parse().unwrap()
    };
    let midnight: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
    // None of forty visitors who land clicks; one sees a run on both days.
    let landed: Vec<_> = (0..40).map(landed).collect();
    let viewed = |uid: &str| json!({ "event_name": "run_detail_view", "visitor_id": "visitor-1", "event_uid": uid });
    send(&server.client, &json!(landed)).await;
    send(&server.client, &viewed("before")).await;
    assert!(now().await < midnight, "the server began too late");
    let rollups = server.client.get("kpi/rollups?days=2").await.ok();
    assert_eq!(rollups["summary"]["latest_day_key"], "2026-03-01");
    assert_eq!(rollups["items"][0]["partial"], true);
    let alert = &rollups["alerts"]["items"][0];
    assert_eq!(
        (&alert["metric"], &alert["day_key"]),
        (&json!("landing_to_run_ctr"), &json!("2026-03-01"))
    );
    let budget = server.client.get("status").await.ok()["llm_budget"]["day_key"].clone();
    assert_eq!(budget, "2026-03-01");

    eventually("midnight", async || (now().await > midnight).then_some(())).await;
    let rollups = server.client.get("kpi/rollups?days=2").await.ok();
    let partial = [&rollups["items"][0]["partial"], &rollups["items"][1]["partial"]];
    assert_eq!(partial, [&json!(true), &json!(false)]);
    let before = &rollups["items"][1];
    assert_eq!((&before["landing_views"], &before["d1_cohort_size"]), (&json!(40), &json!(1)));
    assert_eq!(before["d1_retention_rate"], Value::Null, "the day after is not over");
    // As long as the new day has no event, the day before is the latest, and is over.
    assert_eq!(rollups["summary"]["latest"]["day_key"], "2026-03-01");
    assert_eq!(rollups["summary"]["latest"]["partial"], false);
    assert_eq!(rollups["alerts"]["items"][0]["day_key"], "2026-03-01");

    send(&server.client, &viewed("after")).await;
    let rollups = server.client.get("kpi/rollups?days=2").await.ok();
    assert_eq!(rollups["summary"]["latest_day_key"], "2026-03-02");
    assert_eq!(rollups["items"][0]["run_detail_views"], 1);
    assert_eq!(rollups["items"][1]["run_detail_views"], 1);
    assert_eq!(rollups["items"][1]["d1_returning_users"], 1);
    // Too little is known of the new day to alarm, and to say that all is well again.
    assert_eq!(rollups["alerts"]["items"], json!([]));
    eventually("the alert of the day before fires", async || {
        let alert = server.client.get("kpi/alerts").await.ok()["items"][0].clone();
        (alert["state"] == "firing" && alert["item"]["day_key"] == "2026-03-01").then_some(())
    })
    .await;
    let names = ["landing_view", "landing_run_click"];
    let clicked = (0..40).flat_map(|visitor| {
        names.map(|name| json!({ "event_name": name, "visitor_id": format!("visitor-{visitor}") }))
    });
    send(&server.client, &clicked.collect()).await;
    eventually("the alert of the day before is resolved", async || {
        let alerts = server.client.get("kpi/alerts").await.ok();
        (alerts["items"][0]["resolved_at"].is_string()).then_some(())
    })
    .await;
    // The status is shown for a moment before it is computed again.
    eventually("the budget of the new day", async || {
        let status = server.client.get("status").await.ok();
        (status["llm_budget"]["day_key"] == "2026-03-02").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_on_visits_do_on_postgres_what_they_say() {
    let dir = tempfile::tempdir().unwrap();
    let database = PostgresServer::shared().database();
    let kpi = async |args: &[&str]| -> (Option<i32>, Value, String) {
        let url = database.url();
        let output = cli(dir.path(), &[&["kpi"], args, &["--database-url", &url]].concat()).await;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default(), stderr)
    };
    let (code, seeded, _) = kpi(&["seed", "--days=30"]).await;
    assert_eq!((code, &seeded["days"]), (Some(0), &json!(30)));
    let (code, verified, _) = kpi(&["verify"]).await;
    assert_eq!((code, &verified["events"]), (Some(0), &seeded["accepted"]));
    let (_, rollups, _) = kpi(&["rollups", "--days=30"]).await;
    assert!(rollups["items"][29]["landing_view_visitors"].as_i64() > Some(0), "{rollups}");

    database.sql(
        "UPDATE kpi_days SET sums[1] = sums[1] + 5 WHERE day = (SELECT max(day) FROM kpi_days)",
    );
    let (code, found, why) = kpi(&["verify"]).await;
    assert_eq!((code, found["differences"].as_array().unwrap().len()), (Some(1), 1), "{found}");
    assert!(why.contains("kpi rebuild"), "{why}");
    let (code, repaired, _) = kpi(&["rebuild"]).await;
    assert_eq!((code, &repaired["repaired"]), (Some(0), &found["differences"]));

    let lines = [
        json!({ "event_name": "landing_view", "visitor_id": "visitor-1", "event_uid": "one" })
            .to_string(),
        "no event".to_owned(),
        json!({ "event_name": "replay_start", "visitor_id": "visitor-2" }).to_string(),
    ];
    std::fs::write(dir.path().join("visits.ndjson"), lines.join("\n")).unwrap();
    let (code, first, why) = kpi(&["import", "visits.ndjson"]).await;
    assert_eq!((code, &first["accepted"], &first["rejected"]), (Some(1), &json!(2), &json!(1)));
    assert!(why.contains("line 2: "), "{why}");
    let (_, again, _) = kpi(&["import", "visits.ndjson"]).await;
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(2)));
    let (code, verified, _) = kpi(&["verify"]).await;
    let events = seeded["accepted"].as_i64().unwrap() + 2;
    assert_eq!((code, &verified["events"]), (Some(0), &json!(events)));
}
