//! The usage ledger.

use std::sync::Arc;

use jiff::civil::date;
use jiff::{SignedDuration, Timestamp, ToSpan};
use uuid::Uuid;

use super::counting::lease;
use super::joined;
use super::samples::{at, call, day};
use crate::Result;
use crate::event::EventWindow;
use crate::recount::RecountExt;
use crate::store::{ActivityScope, FailureCounts, LogTable, PruneCutoff, RunStore, UsageFilter};
use crate::testing::Counting;
use crate::testing::history::change_budgets;
use crate::testing::{History, MemoryStore, replay};
use crate::usage::series::Bucket;
use crate::usage::{
    Budget, BudgetChange, BudgetScope, BudgetUnit, BudgetWindow, CallTally, CallTotals, Caps,
    DayTotals, Lease, NanoUsd, UsageRow, UseKey,
};

fn of_run(run_id: &str) -> ActivityScope {
    ActivityScope::Run(run_id.to_owned())
}

/// Free routes by the end of the model's name, Groq and Gemini by provider; other days apart.
pub async fn a_day_is_summed_by_provider(store: Arc<dyn RunStore>) -> Result<()> {
    let tomorrow = day().saturating_add(1.day());
    let next_day = UsageRow { day: tomorrow, ..call(None, "groq", "m", 1_000) };
    store
        .record_usage(&[
            call(None, "openrouter", "a/b:free", 1),
            call(None, "openrouter", "a/b:freed", 2),
            call(Some("run"), "groq", "llama", 4),
            call(Some("run"), "gemini", "flash:free", 8),
            call(None, "mistral", "groq", 16),
            next_day,
        ])
        .await?;
    let expected = DayTotals {
        calls_total: 5,
        calls_openrouter_free: 2,
        calls_groq: 1,
        calls_gemini: 1,
        calls_unpriced: 0,
        cost: NanoUsd(31),
    };
    assert_eq!(store.day_totals(day()).await?, expected);
    assert_eq!(store.day_totals(tomorrow).await?.cost, NanoUsd(1_000));
    assert_eq!(store.day_totals(day().saturating_sub(1.day())).await?, DayTotals::default());
    Ok(())
}

/// A row's id counts once, whether it is repeated later or in the same call.
pub async fn a_row_is_recorded_once(store: Arc<dyn RunStore>) -> Result<()> {
    let (first, second) = (call(Some("run"), "groq", "m", 5), call(Some("run"), "groq", "m", 7));
    store.record_usage(std::slice::from_ref(&first)).await?;
    let changed = UsageRow { cost: NanoUsd(1_000), ..first.clone() };
    store.record_usage(&[changed, second.clone(), second, first]).await?;
    store.record_usage(&[]).await?;
    let totals = store.day_totals(day()).await?;
    assert_eq!((totals.calls_total, totals.cost), (2, NanoUsd(12)));
    assert_eq!(store.llm_totals(&of_run("run")).await?.calls, 2);
    let since = store.llm_totals(&ActivityScope::Since(at(0))).await?;
    assert_eq!((since.calls, since.total_tokens), (2, 240));
    Ok(())
}

/// Calls, answers, degraded calls, tokens and cost of the run alone.
pub async fn a_run_is_summed(store: Arc<dyn RunStore>) -> Result<()> {
    let failed = UsageRow {
        success: false,
        error_type: Some("timeout".to_owned()),
        output_tokens: 0,
        ..call(Some("one"), "groq", "m", 0)
    };
    let degraded = UsageRow { fallback_used: true, ..call(Some("one"), "groq", "m", 250_000_000) };
    store
        .record_usage(&[
            call(Some("one"), "groq", "m", 500_000_000),
            call(Some("two"), "groq", "m", 1),
            call(None, "groq", "m", 1),
        ])
        .await?;
    store.record_usage(&[failed, degraded]).await?;
    let expected = CallTotals {
        calls: 3,
        success_calls: 2,
        fallback_calls: 1,
        total_tokens: 340,
        cost: NanoUsd(750_000_000),
    };
    assert_eq!(store.llm_totals(&of_run("one")).await?, expected);
    assert_eq!(store.llm_totals(&of_run("three")).await?, CallTotals::default());
    Ok(())
}

