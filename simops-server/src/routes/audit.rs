//! The audit trail.

use serde::Serialize;
use simops::ErrorKind;
use simops::control::AuditHead;
use simops::ops::AuditResponse;

use crate::problem::Problem;
use crate::query::Query;
use crate::request::ReadOps;
use crate::response::{Json, JsonResult};

/// The result of a verification.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct AuditVerification {
    /// Whether the hash chain is intact.
    ok: bool,
    /// Rows verified; null if the chain is broken.
    rows: Option<i64>,
    /// The newest row and its hash, to be kept elsewhere; null if the chain is broken.
    head: Option<AuditHead>,
    /// The first fault found; null if there is none.
    detail: Option<String>,
}

/// The audit trail, newest first.
#[utoipa::path(get, path = "/api/admin/audit", tag = "records",
    params(
        ("limit" = Option<i64>, Query, description = "1 to 500; 50 when absent."),
        ("offset" = Option<i64>, Query, description = "Rows to skip, from the newest."),
    ),
    responses((status = OK, body = AuditResponse)))]
pub(super) async fn audit(ops: ReadOps, query: Query) -> JsonResult<AuditResponse> {
    let (limit, offset) = (query.int("limit", 50)?, query.int("offset", 0)?);
    Ok(Json(ops.audit(limit, offset).await?))
}

/// Recomputes the hashes of the whole trail and compares them with a head kept elsewhere.
#[utoipa::path(get, path = "/api/admin/audit/verify", tag = "records",
    params(
        ("head_id" = Option<i64>, Query, description = "The id of a head kept elsewhere."),
        ("head_hash" = Option<String>, Query, description = "Its hash."),
    ),
    responses((status = OK, body = AuditVerification)))]
pub(super) async fn verify(ops: ReadOps, query: Query) -> JsonResult<AuditVerification> {
    let remembered = match (query.int("head_id", 0)?, query.text("head_hash")) {
        (0, None) => None,
        (id, Some(hash)) if id > 0 => Some(AuditHead { id, hash: hash.to_owned() }),
        (0, Some(_)) => return Err(Problem::invalid("head_id", "must be given with head_hash")),
        (id, None) if id > 0 => {
            return Err(Problem::invalid("head_hash", "must be given with head_id"));
        }
        _ => return Err(Problem::invalid("head_id", "must be at least 1")),
    };
    match ops.verify_audit(remembered).await {
        Ok(verified) => Ok(Json(AuditVerification {
            ok: verified.ok,
            rows: Some(verified.rows),
            head: Some(verified.head),
            detail: None,
        })),
        Err(error) if error.kind() == ErrorKind::Unusable => {
            let detail = Some(error.detail().to_owned());
            Ok(Json(AuditVerification { ok: false, rows: None, head: None, detail }))
        }
        Err(error) => Err(error.into()),
    }
}
