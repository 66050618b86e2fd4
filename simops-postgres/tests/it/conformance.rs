//! A database of a real Postgres keeps every promise of a store.

use simops::testing::StoreBuilder;
use simops::{Result, async_trait};
use simops_postgres::PostgresStore;
use simops_tests::postgres::{PostgresServer, TestDatabase};

struct Database;

#[async_trait]
impl StoreBuilder for Database {
    type Store = PostgresStore;
    type Guard = TestDatabase;

    async fn build(&self) -> Result<(PostgresStore, TestDatabase)> {
        let database = PostgresServer::shared().database();
        Ok((PostgresStore::open(&database.url()).await?, database))
    }

    async fn open_again(&self, database: &TestDatabase) -> Result<Option<PostgresStore>> {
        PostgresStore::open(&database.url()).await.map(Some)
    }
}

simops::store_conformance!(Database);