/// They are in the ledger and among the failures, but in no sum and no budget, also once they are deleted.
pub async fn calls_that_were_not_sent_use_up_nothing(store: Arc<dyn RunStore>) -> Result<()> {
    let budget = Budget {
        id: "calls".to_owned(),
        scope: BudgetScope::Deployment,
        key: String::new(),
        window: BudgetWindow::Lifetime,
        unit: BudgetUnit::Calls,
        soft: None,
        hard: Some(60),
        since: date(1970, 1, 1),
        counted: false,
        defined: 0,
    };
    change_budgets(&*store, vec![BudgetChange::Put(budget)], Vec::new()).await?;
    let unsent = UsageRow {
        sent: false,
        success: false,
        error_type: Some("circuit_open".to_owned()),
        ..call(Some("run"), "groq", "m:free", 7)
    };
    let sent = call(Some("run"), "groq", "m", 5);
    let before = [UsageRow { id: Uuid::now_v7(), ..unsent.clone() }, sent];
    store.record_usage(&before).await?;
    // Real figures replace those of an expired lease: the call was not sent after all.
    let expired = UsageRow {
        error_type: Some("lease_expired".to_owned()),
        success: false,
        ..call(Some("run"), "groq", "m:free", 9)
    };
    store.record_usage(std::slice::from_ref(&expired)).await?;
    assert_eq!(store.day_totals(day()).await?.calls_total, 2);
    store.record_usage(&[UsageRow { id: expired.id, ..unsent }]).await?;

    let key = UseKey { budget: "calls".to_owned(), period: String::new(), part: String::new() };
    for pruned in [false, true] {
        if pruned {
            let old = PruneCutoff { before: at(1), except_run: None };
            store
                .record_usage(&[UsageRow { created_at: at(1), ..call(None, "p", "m", 0) }])
                .await?;
            assert_eq!(store.prune(LogTable::Ledger, &old, 10).await?, 3);
        }
        let others = i64::from(pruned);
        let day = store.day_totals(day()).await?;
        assert_eq!((day.calls_total, day.calls_groq), (1 + others, 1));
        assert_eq!((day.calls_openrouter_free, day.cost), (0, NanoUsd(5)));
        let run = store.llm_totals(&of_run("run")).await?;
        assert_eq!((run.calls, run.success_calls, run.total_tokens), (1, 1, 120));
        let uses = store.budget_uses(std::slice::from_ref(&key)).await?;
        assert_eq!(uses.get(&key).map(|used| used.settled), Some(1 + others));
        assert_eq!(store.recount().await?.differences(), []);
        if !pruned {
            let since = store.llm_totals(&ActivityScope::Since(at(0))).await?;
            assert_eq!((since.calls, since.cost), (1, NanoUsd(5)));
            let all = EventWindow { after: at(-1), until: at(10) };
            let tallies = store.tally_calls(Some("run"), all).await?;
            let open: Vec<_> = tallies.iter().filter(|tally| !tally.class.success).collect();
            assert_eq!(
                open.iter().map(|tally| (tally.calls, tally.unsent_calls)).collect::<Vec<_>>(),
                [(0, 2)]
            );
            assert_eq!(tallies.iter().map(|tally| (tally.calls, tally.cost.0)).max(), Some((1, 5)));
            let failures = store.failure_window("run", at(-1)).await?;
            assert_eq!(failures, FailureCounts { failed: 2, calls: 3 });
            let listed = store.usage_rows(&UsageFilter::default(), 10).await?.items;
            assert_eq!(listed.iter().filter(|row| !row.sent).count(), 2);
        }
    }
    Ok(())
}

/// Of any run or none, from that time on, whatever day they count for.
pub async fn calls_since_a_time_are_summed(store: Arc<dyn RunStore>) -> Result<()> {
    let mut rows = Vec::new();
    for (seconds, run_id) in [(0, Some("one")), (10, Some("two")), (20, None)] {
        rows.push(UsageRow { created_at: at(seconds), ..call(run_id, "groq", "m", 1_000_000) });
    }
    store.record_usage(&rows).await?;
    let totals = store.llm_totals(&ActivityScope::Since(at(10))).await?;
    let expected = CallTotals {
        calls: 2,
        success_calls: 2,
        fallback_calls: 0,
        total_tokens: 240,
        cost: NanoUsd(2_000_000),
    };
    assert_eq!(totals, expected);
    assert_eq!(store.llm_totals(&ActivityScope::Since(at(21))).await?, CallTotals::default());
    Ok(())
}

/// Sums no float could hold.
pub async fn money_is_exact(store: Arc<dyn RunStore>) -> Result<()> {
    // 2^53 + 1 is the first whole number that a float skips.
    let odd = 9_007_199_254_740_993;
    store.record_usage(&[call(None, "p", "m", odd), call(None, "p", "m", 1)]).await?;
    store.record_usage(&[call(None, "p", "m", 1)]).await?;
    assert_eq!(store.day_totals(day()).await?.cost, NanoUsd(odd + 2));
    Ok(())
}

