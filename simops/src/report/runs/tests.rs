//! Rows and summaries of several runs.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::usage::NanoUsd;

fn measured(run_id: &str, condition: Option<&str>, seed: &str, cost: i64) -> MeasuredRun {
    let started_at = Timestamp::UNIX_EPOCH;
    let until = started_at + SignedDuration::from_secs(60);
    MeasuredRun {
        run: RunRecord {
            run_id: run_id.to_owned(),
            condition_name: condition.map(str::to_owned),
            labels: Labels::from([("seed".to_owned(), seed.to_owned())]),
            started_at,
            ended_at: (seed != "open").then_some(until),
            ..RunRecord::default()
        },
        until,
        calls: CallTotals {
            calls: 10,
            success_calls: 7,
            cost: NanoUsd(cost * 1_000_000_000),
            ..CallTotals::default()
        },
        activity: ActivitySummary::of(&[], None),
        society: Emergence::default(),
        is_reported: seed != "open",
    }
}

fn report(by: &SummaryBy, measured: &[MeasuredRun]) -> RunsReport {
    RunsReport::of(SelectedRuns::default(), by, measured, Timestamp::UNIX_EPOCH)
}

fn metric<'a>(summary: &'a RunsSummary, name: &str) -> &'a MetricSummary {
    summary.metrics.iter().find(|metric| metric.metric == name).unwrap()
}

#[test]
fn runs_are_summarised_by_condition() {
    let runs = [
        measured("a", Some("warm"), "1", 1),
        measured("b", Some("cold"), "1", 5),
        measured("c", Some("warm"), "2", 3),
        measured("d", None, "open", 7),
    ];
    let report = report(&SummaryBy::Condition, &runs);
    assert_eq!((report.by.as_str(), report.is_final), ("condition_name", false));
    let values: Vec<_> = report.summaries.iter().map(|of| (of.value.as_deref(), of.runs)).collect();
    assert_eq!(values, [(Some("cold"), 1), (Some("warm"), 2), (None, 1)]);
    let cost = metric(&report.summaries[1], "cost_usd");
    assert_eq!((cost.n, cost.mean, cost.min, cost.max), (2, Some(2.0), Some(1.0), Some(3.0)));
    assert!((cost.std_dev.unwrap() - 2_f64.sqrt()).abs() < 1e-12);
    // One degree of freedom: t is 12.706, and the standard error 1.
    assert!((cost.ci95_low.unwrap() - (2.0 - 12.706)).abs() < 1e-9);
    assert!((cost.ci95_high.unwrap() - (2.0 + 12.706)).abs() < 1e-9);
    let single = metric(&report.summaries[0], "cost_usd");
    assert_eq!((single.mean, single.std_dev, single.ci95_low), (Some(5.0), None, None));
    let failed = metric(&report.summaries[1], "failed_calls");
    assert_eq!((failed.mean, failed.std_dev), (Some(3.0), Some(0.0)));
    // What the records do not contain has no value, and is not counted as 0.
    let unknown = metric(&report.summaries[1], "inequality_gini");
    assert_eq!((unknown.n, unknown.mean, unknown.max), (0, None, None));
    let edges = |summary: &RunsSummary| metric(summary, "coalition_edges").n;
    assert_eq!((edges(&report.summaries[1]), edges(&report.summaries[2])), (2, 0));
    assert_eq!(report.summaries[2].open, 1);
}

#[test]
fn values_of_a_label_are_in_the_order_of_numbers() {
    let seeds = ["10", "9", "x", "0.5", "9", "a"];
    let runs: Vec<_> = seeds.iter().map(|seed| measured(seed, None, seed, 1)).collect();
    let records: Vec<_> = runs.iter().map(|of| of.run.clone()).collect();
    let by = SummaryBy::of(Some("seed"), &records).unwrap();
    let report = report(&by, &runs);
    assert_eq!(report.by, "label.seed");
    let values: Vec<_> = report.summaries.iter().map(|of| of.value.clone().unwrap()).collect();
    assert_eq!(values, ["0.5", "9", "10", "a", "x"]);
    let error = SummaryBy::of(Some("size"), &records).unwrap_err();
    assert_eq!(error.fields()[0].field, "by");
    assert!(error.fields()[0].message.ends_with(": seed"), "{error}");
    assert_eq!(SummaryBy::of(Some(" "), &records).unwrap(), SummaryBy::Condition);
}

