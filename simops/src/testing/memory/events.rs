//! The event log.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Data, MemoryStore, next_position};
use crate::Result;
use crate::event::{Event, NewEvent};
use crate::store::{ActivityScope, EventCount, EventFilter, EventStore, Page};

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(&self, events: &[NewEvent]) -> Result<()> {
        self.data().append(events);
        Ok(())
    }

    async fn events(&self, filter: &EventFilter) -> Result<Page<Event>> {
        let data = self.data();
        let wanted = |wanted: &Option<String>, value: Option<&String>| {
            wanted.is_none() || wanted.as_ref() == value
        };
        let place = |event: &Event| (event.created_at, event.id);
        let cursor = match filter.before {
            Some(id) => {
                let Some(event) = data.listed().rfind(|event| event.id <= id) else {
                    return Ok(Page { items: Vec::new(), next: None });
                };
                Some((event.created_at, id))
            }
            None => None,
        };
        let found = data.listed().filter(|event| {
            wanted(&filter.run_id, event.run_id.as_ref())
                && wanted(&filter.event_type, Some(&event.event_type))
                && filter.after.is_none_or(|after| event.created_at > after)
                && filter.until.is_none_or(|until| event.created_at <= until)
                && cursor.is_none_or(|cursor| place(event) < cursor)
        });
        let mut found: Vec<_> = found.cloned().collect();
        found.sort_by_key(|event| Reverse(place(event)));
        Ok(Page::cut(found, filter.limit, |event| event.id))
    }

    async fn event(&self, id: i64) -> Result<Option<Event>> {
        let data = self.data();
        Ok(data.listed().find(|event| event.id == id).cloned())
    }

    async fn count_events(&self, scope: &ActivityScope) -> Result<Vec<EventCount>> {
        let data = self.data();
        let mut counts = BTreeMap::<_, i64>::new();
        for (_, mode, event) in &data.events {
            let counted = match scope {
                ActivityScope::Run(run_id) => event.run_id.as_ref() == Some(run_id),
                ActivityScope::Since(since) => {
                    event.created_at >= *since && !data.deleted.events.contains(&event.id)
                }
            };
            if counted {
                *counts.entry((event.event_type.clone(), *mode)).or_default() += 1;
            }
        }
        let counts = counts.into_iter();
        Ok(counts
            .map(|((event_type, mode), count)| EventCount { event_type, mode, count })
            .collect())
    }

    async fn count_events_by_run(&self, run_ids: &[String]) -> Result<Vec<(String, EventCount)>> {
        let mut counted = Vec::new();
        for run_id in run_ids {
            let counts = self.count_events(&ActivityScope::Run(run_id.clone())).await?;
            counted.extend(counts.into_iter().map(|count| (run_id.clone(), count)));
        }
        Ok(counted)
    }
}

impl Data {
    /// The events that are not deleted.
    pub(super) fn listed(&self) -> impl DoubleEndedIterator<Item = &Event> {
        let all = self.events.iter().map(|(.., event)| event);
        all.filter(|event| !self.deleted.events.contains(&event.id))
    }

    /// Appends events in order, except those that are already stored.
    pub(super) fn append(&mut self, events: &[NewEvent]) {
        for new in events {
            if self.events.iter().any(|(uid, ..)| *uid == new.uid) {
                continue;
            }
            let event = Event {
                id: next_position(self.events.len()),
                run_id: new.run_id.clone(),
                agent_id: new.agent_id.clone(),
                event_type: new.event_type.clone(),
                description: new.description.clone(),
                metadata: new.metadata.clone(),
                created_at: new.created_at,
            };
            self.events.push((new.uid, new.runtime_mode(), event));
        }
    }
}
