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
use crate::kpi_rows::{known_days, last_merged, put_steps, set_last_merged, steps};
use crate::kpi_segments::Segments;

/// The write buffer.
#[derive(Debug)]
pub(crate) struct WriteBuffer {
    /// Events that are buffered before they are merged.
    capacity: usize,
    /// The uids that are merged.
    segments: Segments,
    /// The id of the last merged event, once known.
    merged: Option<i64>,
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

#[derive(Debug, Clone, Copy)]
struct KnownSteps {
    steps: Steps,
    /// Whether the tree lacks some of them.
    is_unmerged: bool,
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
    /// matches the log, after a rollback or after another process has merged or rebuilt.
    pub(crate) fn catch_up(&mut self, connection: &Connection) -> Work<()> {
        let merged = last_merged(connection)?;
        let is_current = self.merged == Some(merged)
            && self.segments.are_current(connection)?
            && self.matches_log(connection)?;
        if !is_current {
            self.clear();
            self.segments.catch_up(connection)?;
            self.days = known_days(connection)?.into_iter().map(|day| (day, true)).collect();
            (self.merged, self.last) = (Some(merged), merged);
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
            let known = self.steps(connection, visitor, day)?;
            self.set_steps(visitor, day, known | kind);
        }
        Ok(())
    }

    fn matches_log(&self, connection: &Connection) -> Work<bool> {
        if self.merged == Some(self.last) {
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
        let Some(stored) = self.days.get(&day) else { return Ok(Steps::default()) };
        if let Some(known) = self.steps.get(&(visitor, day)) {
            return Ok(known.steps);
        }
        if !stored {
            return Ok(Steps::default());
        }
        let steps = steps(connection, visitor, day)?;
        self.steps.insert((visitor, day), KnownSteps { steps, is_unmerged: false });
        Ok(steps)
    }

    /// Sets the steps of a visitor on a day.
    pub(crate) fn set_steps(&mut self, visitor: Uuid, day: Date, steps: Steps) {
        self.days.entry(day).or_insert(false);
        let known =
            self.steps.entry((visitor, day)).or_insert(KnownSteps { steps, is_unmerged: true });
        if known.steps != steps {
            *known = KnownSteps { steps, is_unmerged: true };
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
        if self.merged.is_some_and(|merged| id <= merged) {
            return Ok(());
        }
        self.merge(connection)
    }

    fn merge(&mut self, connection: &Connection) -> Work<()> {
        self.segments.append(connection, self.uids.drain().collect())?;
        let unmerged = self.steps.iter_mut().filter(|(_, known)| known.is_unmerged);
        let mut unmerged: Vec<_> = unmerged
            .map(|((visitor, day), known)| {
                known.is_unmerged = false;
                (*day, *visitor, known.steps)
            })
            .collect();
        // In key order, so that each page is changed once.
        unmerged.sort_unstable_by_key(|(day, visitor, _)| (*day, *visitor));
        for (day, visitor, steps) in unmerged {
            put_steps(connection, visitor, day, steps)?;
            self.days.insert(day, true);
        }
        // Recent visitors are kept: they are likely to return.
        if self.steps.len() > 2 * self.capacity {
            self.steps.clear();
        }
        set_last_merged(connection, self.last)?;
        self.merged = Some(self.last);
        Ok(())
    }
}
