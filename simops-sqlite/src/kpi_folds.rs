//! The uids of events that left the tail: folds, each a run in order behind a filter.
//!
//! A fold is written once and never changed, so it costs what its own uids cost, however many events
//! are stored. Whether an event is new is asked of the filters, in memory; only where one of them
//! holds the uid, rightly or by chance, a row of its run is read. The filters take two bytes per event.

use fastbloom::BloomFilter;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::error::Work;

/// With so many bits for each uid and as many places as are best for them, one new uid in two
/// thousand is looked for in a run in vain.
const BITS: usize = 16;
const PLACES: u32 = 8;

/// Uids in a row: more would need pages of their own.
const IN_A_ROW: usize = 58;

/// The folds that are stored, as far as a process remembers them.
#[derive(Debug, Default)]
pub(crate) struct Folds(Vec<Fold>);

#[derive(Debug)]
struct Fold {
    id: i64,
    token: i64,
    filter: BloomFilter,
}

impl Folds {
    /// Remembers what is stored, reading only what is not remembered yet.
    pub(crate) fn catch_up(&mut self, connection: &Connection) -> Work<()> {
        let mut statement =
            connection.prepare_cached("SELECT id, token FROM kpi_folds ORDER BY id")?;
        let stored = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let stored: Vec<(i64, i64)> = stored.collect::<Result<_, _>>()?;
        self.0.retain(|fold| stored.contains(&(fold.id, fold.token)));
        for (id, token) in stored {
            if !self.0.iter().any(|fold| fold.id == id) {
                self.0.push(Fold { id, token, filter: filter_of(connection, id)? });
            }
        }
        Ok(())
    }

    /// Whether the last fold that is stored is the last that is remembered.
    pub(crate) fn are_current(&self, connection: &Connection) -> Work<bool> {
        let mut statement = connection
            .prepare_cached("SELECT id, token FROM kpi_folds ORDER BY id DESC LIMIT 1")?;
        let stored = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(stored.optional()? == self.0.last().map(|fold| (fold.id, fold.token)))
    }