/// A provider that reports nonsense spoils no ledger.
pub async fn sums_stop_at_the_greatest_number(store: Arc<dyn RunStore>) -> Result<()> {
    for _ in 0..2 {
        let absurd = UsageRow {
            input_tokens: i64::MAX,
            output_tokens: i64::MAX,
            ..call(Some("run"), "p", "m", i64::MAX)
        };
        store.record_usage(&[absurd]).await?;
    }
    let totals = store.day_totals(day()).await?;
    assert_eq!((totals.calls_total, totals.cost), (2, NanoUsd(i64::MAX)));
    for scope in [of_run("run"), ActivityScope::Since(at(0))] {
        let totals = store.llm_totals(&scope).await?;
        assert_eq!((totals.calls, totals.total_tokens), (2, i64::MAX));
    }
    Ok(())
}

/// The run's calls after a time, those at that very time left out, and how many failed.
pub async fn failures_are_counted_in_the_trailing_window(store: Arc<dyn RunStore>) -> Result<()> {
    let mut rows = Vec::new();
    for (seconds, run_id, success) in [
        (0, Some("one"), false),
        (10, Some("one"), false),
        (11, Some("one"), false),
        (12, Some("one"), true),
        (13, Some("two"), false),
        (14, None, false),
    ] {
        rows.push(UsageRow { created_at: at(seconds), success, ..call(run_id, "groq", "m", 0) });
    }
    store.record_usage(&rows).await?;
    let window = |failed, calls| FailureCounts { failed, calls };
    assert_eq!(store.failure_window("one", at(10)).await?, window(1, 2));
    assert_eq!(store.failure_window("one", at(-1)).await?, window(3, 4));
    assert_eq!(store.failure_window("one", at(12)).await?, window(0, 0));
    assert_eq!(store.failure_window("three", at(0)).await?, window(0, 0));
    Ok(())
}

/// Per provider and step, from that time on, of a run or of all; steps begin at whole multiples of their length.
pub async fn calls_are_counted_along_time(store: Arc<dyn RunStore>) -> Result<()> {
    let mut rows = Vec::new();
    for (seconds, provider, success, cost) in [
        (-1, "groq", true, 1),
        (0, "groq", true, 2),
        (59, "groq", false, 4),
        (60, "groq", true, 8),
        (61, "gemini", false, 0),
        (200, "groq", true, i64::MAX),
        (201, "groq", true, i64::MAX),
    ] {
        let (created_at, run_id) = (at(seconds), (cost == 4).then_some("one"));
        rows.push(UsageRow { created_at, success, ..call(run_id, provider, "m", cost) });
    }
    store.record_usage(&rows).await?;
    let bucket = |seconds, provider: &str, calls, failed, cost| Bucket {
        at: Timestamp::from_second(at(seconds).as_second()).unwrap_or_default(),
        provider: provider.to_owned(),
        calls,
        failed,
        cost: NanoUsd(cost),
    };
    let minute = SignedDuration::from_secs(60);
    let minutes = store.usage_series(None, at(0), minute).await?;
    let expected = [
        bucket(0, "groq", 2, 1, 6),
        bucket(60, "gemini", 1, 1, 0),
        bucket(60, "groq", 1, 0, 8),
        bucket(180, "groq", 2, 0, i64::MAX),
    ];
    assert_eq!(minutes, expected);
    // What was recorded before `since` is left out even when its step is not.
    let hour = SignedDuration::from_secs(3_600);
    let late = store.usage_series(None, at(60), hour).await?;
    assert_eq!(late, [bucket(0, "gemini", 1, 1, 0), bucket(0, "groq", 3, 0, i64::MAX)]);
    let one = store.usage_series(Some("one"), at(0), minute).await?;
    assert_eq!(one, [bucket(0, "groq", 1, 1, 4)]);
    assert!(store.usage_series(None, at(202), minute).await?.is_empty());
    Ok(())
}

