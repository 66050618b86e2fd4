//! What visitors have done, as far as a process remembers it: who came lately comes again, and need not
//! be looked for in the table.
//!
//! It holds while the token of the line is the one that was drawn with it. Whoever changes what
//! visitors did, here or in another process, draws another; and a token whose transaction was lost is
//! never seen again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::civil::Date;
use simops::kpi::Steps;
use uuid::Uuid;

/// Visitors' days that are remembered at most: some tens of MiB.
const MOST: usize = 1 << 18;

/// What each visitor has done on a day, also where that is nothing.
pub(crate) type StepsOf = HashMap<(Uuid, Date), Steps>;

/// What is remembered; a clone shares it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(Arc<Mutex<Option<(Uuid, StepsOf)>>>);

impl Known {
    /// Takes what holds under `token`. Only who stands first in the line asks.
    pub(crate) fn take(&self, token: Uuid) -> StepsOf {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        remembered.filter(|(of, _)| *of == token).map(|(_, steps)| steps).unwrap_or_default()
    }

    /// Remembers what will hold once the transaction that draws `token` is durable.
    pub(crate) fn put(&self, token: Uuid, mut steps: StepsOf) {
        if steps.len() > MOST {
            steps.clear();
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((token, steps));
    }
}