#[test]
fn csv_has_a_line_per_run_and_starts_no_formula() {
    let mut runs = vec![measured("a", Some("warm"), "1", 1), measured("b", None, "=1+1,2", 2)];
    runs[1].run.labels.insert("model".to_owned(), "x \"y\"".to_owned());
    runs[0].run.end_reason = Some("@SUM(A1)\nnext".to_owned());
    let report = report(&SummaryBy::Label("seed".to_owned()), &runs);
    let text = report.csv();
    let header = text.lines().next().unwrap();
    assert!(
        header.starts_with(
            "run_id,group_id,mode,condition_name,label.model,label.seed,started_at,ended_at,\
             end_reason,final,duration_seconds,cost_usd,"
        ),
        "{header}"
    );
    assert_eq!(header.split(',').count(), 10 + METRICS.len());
    assert!(text.contains("\na,,test,warm,,1,1970-"), "{text}");
    assert!(text.contains("\"'@SUM(A1)\nnext\",true,60,1,10,3,"), "{text}");
    assert!(text.contains("\nb,,test,,\"x \"\"y\"\"\",\"'=1+1,2\",1970-"), "{text}");
    let summary = report.summary_csv();
    assert_eq!(summary.lines().count(), 1 + 2 * METRICS.len());
    assert!(summary.starts_with("label.seed,runs,open,metric,n,mean,std_dev,"), "{summary}");
    assert!(summary.contains("\n1,1,0,cost_usd,1,1,,,,1,1\n"), "{summary}");
    assert!(summary.contains("\n\"'=1+1,2\",1,0,calls,1,10,"), "{summary}");
}

#[test]
fn the_table_shows_means_with_their_deviations() {
    let runs = [measured("a", Some("warm"), "1", 1), measured("b", Some("warm"), "2", 2)];
    let table = report(&SummaryBy::Condition, &runs).table();
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[2].starts_with("condition_name  runs"), "{table}");
    assert!(lines[3].starts_with("warm"), "{table}");
    assert!(lines[3].contains("1.5 ± 0.7071"), "{table}");
    assert_eq!(lines.len(), 4);
}

proptest! {
    #[test]
    fn every_run_is_in_one_summary_and_means_lie_within_their_intervals(
        runs in prop::collection::vec((0..4_u8, 0..1_000_i64), 1..40),
    ) {
        let runs: Vec<_> = runs.iter().enumerate().map(|(n, (condition, cost))| {
            let condition = (*condition > 0).then(|| condition.to_string());
            measured(&format!("r{n}"), condition.as_deref(), "1", *cost)
        }).collect();
        let report = report(&SummaryBy::Condition, &runs);
        prop_assert_eq!(report.items.len(), runs.len());
        let counted: i64 = report.summaries.iter().map(|of| of.runs).sum();
        prop_assert_eq!(usize::try_from(counted).unwrap(), runs.len());
        for summary in &report.summaries {
            let cost = metric(summary, "cost_usd");
            let mean = cost.mean.unwrap();
            prop_assert!(cost.min.unwrap() <= mean + 1e-9 && mean <= cost.max.unwrap() + 1e-9);
            prop_assert_eq!(cost.n, summary.runs);
            if let (Some(low), Some(high)) = (cost.ci95_low, cost.ci95_high) {
                prop_assert!(low <= mean + 1e-9 && mean <= high + 1e-9);
            }
        }
    }
}
