//! The drill `provider-outage`.

use std::net::SocketAddr;

use serde_json::json;
use simops::control::RunState;
use simops::ops::RunBody;

use super::Checks;
use super::peer::{Answers, Peer};
use super::stage::{Stage, free_address, until};
use crate::exit::Failure;

const KEY: &str = "sk-drill-0123456789abcdef";
/// Actions that show that agents act.
const MIN_ACTIONS: i64 = 12;

/// Stages it: no provider, a bad key, an unavailable provider, a provider that is back.
pub(super) async fn stage(checks: &mut Checks) -> Result<(), Failure> {
    let mut stage = Stage::set().await?;
    without_a_provider(&mut stage, checks).await?;
    let address = with_a_bad_key(&mut stage, checks).await?;
    unavailable(&mut stage, checks, address).await?;
    back(&mut stage, checks, address).await?;
    checks.when("the drill is over");
    stage.check_sums(checks).await
}

async fn without_a_provider(stage: &mut Stage, checks: &mut Checks) -> Result<(), Failure> {
    checks.when("no provider is configured");
    stage.worker(&[]).await?;
    stage.start_run("drill-no-provider").await?;
    stage.check_actions(checks, "agents act", "drill-no-provider", MIN_ACTIONS).await;
    let by_models = actions_of_models(stage, "drill-no-provider").await?;
    checks.note("no action is a model's", by_models, by_models == 0);
    let rows = stage.ledger("drill-no-provider").await?.len();
    checks.note("the ledger has no row", rows, rows == 0);
    let logged = stage.log().matches("no model provider").count();
    checks.note("the log says so once", logged, logged == 1);
    stage.stop_run().await
}

async fn with_a_bad_key(stage: &mut Stage, checks: &mut Checks) -> Result<SocketAddr, Failure> {
    checks.when("the provider does not know the key");
    let peer = Peer::start(free_address()?, Answers::UnknownKey).await?;
    // Only the outage that follows shall stop a run.
    stage.set_setting("STOP_PROVIDER_FAILURE_THRESHOLD", json!(50_000)).await?;
    stage.worker(&[("GROQ_BASE_URL", &peer.url()), ("GROQ_API_KEY", KEY)]).await?;
    stage.start_run("drill-bad-key").await?;
    stage.check_actions(checks, "agents act, by their rule", "drill-bad-key", MIN_ACTIONS).await;
    until(async || {
        let rows = stage.ledger("drill-bad-key").await.ok()?;
        rows.iter().any(|row| row.error_type.as_deref() == Some("circuit_open")).then_some(())
    })
    .await;
    stage.stop_run().await?;
    // Then no call is in flight.
    stage.run_state(RunState::Stopped).await?;
    let rows = stage.ledger("drill-bad-key").await?;
    let of = |word: &str| rows.iter().filter(|r| r.error_type.as_deref() == Some(word)).count();
    let (asked, refused, spared) = (peer.asked(), of("auth"), of("circuit_open"));
    let seen = json!({ "asked": asked, "rows": refused });
    checks.note("each refused call is a row", seen, refused > 0 && asked == refused);
    checks.note("the breaker spares a provider that keeps refusing", spared, spared > 0);
    let cost: f64 = rows.iter().map(|row| row.cost.dollars()).sum();
    checks.note("a refused call costs nothing", cost, cost == 0.0);
    let events = serde_json::Value::from(stage.events(None).await?).to_string();
    let shown = [stage.log(), events].iter().filter(|text| text.contains(KEY)).count();
    checks.note("neither log nor events show the key", shown, shown == 0);
    let address = peer.address();
    peer.end().await;
    Ok(address)
}

async fn unavailable(
    stage: &mut Stage,
    checks: &mut Checks,
    at: SocketAddr,
) -> Result<(), Failure> {
    checks.when("the provider is unavailable");
    stage.set_setting("STOP_PROVIDER_FAILURE_THRESHOLD", json!(20)).await?;
    let url = format!("http://{at}/v1");
    stage.worker(&[("GROQ_BASE_URL", &url), ("GROQ_API_KEY", KEY)]).await?;
    stage.start_run("drill-unavailable").await?;
    let by_rule = "agents act, by their rule";
    stage.check_actions(checks, by_rule, "drill-unavailable", MIN_ACTIONS).await;
    let stopped = "the failures stop the run, and the worker confirms it";
    stage.check_state(checks, stopped, RunState::Stopped).await?;
    let stops = stage.events(Some("simulation_stopped_guardrail")).await?;
    checks.note("one event records the stop", stops.len(), stops.len() == 1);
    let stop = stops.first().cloned().unwrap_or_default();
    let reason = stop["metadata"]["reason"].clone();
    let right = reason == "provider_failures_repeated";
    checks.note("its reason is provider_failures_repeated", reason, right);
    let failures = stop["metadata"]["details"]["conditions"][1]["observed"].clone();
    let enough = failures.as_f64() >= Some(20.0);
    checks.note("it carries the failures that it was decided on", failures, enough);
    let connection = stage.ledger("drill-unavailable").await?;
    let failed = connection.iter().filter(|row| !row.success).count();
    checks.note("each failed call is a row", failed, failed >= 20);
    Ok(())
}

async fn back(stage: &mut Stage, checks: &mut Checks, at: SocketAddr) -> Result<(), Failure> {
    checks.when("the provider is back, and the run resumed above the failures of the window");
    let peer = Peer::start(at, Answers::AnAction).await?;
    stage.set_setting("STOP_PROVIDER_FAILURE_THRESHOLD", json!(50_000)).await?;
    stage.writer().await?.resume(&RunBody::default()).await?;
    let by_models = async || actions_of_models(stage, "drill-unavailable").await.ok();
    let models = until(async || by_models().await.filter(|actions| *actions >= MIN_ACTIONS)).await;
    checks.note("agents act by the model's answers", models, models.is_some());
    let cost = stage.ops.status().await?.llm_budget.used.cost.dollars();
    checks.note("calls cost something", cost, cost > 0.0);
    stage.stop_run().await?;
    stage.check_state(checks, "the run stops on request", RunState::Stopped).await?;
    let rows = stage.ledger("drill-unavailable").await?.iter().filter(|row| row.success).count();
    let asked = peer.asked();
    let seen = json!({ "asked": asked, "rows": rows });
    checks.note("the ledger has a row for each call answered", seen, asked == rows);
    Ok(())
}

async fn actions_of_models(stage: &Stage, run_id: &str) -> Result<i64, Failure> {
    Ok(stage.ops.run_metrics(Some(run_id), 1).await?.activity.checkpoint_actions)
}
