//! Sums as Redis counts them: in sets, one for a day and one for each use of a budget.

use jiff::civil::Date;
use serde::Serialize;

use super::super::budget::Amounts;
use super::super::{
    Admission, Allotment, BudgetUse, Budgets, CallFacts, Caps, DayTotals, DayUse, Lease, Line,
    Refused, UseKey,
};
use crate::{Error, Result};

/// Scripts count in floats, which are exact up to here: about nine million dollars a day.
const MAX_AMOUNT: i64 = 1 << 53;

/// The name of the only sum of a use of a budget.
const AMOUNT: &str = "amount";

/// A set of sums, and the version of what is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SumSet {
    pub(super) name: String,
    pub(super) version: u64,
    /// Per sum its name, what is settled and what is reserved.
    pub(super) sums: Vec<(&'static str, i64, i64)>,
}

impl SumSet {
    pub(crate) fn of_day(day: Date, sums: &DayUse) -> Self {
        let (settled, reserved) = (numbers(&sums.settled), numbers(&sums.reserved));
        let sums_of = DayTotals::NAMES.into_iter().zip(settled).zip(reserved);
        Self {
            name: day.to_string(),
            version: sums.version,
            sums: sums_of.map(|((name, settled), reserved)| (name, settled, reserved)).collect(),
        }
    }

    pub(crate) fn of_use(key: &UseKey, sums: &BudgetUse) -> Self {
        Self {
            name: name_of(key),
            version: sums.version,
            sums: vec![(AMOUNT, within(sums.settled), within(sums.reserved))],
        }
    }
}

/// A use of a budget as the name of a set of sums.
pub(super) fn name_of(key: &UseKey) -> String {
    // None of the first two holds a bar.
    format!("use|{}|{}|{}", key.budget, key.period, key.part)
}

/// What one call meets and adds to.
pub(crate) struct Call<'l> {
    /// The sets that must be known.
    pub(super) sets: Vec<String>,
    /// The limits in order of id, each with the set and the name of its sum.
    pub(super) lines: Vec<(String, &'static str, Line<'l>)>,
    /// What the call adds to: set, name and amount.
    pub(super) adds: Vec<(String, &'static str, i64)>,
}

impl<'l> Call<'l> {
    /// A call below `caps` and `budgets`.
    pub(crate) fn of(lease: &Lease, caps: &Caps, budgets: &'l Budgets) -> Self {
        let (day, totals) = (lease.day.to_string(), lease.totals());
        let nothing = DayUse::default();
        let lines = caps.list();
        let lines = lines.iter().filter(|cap| cap.hard.is_some() || cap.soft.is_some());
        let mut lines: Vec<_> = lines
            .map(|cap| {
                let name = DayTotals::NAMES[cap.measure as usize];
                (day.clone(), name, cap.line(&nothing, &totals))
            })
            .collect();
        let (facts, amounts) = (CallFacts::of_lease(lease), Amounts::of_lease(lease));
        let mut sets = vec![day];
        for (budget, key) in budgets.uses(&facts) {
            let set = name_of(&key);
            lines.push((set.clone(), AMOUNT, budget.line(&key, BudgetUse::default(), &amounts)));
            sets.push(set);
        }
        lines.sort_by_key(|(_, _, line)| line.id);
        Self { sets, lines, adds: adds(lease, budgets) }
    }

    /// The refusal of the nth line: `kind` is 0 when its limit is spent, 1 when the call exceeds the
    /// whole limit, 2 when only what is reserved is in the way.
    pub(super) fn refusal(&self, line: usize, kind: i64) -> Option<Admission> {
        let (_, _, line) = self.lines.get(line)?;
        let reason = if kind == 1 { Refused::CallExceedsBudget } else { line.reason };
        let (budget, place) = (line.id.into(), line.place.as_str().into());
        Some(Admission::Refused { reason, budget, place, in_flight: kind == 2 })
    }
}

/// What a lease adds to the reserved sums of its sets.
fn adds(lease: &Lease, budgets: &Budgets) -> Vec<(String, &'static str, i64)> {
    let day = lease.day.to_string();
    let totals = numbers(&Allotment::of(lease).totals);
    let of_day = DayTotals::NAMES.into_iter().zip(totals);
    let mut adds: Vec<_> = of_day.map(|(name, amount)| (day.clone(), name, amount)).collect();
    for (key, amount) in budgets.amounts_of_lease(lease) {
        adds.push((name_of(&key), AMOUNT, within(amount)));
    }
    adds.retain(|(_, _, amount)| *amount > 0);
    adds
}

#[derive(Serialize)]
struct Written<'l> {
    // As text, so that no digit is lost.
    adds: Vec<(String, &'static str, String)>,
    lease: &'l Lease,
}

#[derive(serde::Deserialize)]
struct Read {
    lease: Lease,
}

/// A lease as the scripts read it, with what it adds.
pub(super) fn written(lease: &Lease, budgets: &Budgets) -> Result<String> {
    let adds = adds(lease, budgets).into_iter();
    let adds = adds.map(|(set, name, amount)| (set, name, amount.to_string())).collect();
    serde_json::to_string(&Written { adds, lease })
        .map_err(|error| Error::internal("a lease cannot be written").with_source(error))
}

pub(super) fn read(text: &str) -> Result<Lease> {
    let read: Read = serde_json::from_str(text)
        .map_err(|error| Error::internal("a lease in Redis cannot be read").with_source(error))?;
    Ok(read.lease)
}

pub(super) fn within(number: i64) -> i64 {
    number.clamp(0, MAX_AMOUNT)
}

fn numbers(totals: &DayTotals) -> [i64; 6] {
    totals.to_array().map(within)
}
