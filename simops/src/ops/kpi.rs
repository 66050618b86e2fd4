//! What visitors do: recording it, and what is shown of it.

use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use super::{AlertNotification, Ops, bounded};
use crate::Result;
use crate::alert::{Evaluation, evaluate};
use crate::clock::day_of;
use crate::execute::compared_days;
use crate::kpi::recount::KpiDifference;
use crate::kpi::{KpiEvent, MAX_LATE_DAYS, Rollup, Summary};

/// `POST kpi/events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KpiRecorded {
    /// True.
    pub ok: bool,
    /// Events that were new.
    pub accepted: u64,
    /// Events that were recorded before.
    pub duplicates: u64,
}

/// `GET kpi/rollups`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KpiRollups {
    /// How many days were asked for.
    pub days: i64,
    /// When this was computed.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub generated_at: Timestamp,
    /// The latest day, and what days are compared with.
    pub summary: Summary,
    /// What calls for a person.
    pub alerts: Evaluation,
    /// Whether people are told of what is critical.
    pub alert_notification: AlertNotification,
    /// The days, newest first: today, which is not over, and those before; also days without events.
    pub items: Vec<Rollup>,
}

/// Whether the sums kept equal the events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedKpi {
    /// Whether all do.
    pub ok: bool,
    /// Events counted.
    pub events: u64,
    /// Events that `prune` deleted, counted by what was kept of them.
    pub pruned: u64,
    /// Days with an event or a sum.
    pub days: usize,
    /// Visitors' days whose kept steps are wrong.
    pub wrong_steps: u64,
    /// The sums that are wrong.
    pub differences: Vec<KpiDifference>,
}

/// What a rebuild of the sums put right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RebuiltKpi {
    /// True.
    pub ok: bool,
    /// Events counted.
    pub events: u64,
    /// Events that `prune` deleted, counted by what was kept of them.
    pub pruned: u64,
    /// Days with an event.
    pub days: usize,
    /// Visitors' days whose kept steps were wrong.
    pub wrong_steps: u64,
    /// The sums that were wrong, as they were and as they are now.
    pub repaired: Vec<KpiDifference>,
}

impl Ops {
    /// Records events of visitors, all or none; durable when this returns.
    ///
    /// # Errors
    /// `Unavailable` when the store is away or too much waits for it. Those with an `event_uid` may
    /// be sent again without counting twice.
    pub async fn record_kpi(&self, events: &[KpiEvent]) -> Result<KpiRecorded> {
        let accepted = self.store.record_kpi(events).await?;
        if accepted > 0 {
            self.kpi_recorded.notify_one();
        }
        Ok(KpiRecorded { ok: true, accepted, duplicates: events.len() as u64 - accepted })
    }

    /// The last `days` days, and what calls for a person.
    ///
    /// # Errors
    /// `Invalid` for days outside 1 to 90.
    pub async fn kpi_rollups(&self, days: i64) -> Result<KpiRollups> {
        let shown = bounded("days", days, MAX_LATE_DAYS)?;
        let now = self.clock.now();
        let today = day_of(now);
        let sums = compared_days(&*self.store, today, days).await?;
        let alerts = Evaluation::of(&evaluate(&self.options.alerts.rules, &sums, today));
        let alert_notification = self.notification(&alerts, now).await?;
        let shown = (0..).map_while(|back: i64| today.checked_sub(back.days()).ok()).take(shown);
        Ok(KpiRollups {
            days,
            generated_at: now,
            summary: Summary::of(&sums, today),
            alerts,
            alert_notification,
            items: shown
                .map(|day| Rollup::of(day, &sums.get(&day).copied().unwrap_or_default(), today))
                .collect(),
        })
    }

    /// Counts all events anew and compares that with the sums kept.
    ///
    /// # Errors
    /// Of the store.
    pub async fn verify_kpi(&self) -> Result<VerifiedKpi> {
        let recount = self.store.recount_kpi().await?;
        let differences = recount.differences();
        Ok(VerifiedKpi {
            ok: differences.is_empty() && recount.wrong_steps == 0,
            events: recount.events,
            pruned: recount.pruned,
            days: recount.days(),
            wrong_steps: recount.wrong_steps,
            differences,
        })
    }

    /// Counts anew and puts every sum right, in one transaction.
    ///
    /// # Errors
    /// `Forbidden` when the write gate is closed.
    pub async fn rebuild_kpi(&self) -> Result<RebuiltKpi> {
        self.check_writable()?;
        let found = self.store.rebuild_kpi().await?;
        Ok(RebuiltKpi {
            ok: true,
            events: found.events,
            pruned: found.pruned,
            days: found.counted.len(),
            wrong_steps: found.wrong_steps,
            repaired: found.differences(),
        })
    }
}
