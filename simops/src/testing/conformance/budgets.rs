//! Budgets: kept, counted from the ledger, and held by every counter.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::date;

use super::counting::lease;
use super::samples::{at, call, day, settled};
use super::{joined, present};
use crate::recount::{Limits, RecountExt, UNWATCHED, count_budget};
use crate::store::{LogTable, PruneCutoff, RunStore};
use crate::testing::Counting;
use crate::testing::history::change_budgets;
use crate::usage::{
    Admission, Budget, BudgetChange, BudgetScope, BudgetUnit, BudgetUse, BudgetWindow, Caps,
    CounterBackend, Lease, NanoUsd, Pair, Refused, UsageCorrection, UsageRow, UseKey,
};
use crate::{Error, Result};

fn budget(id: &str, (scope, key): (BudgetScope, &str), unit: BudgetUnit, hard: i64) -> Budget {
    Budget {
        id: id.to_owned(),
        scope,
        key: key.to_owned(),
        window: BudgetWindow::Day,
        unit,
        soft: None,
        hard: Some(hard),
        since: date(1970, 1, 1),
        counted: false,
        defined: 0,
    }
}

/// All calls, by number.
fn calls(id: &str, hard: i64) -> Budget {
    budget(id, (BudgetScope::Deployment, ""), BudgetUnit::Calls, hard)
}

fn key(id: &str, part: &str) -> UseKey {
    UseKey { budget: id.to_owned(), period: day().to_string(), part: part.to_owned() }
}

/// Defines budgets and counts what was used of them.
async fn define(store: &dyn RunStore, budgets: &[&Budget]) -> Result<()> {
    let puts = budgets.iter().map(|budget| BudgetChange::Put((*budget).clone()));
    change_budgets(store, puts.collect(), Vec::new()).await
}

async fn used(store: &dyn RunStore, key: &UseKey) -> Result<(i64, i64)> {
    let uses = store.budget_uses(std::slice::from_ref(key)).await?;
    let used = uses.get(key).copied().unwrap_or_default();
    Ok((used.settled, used.reserved))
}

async fn in_order(store: &dyn RunStore) -> Result<()> {
    let wrong = store.recount().await?.differences();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::internal(format!("uses do not equal the ledger: {wrong:?}")))
}

/// Every field, in order of id; each change has a revision of its own.
pub async fn a_budget_is_kept_until_it_is_deleted(store: Arc<dyn RunStore>) -> Result<()> {
    assert_eq!(store.budgets().await?, crate::usage::Budgets::default());
    let soft = Budget { soft: Some(3), hard: None, window: BudgetWindow::Month, ..calls("b", 9) };
    let model = budget("a", (BudgetScope::Model, "*:free"), BudgetUnit::Usd, i64::MAX);
    define(&*store, &[&soft, &model]).await?;
    let kept = store.budgets().await?;
    let shown = |budget: &Budget| Budget { counted: true, ..budget.clone() };
    let with = |budget: &Budget, defined| Budget { defined, ..shown(budget) };
    assert_eq!(*kept.list, [with(&model, 1), with(&soft, 1)]);
    // Other limits are no new definition.
    let other_limits = Budget { hard: Some(12), ..soft.clone() };
    define(&*store, &[&other_limits]).await?;
    let again = store.budgets().await?;
    assert!(again.revision > kept.revision);
    assert_eq!(again.list[1], with(&other_limits, 1));
    change_budgets(&*store, vec![BudgetChange::Delete("b".to_owned())], Vec::new()).await?;
    assert_eq!(*store.budgets().await?.list, [with(&model, 1)]);
    assert!(store.budgets().await?.revision > again.revision);
    Ok(())
}

/// Rows and open leases of before it was defined. Until they are counted it admits nothing.
pub async fn what_was_used_before_a_budget_counts(store: Arc<dyn RunStore>) -> Result<()> {
    let (none, first, second) = (Caps::default(), lease("p", "m", 50), lease("p", "m", 60));
    store.record_usage(&[call(None, "p", "m", 7), call(None, "other", "m", 100)]).await?;
    store.reserve(&first, &none).await?;
    store.reserve(&second, &none).await?;
    let of_p = budget("b", (BudgetScope::Provider, "p"), BudgetUnit::Usd, 150);
    let before = store.load().await?;
    let next = crate::control::ControlState { generation: before.generation + 1, ..before.clone() };
    let change = crate::control::Change {
        expected_generation: before.generation,
        next,
        budgets: vec![BudgetChange::Put(of_p)],
        ..crate::control::Change::default()
    };
    store.commit(&change, None).await?;
    let place = key("b", "p").place();
    let refused = |reason, in_flight| Admission::Refused {
        reason,
        budget: "b".into(),
        place: place.as_str().into(),
        in_flight,
    };
    let waiting = store.reserve(&lease("p", "m", 1), &none).await?;
    assert_eq!(waiting, refused(Refused::BudgetReached, true));
    let elsewhere = store.reserve(&lease("other", "m", 1), &none).await?;
    assert!(matches!(elsewhere, Admission::Admitted { .. }));
    // One that was open before ends before all is counted.
    store.settle(&settled(&first, 40)).await?;
    count_budget(&*store, "b", Limits::default(), UNWATCHED).await?;
    assert_eq!(used(&*store, &key("b", "p")).await?, (47, 60));
    let full = store.reserve(&lease("p", "m", 44), &none).await?;
    assert_eq!(full, refused(Refused::BudgetReached, true));
    let fits = store.reserve(&lease("p", "m", 43), &none).await?;
    assert!(matches!(fits, Admission::Admitted { .. }));
    let spent = store.reserve(&lease("p", "m", 104), &none).await?;
    assert_eq!(spent, refused(Refused::BudgetReached, false));
    let too_large = store.reserve(&lease("p", "m", 151), &none).await?;
    assert_eq!(too_large, refused(Refused::CallExceedsBudget, false));
    in_order(&*store).await
}