    /// Whether an event of this uid was folded.
    pub(crate) fn hold(&self, connection: &Connection, uid: Uuid) -> Work<bool> {
        let key = key(uid);
        // The newest first: what is sent again was mostly sent just now.
        for fold in self.0.iter().rev().filter(|fold| fold.filter.contains_hash(key)) {
            let mut statement = connection.prepare_cached(
                "SELECT uids FROM kpi_fold_runs WHERE fold = ?1 AND first <= ?2 \
                 ORDER BY first DESC LIMIT 1",
            )?;
            let found = statement.query_row(params![fold.id, uid.as_bytes()], |row| {
                let (uids, _) = row.get_ref(0)?.as_blob()?.as_chunks::<16>();
                Ok(uids.binary_search(uid.as_bytes()).is_ok())
            });
            if found.optional()? == Some(true) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Appends a fold.
    pub(crate) fn append(&mut self, connection: &Connection, mut uids: Vec<Uuid>) -> Work<()> {
        if uids.is_empty() {
            return Ok(());
        }
        uids.sort_unstable();
        let filter = filter(uids.len(), uids.iter().copied());
        let token = Uuid::now_v7().as_u64_pair().1.cast_signed();
        connection
            .prepare_cached("INSERT INTO kpi_folds (token, filter) VALUES (?1, ?2)")?
            .execute(params![token, bytes(&filter)])?;
        let id = connection.last_insert_rowid();
        let mut insert = connection
            .prepare_cached("INSERT INTO kpi_fold_runs (fold, first, uids) VALUES (?1, ?2, ?3)")?;
        let mut row = Vec::with_capacity(16 * IN_A_ROW);
        for uids in uids.chunks(IN_A_ROW) {
            row.clear();
            row.extend(uids.iter().flat_map(|uid| uid.as_bytes()));
            insert.execute(params![id, uids[0].as_bytes(), row])?;
        }
        self.0.push(Fold { id, token, filter });
        Ok(())
    }
}

/// Makes all events that are stored one fold.
pub(crate) fn fold_all(connection: &Connection) -> Work<()> {
    connection.execute_batch(
        "DELETE FROM kpi_folds; DELETE FROM kpi_fold_runs; \
         INSERT INTO kpi_folds (id, token) SELECT 1, random() WHERE EXISTS (SELECT 1 FROM kpi_events); \
         INSERT INTO kpi_fold_runs \
         SELECT 1, min(uid), unhex(group_concat(hex(uid), '' ORDER BY uid)) \
         FROM (SELECT uid, (row_number() OVER (ORDER BY uid) - 1) / 58 AS run \
             FROM (SELECT DISTINCT uid FROM kpi_events)) \
         GROUP BY run;",
    )?;
    Ok(())
}

/// The filter of a fold, which is made if there is none.
fn filter_of(connection: &Connection, fold: i64) -> Work<BloomFilter> {
    let mut statement = connection.prepare_cached("SELECT filter FROM kpi_folds WHERE id = ?1")?;
    let stored: Option<Option<Vec<u8>>> =
        statement.query_row([fold], |row| row.get(0)).optional()?;
    if let Some(words) = stored.flatten().as_deref().and_then(words) {
        return Ok(BloomFilter::from_vec(words).hashes(PLACES));
    }
    let count = connection.query_row(
        "SELECT coalesce(sum(length(uids)), 0) / 16 FROM kpi_fold_runs WHERE fold = ?1",
        [fold],
        |row| row.get(0),
    )?;
    let mut made = empty(count);
    let mut statement =
        connection.prepare_cached("SELECT uids FROM kpi_fold_runs WHERE fold = ?1")?;
    let mut rows = statement.query([fold])?;
    while let Some(row) = rows.next()? {
        let (uids, _) = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?.as_chunks();
        for uid in uids {
            made.insert_hash(key(Uuid::from_bytes(*uid)));
        }
    }
    connection
        .prepare_cached("UPDATE kpi_folds SET filter = ?2 WHERE id = ?1")?
        .execute(params![fold, bytes(&made)])?;
    Ok(made)
}

fn filter(count: usize, uids: impl Iterator<Item = Uuid>) -> BloomFilter {
    let mut filter = empty(count);
    for uid in uids {
        filter.insert_hash(key(uid));
    }
    filter
}

fn empty(count: usize) -> BloomFilter {
    BloomFilter::with_num_bits(BITS * count.max(64)).hashes(PLACES)
}

/// Both halves of a uid, so that uids which share one are told apart.
fn key(uid: Uuid) -> u64 {
    let (high, low) = uid.as_u64_pair();
    // Multiplied, so that near numbers lie far apart.
    (high ^ low.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn bytes(filter: &BloomFilter) -> Vec<u8> {
    filter.iter().flat_map(u64::to_le_bytes).collect()
}

/// Nothing if it is no filter.
fn words(bytes: &[u8]) -> Option<Vec<u64>> {
    let (words, rest) = bytes.as_chunks::<8>();
    let whole = !words.is_empty() && rest.is_empty();
    whole.then(|| words.iter().map(|word| u64::from_le_bytes(*word)).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    fn uids(numbers: std::ops::Range<u64>) -> impl Iterator<Item = Uuid> {
        numbers.map(|number| Uuid::from_u64_pair(7, number))
    }

    /// Filters are stored: if a release of the crate sets other bits, those on disk would tell that
    /// uids are new which are not. Then a migration must set every stored filter to NULL.
    #[test]
    fn a_filter_sets_the_bits_that_are_stored() {
        let filter = filter(3, uids(0..3));
        let set: Vec<_> = (0..filter.num_bits())
            .filter(|bit| filter.as_slice()[bit / 64] >> (bit % 64) & 1 == 1)
            .collect();
        assert_eq!(
            set,
            [
                0, 31, 48, 95, 110, 194, 205, 211, 220, 313, 314, 328, 334, 349, 471, 514, 649,
                685, 761, 784, 821, 830, 843, 997
            ]
        );
    }

    #[test]
    fn a_filter_holds_what_it_was_made_of_and_little_else() {
        let made = filter(10_000, uids(0..10_000));
        let stored = BloomFilter::from_vec(words(&bytes(&made)).unwrap()).hashes(PLACES);
        assert!(uids(0..10_000).all(|uid| stored.contains_hash(key(uid))));
        let by_chance = uids(10_000..110_000).filter(|uid| stored.contains_hash(key(*uid)));
        assert!(by_chance.count() < 200);
    }

    #[test]
    fn what_is_no_filter_is_not_read_as_one() {
        assert_eq!((words(&[]), words(&[0; 9])), (None, None));
        assert_eq!(words(&[1, 0, 0, 0, 0, 0, 0, 0]), Some(vec![1]));
    }
}
