//! Known addresses.

use async_trait::async_trait;
use jiff::Timestamp;

use super::MemoryStore;
use crate::Result;
use crate::store::{KnownAddress, KnownAddressStore};

#[async_trait]
impl KnownAddressStore for MemoryStore {
    async fn known_address(&self, id: &str) -> Result<Option<Timestamp>> {
        let data = self.data();
        let known = data.known_addresses.iter().find(|known| known.id == id);
        Ok(known.map(|known| known.seen_at))
    }

    async fn save_known_address(&self, address: &KnownAddress, keep: usize) -> Result<()> {
        let known = &mut self.data().known_addresses;
        known.retain(|known| known.id != address.id);
        known.push(address.clone());
        known.sort_by(|a, b| b.seen_at.cmp(&a.seen_at).then_with(|| a.id.cmp(&b.id)));
        known.truncate(keep);
        Ok(())
    }
}
