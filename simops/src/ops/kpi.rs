//! KPI events of visitors, and their rollups.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::writer::BatchSize;
use super::{AlertNotification, Ops, SystemWriter, Writer, bounded};
use crate::alert::{Evaluation, evaluate};
use crate::clock::day_of;
use crate::control::Write;
use crate::execute::{WritePermit, compared_days};
use crate::kpi::recount::KpiDifference;
use crate::kpi::{KpiEvent, MAX_LATE_DAYS, Rollup, Summary};
use crate::recount::{Limits, OnProgress, recount_visits};
use crate::store::{SelectedVisits, VisitFilter};
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

/// `POST kpi/visits/delete`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[cfg_attr(feature = "clap", command(group(clap::ArgGroup::new("whose").required(true).multiple(true))))]
#[serde(default, deny_unknown_fields)]
pub struct DeleteVisits {
    /// The day of the events, such as 2026-01-31
    #[cfg_attr(feature = "clap", arg(long, value_name = "DAY"))]
    pub day: String,
    /// The id of a visitor; may be repeated, up to 1000 times
    #[cfg_attr(feature = "clap", arg(long = "visitor", value_name = "ID", group = "whose"))]
    pub visitors: Vec<String>,
    /// What the ids of visitors begin with; may be repeated
    #[cfg_attr(
        feature = "clap",
        arg(long = "visitor-prefix", value_name = "TEXT", group = "whose")
    )]
    pub prefixes: Vec<String>,
    /// Only count the events
    #[cfg_attr(feature = "clap", arg(long))]
    pub dry_run: bool,
    /// The reason, for the audit trail
    #[cfg_attr(feature = "clap", arg(long, value_name = "TEXT"))]
    pub reason: Option<String>,
}

/// Response of a deletion of events of visitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeletedVisits {
    /// True.
    pub ok: bool,
    /// Whether the events were only counted.
    pub dry_run: bool,
    /// The number of events of these visitors.
    pub found: u64,
    /// The number of events deleted.
    pub deleted: u64,
}

/// The beginning of the ids of seeded visitors. No page can send such an id, because spaces around ids
/// are cut off.
pub const SEED_PREFIX: &str = " simops-seed-";
/// The most visitors, and the most prefixes, in one request.
const MAX_SELECTORS: usize = 1_000;
/// Events deleted in one transaction: others write in between.
const DELETE_BATCH: usize = 500;
/// Visitors that an audit row names.
const MAX_AUDITED: usize = 20;

/// The right to record events that a person imports or generates. Its audit row is written.
#[derive(Clone, Copy)]
pub struct KpiImport<'a> {
    ops: &'a Ops,
}

impl KpiImport<'_> {
    /// Records events, all or none; durable when this returns.
    ///
    /// # Errors
    /// As [`SystemWriter::record_kpi`]; `Forbidden` when the gate was closed meanwhile.
    pub async fn record(&self, events: &[KpiEvent]) -> Result<KpiRecorded> {
        self.ops.write_rules().await?.check(Write::ImportKpi)?;
        self.ops.record_kpi(events).await
    }
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

