//! Addresses from which a token was right, so that wrong tokens from there do not lock its owner out.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::Result;

/// An address from which a token was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAddress {
    /// A hash of the token and the address. Neither can be read from the store.
    pub id: String,
    /// When the token was right from there.
    pub seen_at: Timestamp,
}

/// Storage of known addresses.
#[async_trait]
pub trait KnownAddressStore: Send + Sync {
    /// When the token was last right from the address of this id; `None` if it is not stored.
    async fn known_address(&self, id: &str) -> Result<Option<Timestamp>>;

    /// Stores an address in place of the same one, and deletes all but the newest `keep`.
    async fn save_known_address(&self, address: &KnownAddress, keep: usize) -> Result<()>;
}
