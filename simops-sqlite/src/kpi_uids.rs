//! Writes the segments of uids again, from the stored events: while others record, in short
//! transactions.

use simops::progress::Progress;
use simops::{Error, Result};
use uuid::Uuid;

use crate::SqliteStore;
use crate::kpi_recount::revision;
use crate::kpi_rows::last_merged;
use crate::kpi_segments::{
    UIDS_PER_ROW, delete_unlisted, drop_segments, filter_bytes, list_segment, stored_segments,
    unlisted_segments, write_rows,
};

/// Uids per segment, which are sorted in memory.
const SEGMENT: usize = 1 << 20;
/// Events that are read at once.
const PIECE: i64 = 20_000;
/// Rows that are written or deleted in one transaction, of about 1 KiB each.
const ROWS: usize = 250;

/// Replaces the stored segments with new ones of all merged events.
///
/// The old segments stay part of the index until all new ones are part of it; rows of one that is not
/// finished do not count. A crash leaves segments that are superfluous, or rows, which the next call
/// deletes.
pub(crate) async fn rebuild_segments(store: &SqliteStore, progress: Progress<'_>) -> Result<()> {
    // In one snapshot: the segments hold what is merged.
    let state =
        store.on_reader_long(|tx| Ok((stored_segments(tx)?, last_merged(tx)?, revision(tx)?)));
    let (old, until, began) = state.await?;
    delete_rows(store).await?;
    let (mut after, mut uids, mut new) = (0, Vec::new(), Vec::new());
    while after < until {
        let piece = store.on_reader_long(move |tx| {
            let mut statement = tx.prepare_cached(
                "SELECT id, uid FROM kpi_events WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3",
            )?;
            let rows = statement.query_map([after, until, PIECE], |row| {
                Ok((row.get::<_, i64>(0)?, Uuid::from_bytes(row.get(1)?)))
            })?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
        });
        let piece = piece.await?;
        after = piece.last().map_or(until, |(id, _)| *id);
        uids.extend(piece.into_iter().map(|(_, uid)| uid));
        progress(after.unsigned_abs(), until.unsigned_abs());
        if uids.len() >= SEGMENT || after >= until {
            new.extend(add_segment(store, std::mem::take(&mut uids)).await?);
        }
    }
    // Uids of visitors that were deleted meanwhile must not be known again.
    let is_current = store.on_writer_long(move |tx| {
        let is_current = revision(tx)? == began;
        drop_segments(tx, if is_current { &old } else { &new })?;
        Ok(is_current)
    });
    let is_current = is_current.await?;
    delete_rows(store).await?;
    if is_current { Ok(()) } else { Err(disturbed()) }
}

/// Deletes the rows that are of no segment.
async fn delete_rows(store: &SqliteStore) -> Result<()> {
    for segment in store.on_reader_long(|tx| unlisted_segments(tx)).await? {
        while store.on_writer_long(move |tx| delete_unlisted(tx, segment, ROWS)).await? > 0 {}
    }
    Ok(())
}

async fn add_segment(store: &SqliteStore, mut uids: Vec<Uuid>) -> Result<Option<i64>> {
    uids.sort_unstable();
    // Events may have been recorded twice by a damaged index.
    uids.dedup();
    if uids.is_empty() {
        return Ok(None);
    }
    // Random, and below the ids of all segments that are appended.
    let segment = -(Uuid::now_v7().as_u64_pair().1 >> 2).cast_signed();
    for part in uids.chunks(UIDS_PER_ROW * ROWS) {
        let part = part.to_vec();
        store.on_writer_long(move |tx| write_rows(tx, segment, part.chunks(UIDS_PER_ROW))).await?;
    }
    let (rows, filter) = (uids.len().div_ceil(UIDS_PER_ROW), filter_bytes(&uids));
    let is_whole = store.on_writer_long(move |tx| list_segment(tx, segment, rows, &filter));
    if is_whole.await? { Ok(Some(segment)) } else { Err(disturbed()) }
}

fn disturbed() -> Error {
    Error::unavailable(
        "another process rebuilds the same or deletes visitors: run it again when that has ended",
    )
}
