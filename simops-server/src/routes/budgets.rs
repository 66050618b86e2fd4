//! Budgets.

use axum::extract::Path;
use simops::ops::{BudgetView, BudgetsResponse, DeleteBudget, DeletedBudget, PutBudget};

use crate::request::{ReadOps, WriteRequest};
use crate::response::{Json, JsonResult};

/// All budgets, those of the settings among them, with what is used of them.
#[utoipa::path(get, path = "/api/admin/budgets", tag = "budgets",
    responses((status = OK, body = BudgetsResponse)))]
pub(super) async fn list(ops: ReadOps) -> JsonResult<BudgetsResponse> {
    Ok(Json(ops.budgets().await?))
}

/// Defines a budget, or changes the one of that id.
#[utoipa::path(put, path = "/api/admin/budgets/{id}", tag = "budgets",
    params(("id" = String, Path, description = "The budget")),
    request_body = PutBudget, responses((status = OK, body = BudgetView)))]
pub(super) async fn put(
    Path(id): Path<String>,
    write: WriteRequest<PutBudget>,
) -> JsonResult<BudgetView> {
    Ok(Json(write.writer().await?.put_budget(&id, &write.body).await?))
}

/// Deletes a budget, with what is known of its use.
#[utoipa::path(delete, path = "/api/admin/budgets/{id}", tag = "budgets",
    params(("id" = String, Path, description = "The budget")),
    request_body = DeleteBudget, responses((status = OK, body = DeletedBudget)))]
pub(super) async fn delete(
    Path(id): Path<String>,
    write: WriteRequest<DeleteBudget>,
) -> JsonResult<DeletedBudget> {
    let reason = write.body.reason.as_deref();
    Ok(Json(write.writer().await?.delete_budget(&id, reason).await?))
}