impl<'a> Writer<'a> {
    /// Begins to record events that a person imports or generates, with an audit row that names their
    /// `source`.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed.
    pub async fn begin_kpi_import(&self, source: &str) -> Result<KpiImport<'a>> {
        let permit = self.permit(Write::ImportKpi)?;
        self.audit(&permit, "KPI_IMPORT".to_owned(), json!({ "source": source })).await?;
        Ok(KpiImport { ops: self.ops })
    }

    /// Deletes the events of some visitors on a day, and corrects the sums. First an audit row says what
    /// was found and will be deleted, then the events are deleted in small transactions, and another row
    /// says how many. A call that is cancelled leaves the rest, and can be repeated.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed, and `Invalid` for a day that is missing or to come, and
    /// when no visitors are named. An error in the middle says how many events were deleted before it.
    pub async fn delete_visits(&self, request: &DeleteVisits) -> Result<DeletedVisits> {
        let permit = self.permit_for(Write::DeleteVisits, request.reason.as_deref())?;
        let filter = request.filter(day_of(self.ops.clock.now()))?;
        if request.dry_run {
            let found = self.ops.store.select_visits(&filter).await?.visits.len() as u64;
            return Ok(DeletedVisits { ok: true, dry_run: true, found, deleted: 0 });
        }
        let key = format!("KPI_VISITS:{}", request.day.trim());
        self.ops.executor.once(&permit, self.delete_selected(&permit, key, &filter)).await
    }

    /// Deletes all seeded events, of any seed.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed.
    pub async fn delete_seeded_visits(&self) -> Result<DeletedVisits> {
        let permit = self.permit(Write::DeleteVisits)?;
        let prefixes = vec![SEED_PREFIX.to_owned()];
        let filter = VisitFilter { prefixes, ..VisitFilter::default() };
        self.delete_selected(&permit, "KPI_VISITS".to_owned(), &filter).await
    }

    async fn delete_selected(
        &self,
        permit: &WritePermit,
        key: String,
        filter: &VisitFilter,
    ) -> Result<DeletedVisits> {
        let selected = self.ops.store.select_visits(filter).await?;
        let found = selected.visits.len() as u64;
        if found > 0 {
            let mut visitors: Vec<_> = filter.visitors.iter().collect();
            visitors.sort_unstable();
            let number = visitors.len();
            visitors.truncate(MAX_AUDITED);
            let prefixes: Vec<_> = filter.prefixes.iter().take(MAX_AUDITED).collect();
            let value = json!({
                "found_events": found,
                "visitors": visitors,
                "number_of_visitors": number,
                "prefixes": prefixes,
            });
            self.audit(permit, key.clone(), value).await?;
        }
        let mut deleted = 0;
        let done = self.delete_pieces(filter, selected, &mut deleted).await;
        self.audit_deleted(permit, key, "deleted_events", deleted, done).await?;
        Ok(DeletedVisits { ok: true, dry_run: false, found, deleted })
    }

    async fn delete_pieces(
        &self,
        filter: &VisitFilter,
        mut selected: SelectedVisits,
        deleted: &mut u64,
    ) -> Result<()> {
        let mut batch = BatchSize(DELETE_BATCH);
        while !selected.visits.is_empty() {
            self.still_permits(Write::DeleteVisits).await?;
            let piece = selected.take_piece(batch.0);
            match self.ops.store.delete_visits(filter, &piece).await {
                Ok(more) => *deleted += more,
                Err(error) => {
                    batch.shrink(error)?;
                    selected.put_back(piece);
                }
            }
        }
        Ok(())
    }

    /// Recounts the KPI sums from the events in pieces and corrects them in short transactions, day by
    /// day. If the future is dropped, the corrections that were made stay.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed; as [`recount_visits`].
    pub async fn rebuild_kpi(&self, progress: OnProgress<'_>) -> Result<RebuiltKpi> {
        let permit = self.permit(Write::RebuildKpi)?;
        self.audit(&permit, "KPI_REBUILD".to_owned(), Value::Bool(true)).await?;
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

impl DeleteVisits {
    fn filter(&self, today: Date) -> Result<VisitFilter> {
        let day = self.day.trim().parse::<Date>();
        let day = day.map_err(|_| Error::invalid("day", "must be a day such as 2026-01-31"))?;
        if day > today {
            return Err(Error::invalid("day", format!("must not be after today, {today} (UTC)")));
        }
        for (field, named) in [("visitors", &self.visitors), ("prefixes", &self.prefixes)] {
            if named.len() > MAX_SELECTORS {
                let message = format!("must have at most {MAX_SELECTORS} entries");
                return Err(Error::invalid(field, message));
            }
            if named.iter().any(|text| text.trim().is_empty()) {
                return Err(Error::invalid(field, "must not have an empty entry"));
            }
        }
        if self.visitors.is_empty() && self.prefixes.is_empty() {
            return Err(Error::invalid("visitors", "must name a visitor, or prefixes one"));
        }
        let (visitors, prefixes) = (&self.visitors, &self.prefixes);
        Ok(VisitFilter {
            day: Some(day),
            visitors: visitors.iter().map(|id| id.trim().to_owned()).collect(),
            prefixes: prefixes.iter().map(|prefix| prefix.trim_start().to_owned()).collect(),
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