/// Another scope, key, window or unit counts from the ledger again.
pub async fn another_definition_is_counted_from_the_ledger(store: Arc<dyn RunStore>) -> Result<()> {
    store.record_usage(&[call(Some("r"), "p", "m", 7), call(None, "q", "m", 100)]).await?;
    define(&*store, &[&calls("b", 9)]).await?;
    assert_eq!(used(&*store, &key("b", "")).await?, (2, 0));
    let in_tokens = Budget { unit: BudgetUnit::Tokens, ..calls("b", 9_000) };
    define(&*store, &[&in_tokens]).await?;
    assert_eq!(used(&*store, &key("b", "")).await?, (240, 0));
    let each = Budget { scope: BudgetScope::Provider, key: "*".to_owned(), ..in_tokens };
    define(&*store, &[&each]).await?;
    assert_eq!(used(&*store, &key("b", "")).await?, (0, 0));
    assert_eq!(used(&*store, &key("b", "q")).await?, (120, 0));
    let (largest, all) = store.largest_uses("b", &[day().to_string()], 1).await?;
    assert_eq!((largest.len(), all), (1, 2));
    let by_run = Budget { window: BudgetWindow::Run, ..calls("b", 9) };
    define(&*store, &[&by_run]).await?;
    let of_run = UseKey { period: "r".to_owned(), ..key("b", "") };
    assert_eq!(used(&*store, &of_run).await?, (1, 0));
    in_order(&*store).await
}

/// Rows that are deleted as old still count in each budget that has counted them.
pub async fn deleted_rows_still_count(store: Arc<dyn RunStore>) -> Result<()> {
    let lifetime = |scope, key: &str| Budget {
        window: BudgetWindow::Lifetime,
        ..budget(&format!("{scope:?}"), (scope, key), BudgetUnit::Tokens, 1_000)
    };
    let budgets = [
        lifetime(BudgetScope::Deployment, ""),
        lifetime(BudgetScope::Run, "*"),
        lifetime(BudgetScope::Agent, "*"),
        lifetime(BudgetScope::Provider, "p"),
    ];
    define(&*store, &budgets.each_ref()).await?;
    let row =
        |nanos, seconds| UsageRow { created_at: at(seconds), ..call(Some("r"), "p", "m", nanos) };
    store.record_usage(&[row(1, 0), row(2, 1), row(3, 9)]).await?;
    let old = PruneCutoff { before: at(5), except_run: None };
    assert_eq!(store.prune(LogTable::Ledger, &old, 10).await?, 2);
    for (budget, part) in budgets.iter().zip(["", "r", "3", "p"]) {
        let key =
            UseKey { budget: budget.id.clone(), period: String::new(), part: part.to_owned() };
        assert_eq!(used(&*store, &key).await?, (360, 0), "{key:?}");
    }
    in_order(&*store).await
}

/// By a recount, which corrects them.
pub async fn wrong_uses_are_found_and_corrected(store: Arc<dyn RunStore>) -> Result<()> {
    define(&*store, &[&calls("b", 9)]).await?;
    store.record_usage(&[call(None, "p", "m", 7)]).await?;
    let revision = store.recount().await?.revision;
    let used_as = |settled| BudgetUse { settled, ..BudgetUse::default() };
    let wrong = Pair { kept: used_as(1), counted: used_as(5) };
    let uses = vec![(key("b", ""), wrong)];
    let wrong = UsageCorrection { uses, ..UsageCorrection::default() };
    present(store.correct_usage(revision, Arc::new(wrong)).await?)?;
    let found = store.recount().await?.differences();
    let found: Vec<_> = found.iter().map(|wrong| (wrong.of.as_str(), wrong.kept)).collect();
    assert_eq!(found, [(format!("budget b {}", day()).as_str(), 5)]);
    store.rebuild_usage().await?;
    assert_eq!(used(&*store, &key("b", "")).await?, (1, 0));
    in_order(&*store).await
}

