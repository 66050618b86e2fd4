//! Addresses from which a token was right.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use simops::store::{KnownAddress, RunStore};
use tracing::warn;

use super::lockout::subject;
use super::token::TokenHash;

/// How long an address stays known after the last right token.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Addresses kept at once.
const MAX_ADDRESSES: usize = 4_096;
/// How old an entry must be before it is renewed: most requests change nothing.
const RENEWAL: Duration = Duration::from_secs(60 * 60);

/// The addresses (the /64 of v6 ones) from which a token was right in the last 30 days: the newest
/// 4,096 here, and as many in the store, which outlives the process and is shared with others.
pub(crate) struct KnownAddresses {
    store: Arc<dyn RunStore>,
    seen: Mutex<HashMap<Id, Instant>>,
}

/// A hash of a token and an address.
type Id = [u8; 32];

impl KnownAddresses {
    pub(crate) fn new(store: Arc<dyn RunStore>) -> Self {
        Self { store, seen: Mutex::default() }
    }

    /// Whether `token` was right from `address` within 30 days. While the store is unavailable, those
    /// since the start of the process count.
    pub(crate) async fn contains(&self, token: &TokenHash, address: IpAddr, now: Instant) -> bool {
        let id = id(token, address);
        let last = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied();
        if last.is_some_and(|last| now.saturating_duration_since(last) < LIFETIME) {
            return true;
        }
        match self.store.known_address(&hex(&id)).await {
            Ok(last) => last.is_some_and(|last| Timestamp::now() < last + LIFETIME),
            Err(error) => {
                warn!(
                    code = "known_address_not_read", %error,
                    "whether a token was right before from a locked address is unknown"
                );
                false
            }
        }
    }

    /// Notes that `token` was right from `address`. At most once an hour this is stored, by a task of
    /// its own.
    pub(crate) fn insert(&self, token: &TokenHash, address: IpAddr, now: Instant) {
        let id = id(token, address);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = |last: &Instant| now.saturating_duration_since(*last) < RENEWAL;
        if seen.get(&id).is_some_and(is_new) {
            return;
        }
        if seen.len() >= MAX_ADDRESSES && !seen.contains_key(&id) {
            let oldest = seen.iter().min_by_key(|(_, last)| **last).map(|(id, _)| *id);
            oldest.map(|id| seen.remove(&id));
        }
        seen.insert(id, now);
        drop(seen);
        let known = KnownAddress { id: hex(&id), seen_at: Timestamp::now() };
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            if let Err(error) = store.save_known_address(&known, MAX_ADDRESSES).await {
                warn!(
                    code = "known_address_not_stored", %error,
                    "an address from which a token was right is known until this process ends"
                );
            }
        });
    }
}

fn id(token: &TokenHash, address: IpAddr) -> Id {
    let mut digest = Sha256::new_with_prefix(token);
    match subject(address) {
        IpAddr::V4(v4) => digest.update(v4.octets()),
        IpAddr::V6(v6) => digest.update(v6.octets()),
    }
    digest.finalize().into()
}

fn hex(id: &Id) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use simops::store::KnownAddressStore;
    use simops::testing::MemoryStore;

    use super::super::token;
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn an_address_is_known_for_thirty_days() {
        let store = MemoryStore::new();
        let (known, start) = (KnownAddresses::new(Arc::new(store.clone())), Instant::now());
        let (token, address) = (token::hash(b"right"), ip("203.0.113.9"));
        known.insert(&token, address, start);
        tokio::task::yield_now().await;
        assert!(known.contains(&token, address, start + LIFETIME - Duration::from_secs(1)).await);
        assert!(!known.contains(&token, ip("203.0.113.8"), start).await);
        assert!(!known.contains(&token::hash(b"other"), address, start).await);
        known.insert(&token, address, start + LIFETIME / 2);
        tokio::task::yield_now().await;
        assert!(known.contains(&token, address, start + LIFETIME).await);

        let id = hex(&id(&token, address));
        assert!(store.known_address(&id).await.unwrap().is_some());
        let long_ago = KnownAddress { id, seen_at: Timestamp::now() - LIFETIME };
        store.save_known_address(&long_ago, 1).await.unwrap();
        assert!(!known.contains(&token, address, start + LIFETIME * 2).await);
    }

    #[tokio::test]
    async fn the_newest_addresses_are_kept() {
        let store = Arc::new(MemoryStore::new());
        let (known, start) = (KnownAddresses::new(store), Instant::now());
        let token = token::hash(b"right");
        for n in 0..=MAX_ADDRESSES {
            let n = u32::try_from(n).unwrap();
            let address = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
            known.insert(&token, address, start + Duration::from_secs(n.into()));
        }
        let seen = known.seen.lock().unwrap();
        assert_eq!(seen.len(), MAX_ADDRESSES);
        assert!(!seen.contains_key(&id(&token, ip("10.0.0.0"))));
        assert!(seen.contains_key(&id(&token, ip("10.0.0.1"))));
    }
}
