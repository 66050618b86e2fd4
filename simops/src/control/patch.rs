//! `PATCH config`: changes settings; run state only where registry and settings still agree.

use serde_json::{Map, Value};

use super::change::ChangeBuilder;
use super::{Context, ControlState};
use crate::event::kind;
use crate::settings::{Effective, Overrides, key, validate};
use crate::{Error, Result};

pub(super) fn patch(
    change: &mut ChangeBuilder<'_>,
    state: &ControlState,
    updates: &Overrides,
    context: &Context<'_>,
) -> Result<()> {
    for (key, value) in updates {
        if let Some(spec) = context.registry.get(key) {
            change.set(key, spec.canonical(value));
        }
    }
    let before = state.effective(context.registry);
    let after = change.next.effective(context.registry);
    validate::check_together(&after)?;

    let enabled = !before.flag(key::ACTIVE) && after.flag(key::ACTIVE);
    let paused = after.flag(key::PAUSED);
    match &state.run {
        Some(run) if run.is_open() && after.flag(key::ACTIVE) => {
            change.show(run.with_paused(paused));
        }
        Some(run) if enabled && run.is_resumable() => change.reopen(run, paused)?,
        _ => {}
    }
    if let Some(key) = change.next.disagreement(context.registry) {
        return Err(Error::conflict(instead(key, &after)));
    }
    let changed = change.changed();
    if changed.is_empty() {
        return Ok(());
    }
    if state.open_run().is_some() && before.flag(key::PAUSED) != after.flag(key::PAUSED) {
        let (event, text) = if after.flag(key::PAUSED) {
            (kind::RUN_PAUSED, "The run was paused")
        } else {
            (kind::RUN_RESUMED, "The run was resumed")
        };
        change.record(event, text);
    }
    let names: Vec<_> = changed.iter().map(|(key, ..)| key.as_str()).collect();
    let text = format!("Settings changed: {}", names.join(", "));
    let values: Map<String, Value> =
        changed.iter().map(|(key, _, new)| (key.clone(), new.clone())).collect();
    change.record_with(kind::SETTINGS_CHANGED, text, "settings", values);
    Ok(())
}

/// The control that changes `key`, as a sentence.
fn instead(key: &str, after: &Effective) -> String {
    let control = match key {
        key::ACTIVE if after.flag(key::ACTIVE) => "control/run/start",
        key::ACTIVE => "control/run/stop",
        key::PAUSED => "control/resume (or control/run/start for another run)",
        key::RUN_MODE => "control/run-mode (or control/run/stop first while a run is open)",
        _ => "control/run/start",
    };
    format!("{key} would no longer agree with the run registry; use {control}")
}
