//! The drill `db-reconnect`.

use std::time::{Duration, Instant};

use serde_json::json;
use simops::ErrorKind;
use simops::control::RunState;

use super::Checks;
use super::postgres::Postgres;
use super::stage::{Stage, until};
use crate::exit::Failure;

const RUN: &str = "drill-database";
/// Actions that show that the world runs.
const MIN_ACTIONS: i64 = 30;
/// A request while the database is unavailable must fail within this time.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(11);

/// Stages it: Postgres up, crashed, back, restarted twice, the run stopped.
pub(super) async fn stage(checks: &mut Checks) -> Result<(), Failure> {
    let postgres = Postgres::start().await?;
    let url = postgres.url();
    let mut stage = Stage::on(&url).await?;
    stage.worker(&[("DATABASE_URL", &url)]).await?;

    checks.when("Postgres is up");
    stage.start_run(RUN).await?;
    agents_act(&stage, checks).await;

    checks.when("Postgres has crashed");
    postgres.crash().await?;
    let asked = Instant::now();
    let answer = stage.ops.status().await.map(drop);
    let refused = asked.elapsed() < REFUSAL_TIMEOUT
        && answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable);
    let seen = answer.err().map(|error| error.to_string());
    checks.note("a request fails as unavailable, and does not hang", seen, refused);
    let alive = stage.worker_is_alive();
    checks.note("the worker is alive and waits", alive, alive);

    checks.when("Postgres is back");
    postgres.begin().await?;
    agents_act(&stage, checks).await;
    let continues = "the run continues without intervention";
    stage.check_state(checks, continues, RunState::Running).await?;

    checks.when("Postgres is restarted twice while the run is active");
    postgres.restart().await?;
    postgres.restart().await?;
    agents_act(&stage, checks).await;

    checks.when("the run is stopped");
    stage.stop_run().await?;
    stage.check_state(checks, "the worker confirms it", RunState::Stopped).await?;
    let trail = stage.ops.verify_audit(None).await?;
    checks.note("the audit trail verifies", json!(trail), trail.ok);
    stage.check_sums(checks).await
}

async fn agents_act(stage: &Stage, checks: &mut Checks) {
    // Postgres may become available during the look.
    until(async || stage.ops.status().await.ok()).await;
    stage.check_actions(checks, "agents act", RUN, MIN_ACTIONS).await;
}
