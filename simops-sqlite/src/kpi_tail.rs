//! The end of the event log, in memory: what events say that the trees on disk do not yet.
//!
//! Whether an event is new, and what its visitor has done, must be known for each. On disk that would
//! change a page or two in random places for each event; so the newest events are kept here, and
//! folded in order, many at a time: uids into a run of their own, what visitors did into one tree.
//! Nothing is at risk: the log itself is on disk, and whoever finds that the memory does not match its
//! end reads it anew.

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, params};
use simops::kpi::event::hash_key;
use simops::kpi::{Kind, Steps};
use uuid::Uuid;

use crate::codec::{Micros, day_number, number_day};
use crate::error::Work;
use crate::kpi_folds::Folds;

/// What is remembered of the end of the log.
#[derive(Debug)]
pub(crate) struct Tail {
    /// So many events are remembered before they are folded.
    long: usize,
    /// The uids that are folded.
    folds: Folds,
    /// The last event that is folded, once that was asked.
    covered: Option<i64>,
    /// The last event remembered, and the batch it came in.
    last: i64,
    batch: i64,
    /// The uids of the events in between.
    uids: HashSet<Uuid>,
    /// The days of which anything is known, and whether the tree may hold any of it.
    days: HashMap<Date, bool>,
    /// What visitors have done, as far as it was asked for.
    steps: HashMap<(Uuid, Date), Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    steps: Steps,
    /// Whether the tree holds less.
    fresh: bool,
}

impl Tail {
    /// Remembers nothing yet, and never much more than `long` events.
    pub(crate) fn new(long: usize) -> Self {
        Self {
            long,
            folds: Folds::default(),
            covered: None,
            last: 0,
            batch: 0,
            uids: HashSet::new(),
            days: HashMap::new(),
            steps: HashMap::new(),
        }
    }

    /// Remembers nothing but folds: whether they are still those that are stored is asked again.
    pub(crate) fn forget(&mut self) {
        let folds = std::mem::take(&mut self.folds);
        *self = Self { folds, ..Self::new(self.long) };
    }

    /// Reads what other processes have appended; all of the tail if what is remembered is no longer
    /// there, because a transaction was taken back or another process has folded or rebuilt.
    pub(crate) fn catch_up(&mut self, connection: &Connection) -> Work<()> {
        let covered = covered(connection)?;
        let is_known = self.covered == Some(covered)
            && self.folds.are_current(connection)?
            && self.is_there(connection)?;
        if !is_known {
            self.forget();
            self.folds.catch_up(connection)?;
            self.days = days(connection)?;
            (self.covered, self.last) = (Some(covered), covered);
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

    fn is_there(&self, connection: &Connection) -> Work<bool> {
        if self.covered == Some(self.last) {
            return Ok(true);
        }
        let mut statement =
            connection.prepare_cached("SELECT batch FROM kpi_events WHERE id = ?1")?;
        let batch: Option<i64> = statement.query_row([self.last], |row| row.get(0)).optional()?;
        Ok(batch == Some(self.batch))
    }

    /// Whether no event of this uid is stored.
    pub(crate) fn is_new(&self, connection: &Connection, uid: Uuid) -> Work<bool> {
        Ok(!self.uids.contains(&uid) && !self.folds.hold(connection, uid)?)
    }

    /// Remembers an event that was appended.
    pub(crate) fn appended(&mut self, id: i64, batch: i64, uid: Uuid) {
        (self.last, self.batch) = (id, batch);
        self.uids.insert(uid);
    }

    /// What a visitor is known to have done on a day.
    pub(crate) fn steps(
        &mut self,
        connection: &Connection,
        visitor: Uuid,
        day: Date,
    ) -> Work<Steps> {
        // Most visits are of today, and nobody has been here tomorrow.
        let Some(stored) = self.days.get(&day) else { return Ok(Steps::default()) };
        if let Some(known) = self.steps.get(&(visitor, day)) {
            return Ok(known.steps);
        }
        if !stored {
            return Ok(Steps::default());
        }
        let mut statement = connection
            .prepare_cached("SELECT steps FROM kpi_steps WHERE day = ?1 AND visitor = ?2")?;
        let stored = statement
            .query_row(params![day_number(day), visitor.as_bytes()], |row| row.get(0))
            .optional()?;
        let steps = Steps(stored.unwrap_or_default());
        self.steps.insert((visitor, day), Known { steps, fresh: false });
        Ok(steps)
    }

    /// Remembers what a visitor has done by now.
    pub(crate) fn set_steps(&mut self, visitor: Uuid, day: Date, steps: Steps) {
        self.days.entry(day).or_insert(false);
        let known = self.steps.entry((visitor, day)).or_insert(Known { steps, fresh: true });
        if known.steps != steps {
            *known = Known { steps, fresh: true };
        }
    }

    /// Folds all of it, once there is much of it.
    pub(crate) fn fold_if_long(&mut self, connection: &Connection) -> Work<()> {
        if self.uids.len() < self.long && self.steps.len() / 4 < self.long {
            return Ok(());
        }
        self.fold(connection)
    }

    /// Folds all of it, if an event of it is not later than `id`.
    pub(crate) fn fold_up_to(&mut self, connection: &Connection, id: i64) -> Work<()> {
        if self.covered.is_some_and(|covered| id <= covered) {
            return Ok(());
        }
        self.fold(connection)
    }

    fn fold(&mut self, connection: &Connection) -> Work<()> {
        self.folds.append(connection, self.uids.drain().collect())?;
        let fresh = self.steps.iter_mut().filter(|(_, known)| known.fresh);
        let mut fresh: Vec<_> = fresh
            .map(|((visitor, day), known)| {
                known.fresh = false;
                (*day, *visitor, known.steps)
            })
            .collect();
        // In the order of the tree, so that each page is changed once.
        fresh.sort_unstable_by_key(|(day, visitor, _)| (*day, *visitor));
        for (day, visitor, steps) in fresh {
            put_steps(connection, visitor, day, steps)?;
            self.days.insert(day, true);
        }
        // Who came lately comes again, and need not be looked for in the tree.
        if self.steps.len() > 2 * self.long {
            self.steps.clear();
        }
        cover(connection, self.last)?;
        self.covered = Some(self.last);
        Ok(())
    }
}

/// Every day that has events.
fn days(connection: &Connection) -> Work<HashMap<Date, bool>> {
    let mut statement = connection.prepare_cached("SELECT day FROM kpi_days")?;
    let days = statement.query_map([], |row| row.get(0))?;
    days.map(|day| Ok((number_day(day?)?, true))).collect()
}

/// The last event that is folded.
pub(crate) fn covered(connection: &Connection) -> Work<i64> {
    let mut statement = connection.prepare_cached("SELECT covered FROM kpi_progress")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

pub(crate) fn cover(connection: &Connection, last: i64) -> Work<()> {
    connection.prepare_cached("UPDATE kpi_progress SET covered = ?1")?.execute([last])?;
    Ok(())
}

pub(crate) fn put_steps(
    connection: &Connection,
    visitor: Uuid,
    day: Date,
    steps: Steps,
) -> Work<()> {
    connection
        .prepare_cached(
            "INSERT INTO kpi_steps (day, visitor, steps) VALUES (?1, ?2, ?3) \
             ON CONFLICT DO UPDATE SET steps = excluded.steps",
        )?
        .execute(params![day_number(day), visitor.as_bytes(), steps.0])?;
    Ok(())
}
