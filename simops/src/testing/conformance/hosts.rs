//! Reports of hosts.

use std::sync::Arc;

use super::samples::{at, host};
use crate::Result;
use crate::control::{HostReport, HostState};
use crate::store::RunStore;

async fn names(store: &dyn RunStore, since: i64) -> Result<Vec<String>> {
    Ok(store.hosts(at(since)).await?.into_iter().map(|host| host.id).collect())
}

/// Every field is taken from the latest report.
pub async fn a_report_replaces_the_one_before(store: Arc<dyn RunStore>) -> Result<()> {
    store.report(&host("host", 0)).await?;
    let states = [HostState::Idle, HostState::Running, HostState::Quiescing, HostState::Paused];
    for (seconds, state) in (1..).zip(states) {
        let report = HostReport {
            id: "host".to_owned(),
            version: format!("2.0.{seconds}"),
            last_seen: at(seconds),
            generation: 8,
            state,
            in_flight_calls: u32::MAX,
            kind: format!("kind-{seconds}"),
            world: (seconds > 2).then(|| "main".to_owned()),
            run_id: (seconds > 1).then(|| format!("run-{seconds}")),
        };
        store.report(&report).await?;
        assert_eq!(store.hosts(at(0)).await?, [report]);
    }
    Ok(())
}

/// A host that reported at exactly that time is included.
pub async fn hosts_are_listed_by_name_since_a_time(store: Arc<dyn RunStore>) -> Result<()> {
    for (id, seen) in [("c", 10), ("a", 20), ("B", 30), ("d", 9)] {
        store.report(&host(id, seen)).await?;
    }
    assert_eq!(names(&*store, 10).await?, ["B", "a", "c"]);
    assert_eq!(names(&*store, 31).await?, [""; 0]);
    Ok(())
}

/// A host that left is no longer listed; leaving again is not an error.
pub async fn a_host_that_leaves_is_removed(store: Arc<dyn RunStore>) -> Result<()> {
    store.report(&host("stays", 0)).await?;
    store.report(&host("leaves", 0)).await?;
    store.leave("leaves").await?;
    store.leave("leaves").await?;
    assert_eq!(names(&*store, 0).await?, ["stays"]);
    Ok(())
}

/// Hosts last seen before the time are deleted; one seen at exactly that time stays.
pub async fn hosts_without_recent_reports_are_deleted(store: Arc<dyn RunStore>) -> Result<()> {
    for (id, seen) in [("old", 9), ("at", 10), ("new", 11)] {
        store.report(&host(id, seen)).await?;
    }
    store.delete_hosts(at(10)).await?;
    assert_eq!(names(&*store, 0).await?, ["at", "new"]);
    Ok(())
}
