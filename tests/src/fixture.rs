//! Databases made by released versions, and the figures those versions answered from them.
//!
//! A fixture is asked at one moment ([`ASKED_AT`]) by servers whose clocks are set with faketime, so
//! that answers that depend on the current time can be compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::clock::clock;
use crate::process::clean;
use crate::{Server, ServerBuilder};

/// When the figures of a fixture are asked for (UTC).
pub const ASKED_AT: &str = "2026-03-11 12:00:00";

/// Each question and its answer. A question is `GET path`, `LIST path` (the items of all pages) or
/// `CLI arguments`.
pub type Figures = BTreeMap<String, Value>;

fn clock_at(moment: &str) -> [(&'static str, String); 4] {
    clock(&format!("@{moment}"))
}

/// Binaries of one release, working on one database at moments of their own.
#[derive(Debug, Clone)]
pub struct Release {
    /// The folder of the binaries.
    pub binaries: PathBuf,
    /// The working directory.
    pub dir: PathBuf,
    /// The database.
    pub database_url: String,
}

impl Release {
    /// A server whose clock starts at `moment` (`YYYY-MM-DD HH:MM:SS`, UTC). It drafts no digest on its own, and has no world.
    pub fn server(&self, moment: &str) -> ServerBuilder {
        let builder = ServerBuilder::new(&self.dir)
            .program(&self.binaries.join("simops-server"))
            .env("DATABASE_URL", &self.database_url)
            .env("ARCHIVE_WEEKLY_DRAFT_ENABLED", "false")
            .env("SIMOPS_HOST", "none");
        clock_at(moment)
            .into_iter()
            .fold(builder, |builder, (name, value)| builder.env(name, &value))
    }

    /// The output of a command that must succeed, run at `moment`.
    ///
    /// # Panics
    /// When it fails.
    pub async fn cli(&self, moment: &str, args: &[&str]) -> Value {
        let mut command =
            clean(tokio::process::Command::new(self.binaries.join("simops-cli")), &self.dir);
        command.args(args).env("DATABASE_URL", &self.database_url).env("USER", "ada");
        let output = command.envs(clock_at(moment)).output().await.expect("simops-cli starts");
        assert!(output.status.success(), "{args:?}: {output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// The answer to a question.
    ///
    /// # Panics
    /// When there is none.
    pub async fn answer(&self, server: &Server, question: &str) -> Value {
        match question.split_once(' ').expect("a kind and what is asked") {
            ("GET", path) => server.client.get(path).await.ok(),
            ("LIST", path) => list(server, path).await,
            ("CLI", args) => {
                let args: Vec<_> = args.split(' ').collect();
                self.cli(ASKED_AT, &args).await
            }
            (kind, _) => panic!("no such kind of question: {kind}"),
        }
    }

    /// All questions that a database can be asked, answered.
    ///
    /// # Panics
    /// When one of them is not answered.
    pub async fn figures(&self, server: &Server) -> Figures {
        let mut figures = Figures::new();
        for question in self.questions(server).await {
            let answer = self.answer(server, &question).await;
            figures.insert(question, answer);
        }
        figures
    }

    async fn questions(&self, server: &Server) -> Vec<String> {
        let days = "first_day=2026-02-15&last_day=2026-03-11";
        let long_ago = "first_day=2025-11-01&last_day=2025-11-30";
        let mut questions: Vec<String> = [
            "GET status",
            "GET config",
            "GET run/metrics",
            "GET kpi/rollups?days=7",
            "GET kpi/rollups?days=90",
            "GET usage/series?since=2026-03-04T00:00:00Z",
            "GET digest/evidence?anchor_date=2026-03-08",
            "GET digest/evidence?anchor_date=2026-03-08&lookback_days=30",
            "GET audit/verify",
            "LIST audit",
            "LIST runs",
            "LIST events",
            "LIST events?type=run_start",
            "LIST events?after=2026-03-03T00:00:00Z&until=2026-03-04T00:00:00Z",
            "LIST digests",
            "LIST digests?status=published",
            "LIST kpi/alerts",
            "LIST kpi/notifications",
            "CLI usage list --limit 500",
            "CLI usage verify",
            "CLI kpi verify",
            "CLI audit verify",
            "CLI guardrail backtest --since 2025-11-01",
        ]
        .map(str::to_owned)
        .into();
        for window in [days, long_ago] {
            questions.push(format!("GET usage/summary?{window}"));
            questions.push(format!("GET activity?{window}"));
        }
        let runs = items(server, "runs", "run_id").await;
        for run in &runs {
            questions.push(format!("GET runs/{run}"));
            questions.push(format!("GET run/metrics?run_id={run}"));
            questions.push(format!("GET runs/{run}/report"));
            questions.push(format!("GET usage/series?since=2026-03-04T00:00:00Z&run_id={run}"));
            questions.push(format!("GET usage/summary?{days}&run_id={run}"));
            questions.push(format!("GET activity?{days}&run_id={run}"));
            questions.push(format!("LIST events?run_id={run}"));
            questions.push(format!("CLI usage list --limit 500 --run-id {run}"));
            let report = server.client.get(&format!("runs/{run}/report")).await.ok();
            for ended_at in report["reported_ends"].as_array().into_iter().flatten() {
                let ended_at = ended_at.as_str().expect("a time");
                questions.push(format!("GET runs/{run}/report?ended_at={ended_at}"));
            }
        }
        for pair in runs.windows(2) {
            questions.push(format!("GET run/compare?a={}&b={}", pair[0], pair[1]));
        }
        for slug in items(server, "digests", "slug").await {
            questions.push(format!("GET digests/{slug}"));
        }
        for alert in items(server, "kpi/alerts", "id").await {
            questions.push(format!("GET kpi/alerts/{alert}"));
        }
        for message in list(server, "kpi/notifications").await.as_array().expect("messages") {
            for delivery in message["deliveries"].as_array().expect("deliveries") {
                let id = delivery["id"].as_str().expect("an id");
                questions.push(format!("GET kpi/deliveries/{id}"));
            }
        }
        let events = list(server, "events").await;
        for place in [0, events.as_array().map_or(0, Vec::len) / 2] {
            questions.push(format!("GET events/{}", events[place]["id"]));
        }
        questions
    }
}

async fn items(server: &Server, path: &str, field: &str) -> Vec<String> {
    let items = list(server, path).await;
    let items = items.as_array().expect("items").iter();
    items.map(|item| item[field].as_str().expect(field).to_owned()).collect()
}

/// The items of all pages. The audit trail is paged by offset, the rest by cursor.
async fn list(server: &Server, path: &str) -> Value {
    let mut all: Vec<Value> = Vec::new();
    let mut next = String::new();
    let mark = if path.contains('?') { '&' } else { '?' };
    loop {
        let page = server.client.get(&format!("{path}{mark}limit=100{next}")).await.ok();
        let items = page["items"].as_array().expect("items");
        let (count, offset) = (items.len(), page["offset"].is_i64());
        all.extend(items.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None if offset && count > 0 => next = format!("&offset={}", all.len()),
            None => return json!(all),
        }
    }
}

/// Unpacks a `.gz` file.
///
/// # Panics
/// When that fails.
pub fn unpack(packed: &Path, to: &Path) {
    let to = std::fs::File::create(to).expect("a file to unpack to");
    let status = Command::new("gzip").arg("-dc").arg(packed).stdout(to).status();
    assert!(status.expect("gzip starts").success(), "{}", packed.display());
}

/// Packs a file; the same content gives the same bytes.
///
/// # Panics
/// When that fails.
pub fn pack(from: &Path, to: &Path) {
    let to = std::fs::File::create(to).expect("a file to pack to");
    let status = Command::new("gzip").args(["-n9c"]).arg(from).stdout(to).status();
    assert!(status.expect("gzip starts").success(), "{}", from.display());
}

/// Feeds a dump to `psql`.
///
/// # Panics
/// When `psql` refuses it.
pub fn restore(dump: &Path, database_url: &str) {
    let output = Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"])
        .args([dump.as_os_str(), database_url.as_ref()])
        .stdin(Stdio::null())
        .output()
        .expect("psql starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
