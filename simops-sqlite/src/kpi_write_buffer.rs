//! The write buffer of visitors' events: what the newest events say that the trees on disk do not yet.
//!
//! For each event it must be known whether it is new and what its visitor has done. Trees on disk
//! would change a page or two in random places per event, so the newest events are kept in memory and
//! merged in key order, many at a time: uids into a segment of their own, steps into one tree. Nothing
//! is at risk: the events themselves are on disk, and a process whose buffer does not match the end of
//! the log reads it again.

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension};
use simops::kpi::{Kind, Steps};
use simops::store::rules::hash_key;
use uuid::Uuid;

use crate::codec::Micros;
use crate::error::Work;
use crate::kpi_rows::{Merged, add_steps, known_days, merged, set_last_merged, steps};
use crate::kpi_segments::Segments;

/// The write buffer.
#[derive(Debug)]
pub(crate) struct WriteBuffer {
    /// Events that are buffered before they are merged.
    capacity: usize,
    /// The uids that are merged.
    segments: Segments,
    /// The progress of the merge that this buffer continues, once known.
    merged: Option<Merged>,
    /// The last buffered event, and the batch it was recorded in.
    last: i64,
    batch: i64,
    /// The uids of buffered events.
    uids: HashSet<Uuid>,
    /// The days with events, and whether the tree may hold steps of them.
    days: HashMap<Date, bool>,
    /// The steps of visitors that were looked up or changed.
    steps: HashMap<(Uuid, Date), KnownSteps>,
}

#[derive(Debug, Clone, Copy, Default)]
struct KnownSteps {
    /// Those in the tree, if they were looked up.
    stored: Option<Steps>,
    /// Those that the tree may lack.
    unmerged: Steps,
}

