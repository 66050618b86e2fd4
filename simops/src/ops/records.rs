//! Reads of the audit trail, the event log and the run registry.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Listing, Ops, bounded, cursor_position};
use crate::control::audit::{Tampered, Verifier};
use crate::control::{AuditHead, AuditRow};
use crate::event::Event;
use crate::execute::found;
use crate::run::RunRecord;
use crate::store::EventFilter;
use crate::{Error, ErrorKind, Result};

/// The largest page of a listing.
pub(super) const MAX_PAGE: i64 = 500;
/// Rows read at a time while the trail is verified.
const VERIFY_BATCH: usize = 1_000;

/// `GET audit`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditResponse {
    /// The number of all rows.
    pub count: i64,
    /// The requested limit.
    pub limit: i64,
    /// The number of newest rows skipped.
    pub offset: i64,
    /// The rows, newest first.
    pub items: Vec<AuditRow>,
}

/// Which events to list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventsQuery {
    /// Only of this run.
    pub run_id: Option<String>,
    /// Only of this type.
    pub event_type: Option<String>,
    /// Only after this time, exclusive.
    pub after: Option<Timestamp>,
    /// Only until this time, inclusive.
    pub until: Option<Timestamp>,
    /// The cursor of an earlier page.
    pub cursor: Option<String>,
    /// 1 to 500.
    pub limit: i64,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditVerification {
    /// Whether the hash chain is intact.
    pub ok: bool,
    /// Rows verified; null if the chain is broken.
    pub rows: Option<i64>,
    /// The newest row and its hash, to be kept elsewhere; null if the chain is broken.
    pub head: Option<AuditHead>,
    /// The first fault found; null if there is none.
    pub detail: Option<String>,
}

impl Ops {
    /// A page of the audit trail.
    ///
    /// # Errors
    /// Returns `Invalid` for a limit outside 1 to 500 and for a negative offset.
    pub async fn audit(&self, limit: i64, offset: i64) -> Result<AuditResponse> {
        let rows = bounded("limit", limit, MAX_PAGE)?;
        let skipped =
            usize::try_from(offset).map_err(|_| Error::invalid("offset", "must be at least 0"))?;
        let page = self.store.audit(rows, skipped).await?;
        Ok(AuditResponse { count: page.count, limit, offset, items: page.items })
    }

    /// Audit rows after `id`, newest first, at most a page.
    pub async fn audit_since(&self, id: i64) -> Result<Vec<AuditRow>> {
        let mut rows = self.store.audit_after(id, 100).await?;
        rows.reverse();
        Ok(rows)
    }

    /// Recomputes the hashes of the whole trail and compares it with the head in the control state and
    /// with `remembered`. A broken trail is a result, not an error.
    ///
    /// # Errors
    /// Returns an error when the database cannot be read.
    pub async fn verify_audit(&self, remembered: Option<AuditHead>) -> Result<AuditVerification> {
        let verification = |ok, rows, head, detail| AuditVerification { ok, rows, head, detail };
        match self.verified_head(remembered).await {
            Ok(head) => Ok(verification(true, Some(head.id), Some(head), None)),
            Err(error) if error.kind() == ErrorKind::Unusable => {
                Ok(verification(false, None, None, Some(error.detail().to_owned())))
            }
            Err(error) => Err(error),
        }
    }

    /// The head of the trail; `Unusable`, naming the first row that does not verify.
    async fn verified_head(&self, remembered: Option<AuditHead>) -> Result<AuditHead> {
        // The head is read first: rows written meanwhile only extend the trail.
        let head = self.store.load().await?.audit_head;
        let heads = remembered.into_iter().chain(Some(head)).filter(|head| head.id > 0);
        let mut verifier = Verifier::remembering(heads);
        let tampered = |fault: Tampered| {
            Error::new(ErrorKind::Unusable, format!("the audit trail does not hold: {fault}"))
        };
        let mut last = 0;
        loop {
            let rows = self.store.audit_after(last, VERIFY_BATCH).await?;
            verifier.check(&rows).map_err(tampered)?;
            match rows.last() {
                Some(row) => last = row.id,
                None => break,
            }
        }
        verifier.finish().map_err(tampered)
    }

    /// A page of the event log, newest first.
    ///
    /// # Errors
    /// Returns `Invalid` for a limit outside 1 to 500 and for a malformed cursor.
    pub async fn events(&self, query: &EventsQuery) -> Result<Listing<Event>> {
        let filter = EventFilter {
            run_id: query.run_id.clone().filter(|text| !text.is_empty()),
            event_type: query.event_type.clone().filter(|text| !text.is_empty()),
            after: query.after,
            until: query.until,
            before: cursor_position(query.cursor.as_deref())?,
            limit: bounded("limit", query.limit, MAX_PAGE)?,
        };
        self.store.events(&filter).await.map(Listing::from)
    }

    /// One event.
    ///
    /// # Errors
    /// Returns `NotFound` for an unknown id.
    pub async fn event(&self, id: i64) -> Result<Event> {
        found("event", id, self.store.event(id).await?)
    }

    /// One run.
    ///
    /// # Errors
    /// Returns `NotFound` for an unknown id.
    pub async fn run(&self, run_id: &str) -> Result<RunRecord> {
        let run = self.store.run(run_id).await?;
        found("run", format_args!("{run_id:?}"), run)
    }
}
