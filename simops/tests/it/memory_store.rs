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

#[test]
fn every_case_of_the_suite_is_in_its_list() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/testing/conformance");
    let list = std::fs::read_to_string(format!("{folder}/mod.rs")).unwrap();
    let list = list.split("macro_rules! store_conformance").nth(1).unwrap();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for case in text.split("\npub async fn ").skip(1) {
            let name = case.split(['(', '<']).next().unwrap();
            let listed = list.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == name);
            assert!(listed || name == "check", "{name} of {} is never run", path.display());
        }
    }
}
