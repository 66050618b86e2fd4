//! Counts of events: every call scans all events.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;

use super::{Data, MemoryStore};
use crate::Result;
use crate::clock::day_of;
use crate::event::{DayTally, EventClass, EventTally, EventWindow};
use crate::event::{Event, RuntimeMode, category_of, enforces};
use crate::store::{TallyStore, TimeCursor};

#[async_trait]
impl TallyStore for MemoryStore {
    async fn tally(&self, window: EventWindow) -> Result<Vec<EventTally>> {
        let mut counts = BTreeMap::<_, i64>::new();
        let data = self.data();
        for (event, class) in data.classified() {
            if window.contains(event.created_at) && !data.deleted.events.contains(&event.id) {
                *counts.entry(class).or_default() += 1;
            }
        }
        Ok(counts.into_iter().map(|(class, count)| EventTally { class, count }).collect())
    }

    async fn tally_days(&self, first: Date, last: Date) -> Result<Vec<DayTally>> {
        let mut counts = BTreeMap::<_, i64>::new();
        for (event, class) in self.data().classified() {
            let day = day_of(event.created_at);
            if first <= day && day <= last {
                *counts.entry((day, event.run_id.clone(), class)).or_default() += 1;
            }
        }
        let counts = counts.into_iter();
        Ok(counts
            .map(|((day, run_id, class), count)| DayTally { day, run_id, class, count })
            .collect())
    }

    async fn tally_runs(
        &self,
        run_ids: &[String],
        window: EventWindow,
    ) -> Result<Vec<(String, EventTally)>> {
        let mut counts = BTreeMap::<_, i64>::new();
        let data = self.data();
        for (event, class) in data.classified() {
            let run_id = event.run_id.as_ref().filter(|run_id| run_ids.contains(run_id));
            if let Some(run_id) = run_id
                && window.contains(event.created_at)
                && !data.deleted.events.contains(&event.id)
            {
                *counts.entry((run_id.clone(), class)).or_default() += 1;
            }
        }
        let counts = counts.into_iter();
        Ok(counts.map(|((run_id, class), count)| (run_id, EventTally { class, count })).collect())
    }

    async fn tally_days_of_runs(
        &self,
        run_ids: &[String],
        first: Date,
        last: Date,
    ) -> Result<Vec<DayTally>> {
        let mut days = self.tally_days(first, last).await?;
        days.retain(|day| day.run_id.as_ref().is_some_and(|run_id| run_ids.contains(run_id)));
        Ok(days)
    }

    async fn events_of_type(
        &self,
        run_id: Option<&str>,
        window: EventWindow,
        event_type: &str,
        after: Option<TimeCursor>,
        limit: usize,
    ) -> Result<Vec<Event>> {
        let data = self.data();
        let cursor = |event: &Event| TimeCursor { at: event.created_at, id: event.id };
        let found = data.listed().filter(|event| {
            window.contains(event.created_at)
                && event.event_type == event_type
                && (run_id.is_none() || event.run_id.as_deref() == run_id)
                && after.is_none_or(|after| cursor(event) > after)
        });
        let mut found: Vec<_> = found.cloned().collect();
        found.sort_by_key(cursor);
        found.truncate(limit);
        Ok(found)
    }

    async fn last_event(
        &self,
        run_id: Option<&str>,
        event_type: &str,
        until: Timestamp,
    ) -> Result<Option<Event>> {
        let data = self.data();
        let found = data.listed().filter(|event| {
            event.event_type == event_type
                && event.created_at <= until
                && (run_id.is_none() || event.run_id.as_deref() == run_id)
        });
        Ok(found.max_by_key(|event| (event.created_at, event.id)).cloned())
    }
}

impl Data {
    fn classified(&self) -> Vec<(&Event, EventClass)> {
        let class = |mode: &Option<RuntimeMode>, event: &Event| EventClass {
            event_type: event.event_type.clone(),
            mode: *mode,
            agent_id: event.agent_id.clone(),
            category: category_of(&event.event_type, &event.metadata).to_owned(),
            enforcement: enforces(&event.metadata),
        };
        self.events.iter().map(|(_, mode, event)| (event, class(mode, event))).collect()
    }
}