/// A new budget takes effect where calls are counted in Redis, too: the database counts until Redis is
/// built with it. Other limits need no rebuild.
pub async fn a_new_budget_ends_counting_in_redis(store: Arc<dyn RunStore>) -> Result<()> {
    let epoch = store.counter_epoch().await?;
    store.advance_counter_epoch(0, &epoch.next(CounterBackend::Redis, at(1))).await?;
    define(&*store, &[&calls("b", 9)]).await?;
    let after = store.counter_epoch().await?;
    assert_eq!((after.generation, after.backend), (2, CounterBackend::Database));
    assert!(after.budgets > 0 && after.reason.is_none());
    store.advance_counter_epoch(2, &after.next(CounterBackend::Redis, at(2))).await?;
    define(&*store, &[&calls("b", 8)]).await?;
    let same = store.counter_epoch().await?;
    assert_eq!((same.generation, same.backend), (3, CounterBackend::Redis));
    assert!(same.budgets > after.budgets);
    Ok(())
}

/// Reserves as soon as calls in flight, or a counter that is being built, are no longer in the way.
async fn reserve(on: &Counting, lease: &Lease) -> Result<Admission> {
    loop {
        match on.counter.reserve(lease, &Caps::default()).await? {
            Admission::Refused { in_flight: true, .. } => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            verdict => return Ok(verdict),
        }
    }
}

/// A call counts towards all that apply, in one step, and the first in order of id refuses.
pub async fn the_first_of_overlapping_budgets_refuses(on: Counting) -> Result<()> {
    let of_p = budget("a", (BudgetScope::Provider, "p"), BudgetUnit::Calls, 2);
    let each_agent = budget("b", (BudgetScope::Agent, "*"), BudgetUnit::Usd, 100);
    define(&*on.store, &[&of_p, &each_agent, &calls("c", 3)]).await?;
    let named = |verdict: Admission| match verdict {
        Admission::Refused { budget, .. } => budget.to_string(),
        Admission::Admitted { .. } => "admitted".to_owned(),
    };
    let of_agent = |agent: &str, provider: &str, nanos| Lease {
        agent_id: Some(agent.into()),
        ..lease(provider, "m", nanos)
    };
    let mut ends = Vec::new();
    for (expected, call) in [
        ("admitted", of_agent("1", "p", 90)),
        ("b", of_agent("1", "p", 11)),
        ("admitted", of_agent("Amélie", "p", 90)),
        ("a", of_agent("Amélie", "p", 11)),
        ("b", of_agent("Ame\u{301}lie", "q", 11)),
        ("admitted", of_agent("3", "q", 90)),
        ("c", of_agent("Bob", "q", 1)),
    ] {
        assert_eq!(named(reserve(&on, &call).await?), expected, "{call:?}");
        if expected == "admitted" {
            on.counter.settle(&settled(&call, 90)).await?;
            ends.push(call);
        }
    }
    let keys = [key("a", "p"), key("b", "Amélie"), key("c", "")];
    let uses = on.counter.budget_uses(&keys).await?;
    let spent = |key: &UseKey| uses.get(key).map(|used| (used.settled, used.reserved));
    assert_eq!(keys.each_ref().map(spent), [Some((2, 0)), Some((90, 0)), Some((3, 0))]);
    in_order(&*on.store).await
}

/// However many callers reserve at once, no budget is exceeded by one call. What is left can be used.
pub async fn concurrent_reservations_never_cross_a_budget(on: Counting) -> Result<()> {
    let each_run = Budget {
        window: BudgetWindow::Run,
        ..budget("each-run", (BudgetScope::Run, "*"), BudgetUnit::Calls, 20)
    };
    let tokens = budget("tokens", (BudgetScope::Provider, "*"), BudgetUnit::Tokens, 40 * 15);
    define(&*on.store, &[&calls("all", 50), &each_run, &tokens]).await?;
    let on = Arc::new(on);
    let mut callers = Vec::new();
    for caller in 0..12 {
        let on = Arc::clone(&on);
        callers.push(tokio::spawn(async move {
            for round in 0..12 {
                let run_id = Some(format!("run-{}", (caller + round) % 4));
                let provider = if (caller * round) % 3 == 0 { "p" } else { "q" };
                let lease = Lease { run_id, ..lease(provider, "m", 5) };
                let Admission::Admitted { .. } = reserve(&on, &lease).await? else { continue };
                match round % 3 {
                    0 => on.counter.release(lease.id).await?,
                    _ => {
                        let row = settled(&lease, 5);
                        let row = UsageRow { input_tokens: 10, output_tokens: 5, ..row };
                        on.counter.settle(&row).await?;
                    }
                }
            }
            Ok::<(), Error>(())
        }));
    }
    for caller in callers {
        joined(caller).await??;
    }
    let all = on.store.day_totals(day()).await?;
    assert_eq!((all.calls_total, all.cost), (50, NanoUsd(250)), "what is left can be used");
    let runs: Vec<_> = (0..4).map(|run| format!("run-{run}")).collect();
    for (run_id, totals) in on.store.llm_totals_by_run(&runs).await? {
        assert!(totals.calls <= 20, "{run_id}: {totals:?}");
    }
    for part in ["p", "q"] {
        let (spent, reserved) = used(&*on.store, &key("tokens", part)).await?;
        assert!(spent <= 600 && reserved == 0, "{part}: {spent} {reserved}");
    }
    in_order(&*on.store).await
}
