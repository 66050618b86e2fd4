//! The drill `redis-unavailable`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use simops::clock::day_of;
use simops::control::RunState;
use simops::usage::{Admission, Caps, Lease, NanoUsd, open_counter};
use simops::{Clock, SystemClock};
use uuid::Uuid;

use super::Checks;
use super::peer::{Answers, Peer};
use super::redis::Redis;
use super::stage::{Stage, free_address, until};
use crate::exit::Failure;

const RUN: &str = "drill-redis";
/// Calls that show that agents ask models.
const MIN_CALLS: i64 = 12;

/// Stages it: Redis up, killed, back and empty, hung, resumed.
pub(super) async fn stage(checks: &mut Checks) -> Result<(), Failure> {
    let mut stage = Stage::set().await?;
    let peer = Peer::start(free_address()?, Answers::AnAction).await?;
    let mut redis = Redis::start(stage.folder()).await?;
    let (models, url) = (peer.url(), redis.url());
    stage.set_setting("LLM_MAX_CALLS_PER_DAY_TOTAL", json!(50_000)).await?;
    stage.worker(&[("GROQ_BASE_URL", &models), ("REDIS_URL", &url)]).await?;

    checks.when("Redis is up");
    stage.start_run(RUN).await?;
    counts_in_redis(&stage, checks).await?;
    calls_are_made(&stage, checks).await?;

    checks.when("Redis is killed");
    redis.kill().await;
    counts_in_the_database(&stage, checks).await?;
    calls_are_made(&stage, checks).await?;

    checks.when("Redis is back, and empty");
    redis.begin().await?;
    counts_in_redis(&stage, checks).await?;
    calls_are_made(&stage, checks).await?;

    checks.when("Redis hangs");
    redis.hang()?;
    counts_in_the_database(&stage, checks).await?;
    calls_are_made(&stage, checks).await?;

    checks.when("Redis resumes, with the data it had when it hung");
    redis.go_on()?;
    counts_in_redis(&stage, checks).await?;
    calls_are_made(&stage, checks).await?;

    checks.when("the run is stopped");
    stage.stop_run().await?;
    stage.check_state(checks, "the worker confirms it", RunState::Stopped).await?;
    counts_agree(&stage, checks, &url, peer.asked()).await
}

async fn counts_in_redis(stage: &Stage, checks: &mut Checks) -> Result<(), Failure> {
    let counts = until(async || {
        let counter = stage.ops.status().await.ok()?.counter;
        (counter.backend == "redis" && !counter.degraded).then_some(())
    });
    let counts = counts.await.is_some();
    checks.note("calls are counted in Redis", json!(stage.ops.status().await?.counter), counts);
    Ok(())
}

async fn counts_in_the_database(stage: &Stage, checks: &mut Checks) -> Result<(), Failure> {
    let degraded = until(async || {
        let counter = stage.ops.status().await.ok()?.counter;
        let explained = counter.since.is_some() && counter.last_error.is_some();
        (counter.degraded && counter.backend == "sqlite" && explained).then_some(())
    });
    let degraded = degraded.await.is_some();
    let seen = json!(stage.ops.status().await?.counter);
    checks.note(
        "calls are counted in the database; status says since when and why",
        seen,
        degraded,
    );
    Ok(())
}

async fn calls_are_made(stage: &Stage, checks: &mut Checks) -> Result<(), Failure> {
    let calls =
        async || stage.ops.status().await.ok().map(|status| status.llm_budget.used.calls_total);
    let before = calls().await.unwrap_or_default();
    until(async || calls().await.filter(|now| now - before >= MIN_CALLS)).await;
    let more = calls().await.unwrap_or_default() - before;
    checks.note("calls are made and recorded", more, more >= MIN_CALLS);
    Ok(())
}

/// Ledger, sums and Redis count the same calls: with a cap of one more, the second is refused.
async fn counts_agree(
    stage: &Stage,
    checks: &mut Checks,
    redis: &str,
    asked: usize,
) -> Result<(), Failure> {
    stage.check_sums(checks).await?;
    let rows = stage.ops.status().await?.llm_budget.used.calls_total;
    let seen = json!({ "asked": asked, "rows": rows });
    checks.note("the ledger has a row for each call made", seen, i64::try_from(asked) == Ok(rows));

    let store = Arc::clone(stage.ops.store());
    let counter = open_counter(store, Some(redis), Arc::new(SystemClock)).await?;
    let caps = Caps { total: Some(rows + 1), ..Caps::default() };
    let (one, another) = (lease(), lease());
    let first = counter.reserve(&one, &caps).await?;
    let second = counter.reserve(&another, &caps).await?;
    counter.release(one.id).await?;
    let in_redis = counter.health().backend == "redis";
    counter.close().await;
    let right = in_redis
        && matches!(first, Admission::Admitted { .. })
        && matches!(second, Admission::Refused { in_flight: true, .. });
    let seen = format!("{first:?}, then {second:?}, in {}", counter.health().backend);
    checks.note("Redis admits one call above the ledger's and no second one", seen, right);
    Ok(())
}

fn lease() -> Lease {
    let now = SystemClock.now();
    Lease {
        id: Uuid::now_v7(),
        day: day_of(now),
        run_id: None,
        agent_id: None,
        checkpoint: None,
        provider: "drill".to_owned(),
        model: "drill-model".to_owned(),
        upper_bound: NanoUsd(0),
        priced: true,
        created_at: now,
        expires_at: now + Duration::from_secs(10),
        input_tokens: 10,
        output_tokens: 5,
    }
}