impl WriteBuffer {
    /// An empty buffer for about `capacity` events.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            segments: Segments::default(),
            merged: None,
            last: 0,
            batch: 0,
            uids: HashSet::new(),
            days: HashMap::new(),
            steps: HashMap::new(),
        }
    }

    /// Clears the buffer. The segments are kept, and checked before their next use.
    pub(crate) fn clear(&mut self) {
        let segments = std::mem::take(&mut self.segments);
        *self = Self { segments, ..Self::new(self.capacity) };
    }

    /// Reads events that other processes have appended. Reads the whole buffer again if it no longer
    /// matches the log, after a rollback or after another process has merged.
    pub(crate) fn catch_up(&mut self, connection: &Connection) -> Work<()> {
        let now = merged(connection)?;
        let is_current = self.merged.is_some_and(|seen| seen.last == now.last)
            && self.matches_log(connection)?;
        if !is_current {
            self.clear();
            self.last = now.last;
        }
        if !self.segments.are_current(connection)? {
            self.segments.catch_up(connection)?;
        }
        if self.merged != Some(now) {
            // Another process may have corrected steps, or has added days.
            self.steps.values_mut().for_each(|known| known.stored = None);
            self.days.extend(known_days(connection)?.into_iter().map(|day| (day, true)));
            self.merged = Some(now);
        }
        let mut statement = connection.prepare_cached(
            "SELECT id, uid, batch, kind, visitor_id, occurred_at FROM kpi_events WHERE id > ?1 \
             ORDER BY id",
        )?;
        let mut rows = statement.query([self.last])?;
        while let Some(row) = rows.next()? {
            (self.last, self.batch) = (row.get(0)?, row.get(2)?);
            self.uids.insert(Uuid::from_bytes(row.get(1)?));
            let visitor = hash_key(row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?);
            let day = simops::clock::day_of(row.get::<_, Micros>(5)?.0);
            let kind = Kind::of_code(row.get(3)?).map(Kind::step).unwrap_or_default();
            self.add_steps(visitor, day, kind);
        }
        Ok(())
    }

    fn matches_log(&self, connection: &Connection) -> Work<bool> {
        if self.merged.is_some_and(|merged| merged.last == self.last) {
            return Ok(true);
        }
        let mut statement =
            connection.prepare_cached("SELECT batch FROM kpi_events WHERE id = ?1")?;
        let batch: Option<i64> = statement.query_row([self.last], |row| row.get(0)).optional()?;
        Ok(batch == Some(self.batch))
    }

    /// Whether no event with this uid is stored.
    pub(crate) fn is_new(&self, connection: &Connection, uid: Uuid) -> Work<bool> {
        Ok(!self.uids.contains(&uid) && !self.segments.contain(connection, uid)?)
    }

    /// Forgets the uid of an event that was merged and then deleted.
    pub(crate) fn remove(&self, connection: &Connection, uid: Uuid) -> Work<()> {
        self.segments.remove(connection, uid)
    }

    /// Adds an event that was appended.
    pub(crate) fn appended(&mut self, id: i64, batch: i64, uid: Uuid) {
        (self.last, self.batch) = (id, batch);
        self.uids.insert(uid);
    }

    /// The steps of a visitor on a day.
    pub(crate) fn steps(
        &mut self,
        connection: &Connection,
        visitor: Uuid,
        day: Date,
    ) -> Work<Steps> {
        // Most events are of today, and the days after it have none.
        let Some(&is_stored) = self.days.get(&day) else { return Ok(Steps::default()) };
        let known = self.steps.get(&(visitor, day)).copied().unwrap_or_default();
        if known.stored.is_some() || !is_stored {
            return Ok(known.stored.unwrap_or_default() | known.unmerged);
        }
        let stored = steps(connection, visitor, day)?;
        self.steps.insert((visitor, day), KnownSteps { stored: Some(stored), ..known });
        Ok(stored | known.unmerged)
    }

    /// Adds to the steps of a visitor on a day.
    pub(crate) fn add_steps(&mut self, visitor: Uuid, day: Date, steps: Steps) {
        let is_stored = *self.days.entry(day).or_insert(false);
        let known = self.steps.entry((visitor, day)).or_insert_with(|| KnownSteps {
            stored: (!is_stored).then(Steps::default),
            unmerged: Steps::default(),
        });
        if known.stored.unwrap_or_default() | steps != known.stored.unwrap_or_default() {
            known.unmerged = known.unmerged | steps;
        }
    }

    /// Merges the buffer if it is full.
    pub(crate) fn merge_if_full(&mut self, connection: &Connection) -> Work<()> {
        if self.uids.len() < self.capacity && self.steps.len() / 4 < self.capacity {
            return Ok(());
        }
        self.merge(connection)
    }

    /// Merges the buffer if it holds an event up to `id`.
    pub(crate) fn merge_up_to(&mut self, connection: &Connection, id: i64) -> Work<()> {
        if self.merged.is_some_and(|merged| id <= merged.last) {
            return Ok(());
        }
        self.merge(connection)
    }

    /// Merges the buffer.
    pub(crate) fn merge(&mut self, connection: &Connection) -> Work<()> {
        self.segments.append(connection, self.uids.drain().collect())?;
        let unmerged =
            self.steps.iter_mut().filter(|(_, known)| known.unmerged != Steps::default());
        let mut unmerged: Vec<_> = unmerged
            .map(|((visitor, day), known)| {
                let steps = std::mem::take(&mut known.unmerged);
                known.stored = known.stored.map(|stored| stored | steps);
                (*day, *visitor, steps)
            })
            .collect();
        // In key order, so that each page is changed once.
        unmerged.sort_unstable_by_key(|(day, visitor, _)| (*day, *visitor));
        for (day, visitor, steps) in unmerged {
            add_steps(connection, visitor, day, steps)?;
            self.days.insert(day, true);
        }
        // Recent visitors are kept: they are likely to return.
        if self.steps.len() > 2 * self.capacity {
            self.steps.clear();
        }
        set_last_merged(connection, self.last)?;
        self.merged = self.merged.map(|merged| Merged { last: self.last, ..merged });
        Ok(())
    }
}
