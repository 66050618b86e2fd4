//! KPI events of visitors, and their rollups.

use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use super::{AlertNotification, Ops, SystemWriter, Writer, bounded};
use crate::alert::{Evaluation, evaluate};
use crate::clock::day_of;
use crate::control::Write;
use crate::execute::compared_days;
use crate::kpi::recount::KpiDifference;
use crate::kpi::{KpiEvent, MAX_LATE_DAYS, Rollup, Summary};
use crate::recount::{Limits, OnProgress, recount_visits};
use crate::{Error, Result};

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
    /// The requested number of days.
    pub days: i64,
    /// When this was computed.
    pub generated_at: Timestamp,
    /// The latest day and the averages that days are compared with.
    pub summary: Summary,
    /// The alerts of now.
    pub alerts: Evaluation,
    /// Whether messages about critical alerts are sent.
    pub alert_notification: AlertNotification,
    /// The days, newest first, beginning with the current one; including days without events.
    pub items: Vec<Rollup>,
}

/// Whether the stored sums equal the events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedKpi {
    /// Whether all are equal.
    pub ok: bool,
    /// Events counted.
    pub events: u64,
    /// Events deleted by `prune`, whose sums are kept.
    pub pruned: u64,
    /// Days with an event or a sum.
    pub days: usize,
    /// Days of visitors whose stored steps are wrong.
    pub wrong_steps: u64,
    /// The sums that are wrong.
    pub differences: Vec<KpiDifference>,
}

/// The result of a rebuild of the sums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RebuiltKpi {
    /// True.
    pub ok: bool,
    /// Events counted.
    pub events: u64,
    /// Events deleted by `prune`, whose sums are kept.
    pub pruned: u64,
    /// Days with an event.
    pub days: usize,
    /// Days of visitors whose stored steps were wrong.
    pub wrong_steps: u64,
    /// The corrected sums, with old and new value.
    pub repaired: Vec<KpiDifference>,
}

/// Deleted events of visitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DeletedVisits {
    /// True.
    pub ok: bool,
    /// The number of events deleted.
    pub deleted: u64,
}

impl SystemWriter<'_> {
    /// Records the events that visitors send, all or none; durable when this returns.
    ///
    /// # Errors
    /// Returns `Unavailable` when the database is unavailable or its queue is full. Events with an
    /// `event_uid` can be sent again without counting twice.
    pub async fn record_kpi(self, events: &[KpiEvent]) -> Result<KpiRecorded> {
        self.ops.record_kpi(events).await
    }
}

impl Writer<'_> {
    /// Records events that a person imports or generates, all or none; durable when this returns.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed; as [`SystemWriter::record_kpi`].
    pub async fn import_kpi(&self, events: &[KpiEvent]) -> Result<KpiRecorded> {
        self.permit(Write::ImportKpi)?;
        self.ops.record_kpi(events).await
    }

    /// Deletes the events of all visitors whose id begins with `prefix`, and subtracts them from the
    /// sums, some visitors in one transaction.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed, and `Invalid` for an empty prefix, which every id
    /// has.
    pub async fn delete_visits(&self, prefix: &str) -> Result<DeletedVisits> {
        self.permit(Write::DeleteVisits)?;
        if prefix.is_empty() {
            return Err(Error::invalid("prefix", "must not be empty"));
        }
        Ok(DeletedVisits { ok: true, deleted: self.ops.store.delete_visits(prefix).await? })
    }

    /// Recounts the KPI sums from the events in pieces and corrects them in short transactions, day by
    /// day. If the future is dropped, the corrections that were made stay.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed; as [`recount_visits`].
    pub async fn rebuild_kpi(&self, progress: OnProgress<'_>) -> Result<RebuiltKpi> {
        self.permit(Write::RebuildKpi)?;
        let store = &*self.ops.store;
        let found = recount_visits(store, true, Limits::default(), progress).await?;
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

impl Ops {
    async fn record_kpi(&self, events: &[KpiEvent]) -> Result<KpiRecorded> {
        let accepted = self.store.record_kpi(events).await?;
        if accepted > 0 {
            self.kpi_recorded.notify_one();
        }
        Ok(KpiRecorded { ok: true, accepted, duplicates: events.len() as u64 - accepted })
    }

    /// The rollups of the last `days` days, and the alerts of now.
    ///
    /// # Errors
    /// Returns `Invalid` for days outside 1 to 90.
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

    /// Recounts all events in pieces and compares the result with the stored sums.
    ///
    /// # Errors
    /// As [`recount_visits`].
    pub async fn verify_kpi(&self, progress: OnProgress<'_>) -> Result<VerifiedKpi> {
        let recount = recount_visits(&*self.store, false, Limits::default(), progress).await?;
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
}
