//! Addresses from which a token was right.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::Result;
use crate::store::{KnownAddress, RunStore};

fn at(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
}

async fn save(store: &dyn RunStore, id: &str, minutes: i64, keep: usize) -> Result<()> {
    let address = KnownAddress { id: id.to_owned(), seen_at: at(minutes) };
    store.save_known_address(&address, keep).await
}

/// An address has the time that was stored last. It does not move the watch.
pub async fn a_known_address_is_stored_once(store: Arc<dyn RunStore>) -> Result<()> {
    assert_eq!(store.known_address("a").await?, None);
    let revision = *store.watch().borrow();
    for (id, minutes) in [("a", 1), ("b", 2), ("b", 2), ("a", 3)] {
        save(&*store, id, minutes, 2).await?;
    }
    assert_eq!(store.known_address("a").await?, Some(at(3)));
    assert_eq!(store.known_address("b").await?, Some(at(2)));
    assert_eq!(*store.watch().borrow(), revision);
    Ok(())
}

/// The newest addresses are kept.
pub async fn the_newest_known_addresses_are_kept(store: Arc<dyn RunStore>) -> Result<()> {
    for (id, minutes) in [("a", 4), ("b", 2), ("c", 3), ("d", 5)] {
        save(&*store, id, minutes, 3).await?;
    }
    for (id, minutes) in [("a", Some(4)), ("b", None), ("c", Some(3)), ("d", Some(5))] {
        assert_eq!(store.known_address(id).await?, minutes.map(at), "{id}");
    }
    Ok(())
}
