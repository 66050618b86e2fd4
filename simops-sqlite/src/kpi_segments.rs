//! The uids of merged events: segments, each sorted in rows behind a Bloom filter.
//!
//! A segment is written once and not changed, so it costs the same however many events are stored.
//! Whether an event is new is asked of the filters, in memory. Only if one of them may hold the uid, a
//! row of its segment is read. The filters take two bytes per event.

use fastbloom::BloomFilter;
use rusqlite::{Connection, OptionalExtension, params};
use simops::store::sql::count;
use uuid::Uuid;

use crate::error::Work;

/// Bits per uid and hash functions of a filter: one new uid in two thousand is a false positive.
const BITS: usize = 16;
const HASHES: u32 = 8;

/// Uids per row: more would need overflow pages.
pub(crate) const UIDS_PER_ROW: usize = 58;

/// The stored segments that this process has loaded, by id.
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
        self.0.sort_unstable_by_key(|segment| segment.id);
        Ok(())
    }

    /// Whether the first and the last stored segment are loaded: new ones are appended, and those of a
    /// rebuild come before all others.
    pub(crate) fn are_current(&self, connection: &Connection) -> Work<bool> {
        let end = |order: &str| {
            let find = format!("SELECT id, token FROM kpi_folds ORDER BY id {order} LIMIT 1");
            let mut statement = connection.prepare_cached(&find)?;
            statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        };
        let ids = |segment: &Segment| (segment.id, segment.token);
        Ok(end("ASC")? == self.0.first().map(ids) && end("DESC")? == self.0.last().map(ids))
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

    /// Removes a uid from the segment that holds it.
    pub(crate) fn remove(&self, connection: &Connection, uid: Uuid) -> Work<()> {
        let key = key(uid);
        for segment in self.0.iter().filter(|segment| segment.filter.contains_hash(key)) {
            let mut statement = connection.prepare_cached(
                "SELECT first, uids FROM kpi_fold_runs WHERE fold = ?1 AND first <= ?2 \
                 ORDER BY first DESC LIMIT 1",
            )?;
            let found = statement.query_row(params![segment.id, uid.as_bytes()], |row| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
            });
            let Some((first, mut uids)) = found.optional()? else { continue };
            let Ok(index) = uids.as_chunks::<16>().0.binary_search(uid.as_bytes()) else {
                continue;
            };
            uids.drain(16 * index..16 * (index + 1));
            connection
                .prepare_cached(
                    "UPDATE kpi_fold_runs SET uids = ?3 WHERE fold = ?1 AND first = ?2",
                )?
                .execute(params![segment.id, first, uids])?;
        }
        Ok(())
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
        write_rows(connection, id, uids.chunks(UIDS_PER_ROW))?;
        self.0.push(Segment { id, token, filter });
        Ok(())
    }
}

/// The stored segments, in order.
pub(crate) fn stored_segments(connection: &Connection) -> Work<Vec<i64>> {
    let mut statement = connection.prepare_cached("SELECT id FROM kpi_folds ORDER BY id")?;
    let stored = statement.query_map([], |row| row.get(0))?;
    Ok(stored.collect::<Result<_, _>>()?)
}

/// Writes rows of a segment, which is not part of the index until it is [listed](list_segment): chunks
/// of sorted uids.
pub(crate) fn write_rows<'u>(
    connection: &Connection,
    segment: i64,
    rows: impl Iterator<Item = &'u [Uuid]>,
) -> Work<()> {
    let mut insert = connection
        .prepare_cached("INSERT INTO kpi_fold_runs (fold, first, uids) VALUES (?1, ?2, ?3)")?;
    let mut row = Vec::with_capacity(16 * UIDS_PER_ROW);
    for uids in rows {
        row.clear();
        row.extend(uids.iter().flat_map(|uid| uid.as_bytes()));
        insert.execute(params![segment, uids[0].as_bytes(), row])?;
    }
    Ok(())
}

/// Makes a segment part of the index. False if not all of its `rows` are there.
pub(crate) fn list_segment(
    connection: &Connection,
    segment: i64,
    rows: usize,
    filter: &[u8],
) -> Work<bool> {
    let stored: i64 = connection
        .prepare_cached("SELECT count(*) FROM kpi_fold_runs WHERE fold = ?1")?
        .query_row([segment], |row| row.get(0))?;
    if usize::try_from(stored) != Ok(rows) {
        return Ok(false);
    }
    connection
        .prepare_cached("INSERT INTO kpi_folds (id, token, filter) VALUES (?1, random(), ?2)")?
        .execute(params![segment, filter])?;
    Ok(true)
}

/// Ends that segments are part of the index, and makes every process load the others. The rows of the
/// segments stay.
pub(crate) fn drop_segments(connection: &Connection, segments: &[i64]) -> Work<()> {
    let mut delete = connection.prepare_cached("DELETE FROM kpi_folds WHERE id = ?1")?;
    for segment in segments {
        delete.execute([segment])?;
    }
    replace_last_token(connection)
}

/// Makes every process load the last segment again, and those that it does not know.
pub(crate) fn replace_last_token(connection: &Connection) -> Work<()> {
    let mut replace = connection.prepare_cached(
        "UPDATE kpi_folds SET token = random() WHERE id = (SELECT max(id) FROM kpi_folds)",
    )?;
    replace.execute([])?;
    Ok(())
}

/// The segments that have rows but are not part of the index.
pub(crate) fn unlisted_segments(connection: &Connection) -> Work<Vec<i64>> {
    // One look-up per segment, instead of reading all rows.
    let mut statement = connection.prepare_cached(
        "WITH RECURSIVE found (fold) AS ( \
             SELECT min(fold) FROM kpi_fold_runs UNION ALL \
             SELECT (SELECT min(fold) FROM kpi_fold_runs WHERE fold > found.fold) FROM found \
             WHERE found.fold IS NOT NULL \
         ) SELECT fold FROM found WHERE fold IS NOT NULL AND fold NOT IN (SELECT id FROM kpi_folds)",
    )?;
    let unlisted = statement.query_map([], |row| row.get(0))?;
    Ok(unlisted.collect::<Result<_, _>>()?)
}

/// Deletes at most `limit` rows of a segment that is not part of the index. Returns their number.
pub(crate) fn delete_unlisted(connection: &Connection, segment: i64, limit: usize) -> Work<usize> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM kpi_fold_runs WHERE fold = ?1 AND first IN \
             (SELECT first FROM kpi_fold_runs WHERE fold = ?1 ORDER BY first LIMIT ?2) \
             AND NOT EXISTS (SELECT 1 FROM kpi_folds WHERE id = ?1)",
    )?;
    Ok(delete.execute(params![segment, count(limit)])?)
}

/// The stored form of the filter of a segment of these uids.
pub(crate) fn filter_bytes(uids: &[Uuid]) -> Vec<u8> {
    bytes(&filter(uids.len(), uids.iter().copied()))
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
