//! The drill `db-reconnect`.

use std::time::{Duration, Instant};

use serde_json::json;
use simops::ErrorKind;
use simops::control::RunState;

use super::postgres::Postgres;
use super::report::Checks;
use super::stage::{Stage, until};
use crate::exit::Failure;

const RUN: &str = "drill-database";
/// Actions that show that the world goes on.
const ENOUGH: i64 = 30;
/// Who asks while the database is away is told so by then.
const TOLD_WITHIN: Duration = Duration::from_secs(11);

/// Stages it: there, crashed, back, restarted twice, stopped.
pub(super) async fn stage(checks: &mut Checks) -> Result<(), Failure> {
    let postgres = Postgres::start().await?;
    let url = postgres.url();
    let mut stage = Stage::on(&url).await?;
    stage.worker(&[("DATABASE_URL", &url)]).await?;

    checks.when("Postgres is there");
    stage.start_run(RUN).await?;
    goes_on(&stage, checks).await?;

    checks.when("Postgres has crashed");
    postgres.crash().await?;
    let asked = Instant::now();
    let answer = stage.ops().status().await.map(drop);
    let told = asked.elapsed() < TOLD_WITHIN
        && answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable);
    let seen = answer.err().map(|error| error.to_string());
    checks.note("who asks is told that the database is away, and does not hang", seen, told);
    let lives = stage.worker_lives();
    checks.note("the worker lives and waits", lives, lives);

    checks.when("Postgres is back");
    postgres.begin().await?;
    goes_on(&stage, checks).await?;
    let state = stage.run_state(RunState::Running).await?;
    checks.note(
        "the run goes on without anybody's doing",
        json!(state),
        state == RunState::Running,
    );

    checks.when("Postgres is restarted twice under way");
    postgres.restart().await?;
    postgres.restart().await?;
    goes_on(&stage, checks).await?;

    checks.when("the run is stopped");
    stage.stop_run().await?;
    let state = stage.run_state(RunState::Stopped).await?;
    checks.note("the worker confirms it", json!(state), state == RunState::Stopped);
    let trail = stage.ops().verify_audit(None).await?;
    checks.note("the audit trail is whole", json!(trail), trail.ok);
    let verified = stage.ops().verify_usage().await?;
    let differences = verified.differences.len();
    checks.note("the sums kept of the ledger are what it holds", differences, verified.ok);
    Ok(())
}

async fn goes_on(stage: &Stage, checks: &mut Checks) -> Result<(), Failure> {
    // What is away may come back while we look.
    until(async || stage.status().await.ok()).await;
    let more = stage.actions(RUN, ENOUGH).await?;
    checks.note("agents act", more, more >= ENOUGH);
    Ok(())
}