/// By provider, model and outcome, in (after, until], of a run or of any.
pub async fn calls_of_a_window_are_tallied_by_class(store: Arc<dyn RunStore>) -> Result<()> {
    let made = |seconds: i64, run_id, provider: &str, cost| UsageRow {
        created_at: at(seconds),
        ..call(run_id, provider, "m", cost)
    };
    let failed = |row: UsageRow, what: &str| UsageRow {
        success: false,
        error_type: Some(what.to_owned()),
        ..row
    };
    store
        .record_usage(&[
            made(1, Some("one"), "groq", 1),
            made(2, Some("one"), "groq", 10),
            UsageRow { fallback_used: true, ..made(3, Some("one"), "groq", 100) },
            failed(made(3, Some("one"), "groq", 0), "timeout"),
            UsageRow { priced: false, ..made(4, None, "gemini", 1_000) },
            made(5, Some("one"), "groq", 10_000),
            made(4, Some("two"), "groq", i64::MAX),
        ])
        .await?;
    let window = |after, until| EventWindow { after: at(after), until: at(until) };
    let shown = |tallies: Vec<CallTally>| {
        let figures = |t: CallTally| {
            (t.class.provider, t.class.error_type, t.calls, t.fallback_calls, t.cost.0)
        };
        tallies.into_iter().map(figures).collect::<Vec<_>>()
    };
    let groq = |error: Option<&str>, calls, fallback, cost| {
        ("groq".to_owned(), error.map(str::to_owned), calls, fallback, cost)
    };
    let of_one = store.tally_calls(Some("one"), window(1, 4)).await?;
    assert!(of_one.iter().all(|tally| tally.class.success == tally.class.error_type.is_none()));
    assert_eq!(shown(of_one), [groq(Some("timeout"), 1, 0, 0), groq(None, 2, 1, 110)]);
    let any = store.tally_calls(None, window(1, 4)).await?;
    assert_eq!(any[0].unpriced_calls, 1);
    let gemini = ("gemini".to_owned(), None, 1, 0, 1_000);
    let expected = [gemini, groq(Some("timeout"), 1, 0, 0), groq(None, 3, 1, i64::MAX)];
    assert_eq!(shown(any), expected);
    assert_eq!(store.tally_calls(Some("three"), window(0, 9)).await?, []);
    assert_eq!(store.tally_calls(None, window(4, 1)).await?, []);
    Ok(())
}

/// No call is lost or counted twice, though each is written by two.
pub async fn concurrent_rows_are_all_counted(store: Arc<dyn RunStore>) -> Result<()> {
    let rows: Vec<_> = (0..32).map(|_| call(Some("run"), "gemini", "m", 3)).collect();
    let mut writers = Vec::new();
    for pair in rows.windows(2) {
        let (store, pair) = (Arc::clone(&store), pair.to_vec());
        writers.push(tokio::spawn(async move { store.record_usage(&pair).await }));
    }
    for writer in writers {
        joined(writer).await??;
    }
    let totals = store.day_totals(day()).await?;
    assert_eq!((totals.calls_total, totals.calls_gemini, totals.cost), (32, 32, NanoUsd(96)));
    assert_eq!(store.llm_totals(&of_run("run")).await?.calls, 32);
    Ok(())
}

/// Recording a row ends the lease of its id, as settling does.
pub async fn a_recorded_row_ends_its_lease(store: Arc<dyn RunStore>) -> Result<()> {
    let row = call(Some("run"), "groq", "m", 5);
    let lease = Lease { id: row.id, ..lease("groq", "m", 100) };
    store.reserve(&lease, &Caps::default()).await?;
    store.record_usage(std::slice::from_ref(&row)).await?;
    assert_eq!(store.open_leases().await?, []);
    assert_eq!(store.day_use(day()).await?.reserved, DayTotals::default());
    assert_eq!(store.expire(at(9_999)).await?, 0);
    assert_eq!(store.day_totals(day()).await?.cost, NanoUsd(5));
    Ok(())
}

/// Random histories give the outcomes, rows and sums of the memory store.
pub async fn a_random_history_of_a_store_equals_that_of_the_memory_store(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let memory = Arc::new(MemoryStore::new());
    let memory = Counting { counter: memory.clone(), store: memory };
    let store = Counting { counter: store.clone(), store };
    replay(History::new(2, at(0)).of_a_store(), 150, &[("memory", memory), ("the store", store)])
        .await
}

/// In the order in which they were written, those asked for, each once.
pub async fn rows_are_listed_in_pages(store: Arc<dyn RunStore>) -> Result<()> {
    let of = |run_id, seconds| UsageRow { created_at: at(seconds), ..call(run_id, "groq", "m", 1) };
    let rows = [of(Some("one"), 0), of(Some("two"), 1), of(Some("one"), 2), of(None, 3)];
    store.record_usage(&rows).await?;
    let mut filter = UsageFilter::default();
    let mut listed = Vec::new();
    loop {
        let page = store.usage_rows(&filter, 3).await?;
        listed.extend(page.items);
        filter.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(listed, rows);
    let since = UsageFilter { since: Some(at(2)), ..UsageFilter::default() };
    assert_eq!(store.usage_rows(&since, 9).await?.items, rows[2..]);
    let one = UsageFilter { run_id: Some("one".to_owned()), ..since };
    assert_eq!(store.usage_rows(&one, 9).await?.items, rows[2..3]);
    Ok(())
}
