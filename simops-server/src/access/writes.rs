//! Which operation of the admin API is which write.

use axum::http::Method;
use simops::control::Write;

/// The method and path of a write; `None` for a write that the API does not offer.
pub(crate) fn operation(write: Write) -> Option<(Method, &'static str)> {
    let path = match write {
        Write::PatchLimits => return Some((Method::PATCH, "/api/admin/control/run/limits")),
        Write::PutBudget => return Some((Method::PUT, "/api/admin/budgets/{id}")),
        Write::DeleteBudget => return Some((Method::DELETE, "/api/admin/budgets/{id}")),
        Write::PatchConfig => return Some((Method::PATCH, "/api/admin/config")),
        Write::StartRun => "/api/admin/control/run/start",
        Write::StopRun => "/api/admin/control/run/stop",
        Write::StopAll => "/api/admin/control/stop-all",
        Write::ResetWorld => "/api/admin/control/run/reset-dev",
        Write::SetRunMode => "/api/admin/control/run-mode",
        Write::Pause => "/api/admin/control/pause",
        Write::PauseAll => "/api/admin/control/pause-all",
        Write::Resume => "/api/admin/control/resume",
        Write::Degrade => "/api/admin/control/degrade",
        Write::ClearDegrade => "/api/admin/control/degrade/clear",
        Write::AcknowledgeAlert => "/api/admin/kpi/alerts/{id}/acknowledge",
        Write::SilenceAlert => "/api/admin/kpi/alerts/{id}/silence",
        Write::ReplayDelivery => "/api/admin/kpi/deliveries/{id}/replay",
        Write::WriteBaseline => "/api/admin/baseline",
        Write::CreateDigest => "/api/admin/digest",
        Write::PublishDigest => "/api/admin/digests/{slug}/publish",
        Write::DiscardDigest => "/api/admin/digests/{slug}/discard",
        Write::DeleteVisits => "/api/admin/kpi/visits/delete",
        Write::Prune
        | Write::RebuildKpi
        | Write::ImportKpi
        | Write::RebuildUsage
        | Write::TakeTurn
        | Write::UnmarkProduction => return None,
    };
    Some((Method::POST, path))
}

/// The write that a request to `route`, a path as the router matches it, asks for; `None` when there
/// is no such operation.
pub(crate) fn write_of(method: &Method, route: &str) -> Option<Write> {
    let asked = |(m, path): (Method, &str)| m == *method && path == route;
    Write::ALL.iter().copied().find(|write| operation(*write).is_some_and(asked))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::routes;

    /// The operations of the description that are no reads.
    fn described() -> BTreeSet<String> {
        let (_, description) = routes::admin().split_for_parts();
        let described = serde_json::to_value(description).unwrap();
        let paths = described["paths"].as_object().unwrap();
        let operations = paths.iter().flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            let writes = methods
                .filter(|method| ["post", "put", "patch", "delete"].contains(&method.as_str()));
            writes.map(move |method| format!("{} {path}", method.to_uppercase()))
        });
        operations.collect()
    }

    #[test]
    fn every_operation_that_is_no_read_is_a_known_write_and_none_is_missing() {
        let known = Write::ALL.iter().filter_map(|write| operation(*write));
        let known: BTreeSet<_> = known.map(|(method, path)| format!("{method} {path}")).collect();
        assert_eq!(described(), known);
    }
}
