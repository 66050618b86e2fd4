//! The groups of runs, so that a call does not ask for them each time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::CountingStore;
use crate::Result;

/// How long a run is taken to have no group: it may be called before it is in the registry.
const UNKNOWN_TTL: Duration = Duration::from_secs(1);
/// The most runs that are kept; beyond that they are read from the store again.
const MAX_RUNS: usize = 10_000;

/// Runs with their groups, which never change.
#[derive(Debug, Default)]
pub(super) struct GroupCache(Mutex<HashMap<String, (Option<String>, Instant)>>);

impl GroupCache {
    /// The groups of these runs. Runs without a group are left out.
    pub(super) async fn of(
        &self,
        store: &dyn CountingStore,
        runs: &[String],
    ) -> Result<BTreeMap<String, String>> {
        let mut groups = BTreeMap::new();
        let mut unknown = Vec::new();
        {
            let known = self.lock();
            for run_id in runs {
                match known.get(run_id) {
                    Some((Some(group), _)) => drop(groups.insert(run_id.clone(), group.clone())),
                    Some((None, asked)) if asked.elapsed() < UNKNOWN_TTL => {}
                    _ => unknown.push(run_id.clone()),
                }
            }
        }
        if unknown.is_empty() {
            return Ok(groups);
        }
        let found = store.groups_of_runs(&unknown).await?;
        let mut known = self.lock();
        if known.len() > MAX_RUNS {
            known.clear();
        }
        for run_id in unknown {
            let group = found.get(&run_id).cloned();
            known.insert(run_id, (group, Instant::now()));
        }
        groups.extend(found);
        Ok(groups)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Option<String>, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
