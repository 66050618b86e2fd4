//! The uids of merged events: segments, each sorted in rows behind a Bloom filter.
//!
//! A segment is written once and not changed, so it costs the same however many events are stored.
//! Whether an event is new is asked of the filters, in memory. Only if one of them may hold the uid, a
//! row of its segment is read. The filters take two bytes per event.

use fastbloom::BloomFilter;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::error::Work;

/// Bits per uid and hash functions of a filter: one new uid in two thousand is a false positive.
const BITS: usize = 16;
const HASHES: u32 = 8;

/// Uids per row: more would need overflow pages.
const UIDS_PER_ROW: usize = 58;

/// The stored segments that this process has loaded.
#[derive(Debug, Default)]
pub(crate) struct Segments(Vec<Segment>);

#[derive(Debug)]
struct Segment {
    id: i64,
    token: i64,
    filter: BloomFilter,
}

impl Segments {
    /// Loads the segments that are not loaded yet and drops those that are gone.
    pub(crate) fn catch_up(&mut self, connection: &Connection) -> Work<()> {
        let mut statement =
            connection.prepare_cached("SELECT id, token FROM kpi_folds ORDER BY id")?;
        let stored = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let stored: Vec<(i64, i64)> = stored.collect::<Result<_, _>>()?;
        self.0.retain(|segment| stored.contains(&(segment.id, segment.token)));
        for (id, token) in stored {
            if !self.0.iter().any(|segment| segment.id == id) {
                self.0.push(Segment { id, token, filter: filter_of(connection, id)? });
            }
        }
        Ok(())
    }

    /// Whether the last stored segment is the last loaded one.
    pub(crate) fn are_current(&self, connection: &Connection) -> Work<bool> {
        let mut statement = connection
            .prepare_cached("SELECT id, token FROM kpi_folds ORDER BY id DESC LIMIT 1")?;
        let stored = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(stored.optional()? == self.0.last().map(|segment| (segment.id, segment.token)))
    }

    /// Whether a segment holds this uid.
    pub(crate) fn contain(&self, connection: &Connection, uid: Uuid) -> Work<bool> {
        let key = key(uid);
        // Newest first: most duplicates are of recent events.
        for segment in self.0.iter().rev().filter(|segment| segment.filter.contains_hash(key)) {
            let mut statement = connection.prepare_cached(
                "SELECT uids FROM kpi_fold_runs WHERE fold = ?1 AND first <= ?2 \
                 ORDER BY first DESC LIMIT 1",
            )?;
            let found = statement.query_row(params![segment.id, uid.as_bytes()], |row| {
                let (uids, _) = row.get_ref(0)?.as_blob()?.as_chunks::<16>();
                Ok(uids.binary_search(uid.as_bytes()).is_ok())
            });
            if found.optional()? == Some(true) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Appends a segment.
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
        let mut row = Vec::with_capacity(16 * UIDS_PER_ROW);
        for uids in uids.chunks(UIDS_PER_ROW) {
            row.clear();
            row.extend(uids.iter().flat_map(|uid| uid.as_bytes()));
            insert.execute(params![id, uids[0].as_bytes(), row])?;
        }
        self.0.push(Segment { id, token, filter });
        Ok(())
    }
}

/// Replaces all segments with one of all stored events.
pub(crate) fn rebuild_segments(connection: &Connection) -> Work<()> {
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

/// The filter of a segment, built and stored if it has none.
fn filter_of(connection: &Connection, segment: i64) -> Work<BloomFilter> {
    let mut statement = connection.prepare_cached("SELECT filter FROM kpi_folds WHERE id = ?1")?;
    let stored: Option<Option<Vec<u8>>> =
        statement.query_row([segment], |row| row.get(0)).optional()?;
    if let Some(words) = stored.flatten().as_deref().and_then(words) {
        return Ok(BloomFilter::from_vec(words).hashes(HASHES));
    }
    let count = connection.query_row(
        "SELECT coalesce(sum(length(uids)), 0) / 16 FROM kpi_fold_runs WHERE fold = ?1",
        [segment],
        |row| row.get(0),
    )?;
    let mut filter = empty(count);
    let mut statement =
        connection.prepare_cached("SELECT uids FROM kpi_fold_runs WHERE fold = ?1")?;
    let mut rows = statement.query([segment])?;
    while let Some(row) = rows.next()? {
        let (uids, _) = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?.as_chunks();
        for uid in uids {
            filter.insert_hash(key(Uuid::from_bytes(*uid)));
        }
    }
    connection
        .prepare_cached("UPDATE kpi_folds SET filter = ?2 WHERE id = ?1")?
        .execute(params![segment, bytes(&filter)])?;
    Ok(filter)
}

fn filter(count: usize, uids: impl Iterator<Item = Uuid>) -> BloomFilter {
    let mut filter = empty(count);
    for uid in uids {
        filter.insert_hash(key(uid));
    }
    filter
}

fn empty(count: usize) -> BloomFilter {
    BloomFilter::with_num_bits(BITS * count.max(64)).hashes(HASHES)
}

/// A hash of both halves of a uid, so that uids that share one half differ.
fn key(uid: Uuid) -> u64 {
    let (high, low) = uid.as_u64_pair();
    // Multiplied, to spread consecutive numbers.
    (high ^ low.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn bytes(filter: &BloomFilter) -> Vec<u8> {
    filter.iter().flat_map(u64::to_le_bytes).collect()
}

/// The words of a stored filter; `None` if it is none.
fn words(bytes: &[u8]) -> Option<Vec<u64>> {
    let (words, rest) = bytes.as_chunks::<8>();
    let whole = !words.is_empty() && rest.is_empty();
    whole.then(|| words.iter().map(|word| u64::from_le_bytes(*word)).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests;
