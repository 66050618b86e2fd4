//! The reference store passes the suite that it is the reference of.

use simops::testing::{MemoryStore, StoreBuilder};
use simops::{Result, async_trait};

struct Memory;

#[async_trait]
impl StoreBuilder for Memory {
    type Store = MemoryStore;
    type Guard = MemoryStore;

    async fn build(&self) -> Result<(MemoryStore, MemoryStore)> {
        let store = MemoryStore::new();
        Ok((store.clone(), store))
    }

    async fn open_again(&self, guard: &MemoryStore) -> Result<Option<MemoryStore>> {
        Ok(Some(guard.clone()))
    }
}

mod conformance {
    simops::store_conformance!(super::Memory);
}
