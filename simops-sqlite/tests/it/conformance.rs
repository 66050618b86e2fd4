//! Files and memory keep every promise of a store.

use simops::testing::StoreBuilder;
use simops::{Result, async_trait};
use simops_sqlite::SqliteStore;
use tempfile::TempDir;

use crate::support::url_in;

struct File;

#[async_trait]
impl StoreBuilder for File {
    type Store = SqliteStore;
    type Guard = TempDir;

    async fn build(&self) -> Result<(SqliteStore, TempDir)> {
        let folder = tempfile::tempdir().unwrap();
        Ok((SqliteStore::open(&url_in(&folder)).await?, folder))
    }

    async fn open_again(&self, folder: &TempDir) -> Result<Option<SqliteStore>> {
        SqliteStore::open(&url_in(folder)).await.map(Some)
    }
}

struct Memory;

#[async_trait]
impl StoreBuilder for Memory {
    type Store = SqliteStore;
    type Guard = ();

    async fn build(&self) -> Result<(SqliteStore, ())> {
        Ok((SqliteStore::open("sqlite::memory:").await?, ()))
    }
}

mod file {
    simops::store_conformance!(super::File);
}

mod memory {
    simops::store_conformance!(super::Memory);
}
