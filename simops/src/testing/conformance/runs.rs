//! The run registry.

use std::sync::Arc;

use super::samples::{at, commit, commit_run, run};
use crate::Result;
use crate::run::{AtLimit, EndedBy, Labels, RunClass, RunLimits, RunMode, RunRecord};
use crate::store::{RunFilter, RunStore};
use crate::usage::NanoUsd;

fn labels(labels: &[(&str, &str)]) -> Labels {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Every field is read as it was written.
pub async fn every_field_of_a_run_is_kept(store: Arc<dyn RunStore>) -> Result<()> {
    let text = |text: &str| Some(text.to_owned());
    let full = RunRecord {
        run_id: "full".to_owned(),
        mode: RunMode::Real,
        protocol_version: "protocol_v2".to_owned(),
        condition_name: text("condition"),
        hypothesis_id: text("hypothesis"),
        season_id: text("season"),
        season_number: Some(3),
        parent_run_id: text("parent"),
        group_id: text("group"),
        labels: labels(&[("seed", "3"), ("model", "größer: 10 %")]),
        transfer_policy_version: text("policy"),
        epoch_id: text("epoch"),
        run_class: RunClass::SpecialExploratory,
        mirror_control_run_id: text("mirror"),
        carryover_agent_count: Some(0),
        fresh_agent_count: Some(7),
        protocol_deviation: true,
        deviation_reason: text("two\nlines"),
        world_epoch: Some(12),
        started_at: at(1),
        started_by: "ada".to_owned(),
        start_reason: text("to see"),
        ended_at: Some(at(2)),
        end_reason: text("seen"),
        ended_by: Some(EndedBy::WorldReset),
        host: text("commons"),
        world: text("main"),
        paused: true,
        gate_generation: 9,
        open_since: Some(at(3)),
        open_before_ms: 1_234,
        limits: Some(RunLimits {
            max_usd: Some(NanoUsd(1_000_000_001)),
            max_calls: Some(7),
            at_limit: AtLimit::Stop,
            ..RunLimits::default()
        }),
        limit_reached: text("max_calls"),
    };
    for run in [
        full.clone(),
        RunRecord {
            run_id: "deep".to_owned(),
            run_class: RunClass::Deep96h,
            ended_by: Some(EndedBy::Operator),
            ..full.clone()
        },
        RunRecord { run_id: "guarded".to_owned(), ended_by: Some(EndedBy::Guardrail), ..full },
        run("bare"),
    ] {
        commit_run(&*store, &run).await?;
        assert_eq!(store.run(&run.run_id).await?.as_ref(), Some(&run));
        assert_eq!(store.load().await?.run, Some(run));
    }
    Ok(())
}

/// Pages are newest first, without gaps or duplicates.
pub async fn runs_are_listed_newest_first_in_pages(store: Arc<dyn RunStore>) -> Result<()> {
    for number in 0..5 {
        let run = run(&format!("run-{number}")).ended(at(1), EndedBy::Operator, "");
        commit_run(&*store, &run).await?;
    }
    let mut listed = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.runs(&RunFilter::page(cursor, 2)).await?;
        assert!(page.items.len() <= 2);
        listed.extend(page.items.into_iter().map(|run| run.run_id));
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(listed, ["run-4", "run-3", "run-2", "run-1", "run-0"]);
    let all = store.runs(&RunFilter::page(None, 5)).await?;
    assert_eq!((all.items.len(), all.next), (5, None));
    Ok(())
}

/// Runs are found by group and by any number of labels, in pages, newest first. A run that is stored
/// again is found as before.
pub async fn runs_are_found_by_group_and_labels(store: Arc<dyn RunStore>) -> Result<()> {
    let mut all = Vec::new();
    for number in 0..24_u32 {
        let (seed, model) = ((number % 3).to_string(), ["a", "A", "a b", "%"][number as usize % 4]);
        let mut run = run(&format!("run-{number}")).ended(at(1), EndedBy::Operator, "");
        run.group_id = [None, Some("g"), Some("G")][number as usize % 3].map(str::to_owned);
        run.labels = labels(&[("seed", &seed), ("model", model)]);
        if number % 5 == 0 {
            run.labels.clear();
        }
        commit_run(&*store, &run).await?;
        all.insert(0, run);
    }
    let again = RunRecord { end_reason: Some("again".to_owned()), ..all[3].clone() };
    commit(&*store, |change| change.runs = vec![again.clone()]).await?;
    all[3] = again;
    let filters = [
        (None, &[][..]),
        (Some("g"), &[]),
        (Some("none"), &[]),
        (None, &[("seed", "1")]),
        (None, &[("seed", "1"), ("model", "a")]),
        (None, &[("model", "%"), ("seed", "2")]),
        (Some("g"), &[("seed", "1")]),
        (Some("g"), &[("seed", "2")]),
        (None, &[("model", "a"), ("model", "A")]),
        (None, &[("Seed", "1")]),
        (None, &[("seed", "3")]),
    ];
    for (group, wanted) in filters {
        let mut filter = RunFilter {
            group_id: group.map(str::to_owned),
            labels: wanted.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            before: None,
            limit: 3,
        };
        let expected: Vec<_> = all.iter().filter(|run| filter.matches(run)).collect();
        let mut found = Vec::new();
        loop {
            let page = store.runs(&filter).await?;
            assert!(page.items.len() <= 3);
            found.extend(page.items);
            filter.before = page.next;
            if filter.before.is_none() {
                break;
            }
        }
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{group:?} {wanted:?}");
    }
    Ok(())
}

/// A replaced record keeps its position in the list.
pub async fn a_replaced_run_keeps_its_place(store: Arc<dyn RunStore>) -> Result<()> {
    for name in ["first", "second"] {
        commit_run(&*store, &run(name).ended(at(1), EndedBy::Guardrail, "")).await?;
    }
    let reopened = run("first");
    commit(&*store, |change| change.runs = vec![reopened.clone()]).await?;
    let page = store.runs(&RunFilter::page(None, 10)).await?;
    assert_eq!(page.items.iter().map(|run| &run.run_id).collect::<Vec<_>>(), ["second", "first"]);
    assert_eq!(store.run("first").await?, Some(reopened));
    Ok(())
}

/// A run is found only by its exact id.
pub async fn an_unknown_run_is_none(store: Arc<dyn RunStore>) -> Result<()> {
    commit_run(&*store, &run("run")).await?;
    for name in ["", "RUN", "run ", "ru", "run%"] {
        assert_eq!(store.run(name).await?, None, "{name:?}");
    }
    Ok(())
}
