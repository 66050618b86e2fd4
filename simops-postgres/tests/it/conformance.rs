//! A database of a real Postgres keeps every promise of a store.

use std::sync::OnceLock;

use simops::testing::StoreBuilder;
use simops::{Result, async_trait};
use simops_postgres::PostgresStore;
use simops_tests::pgbouncer::PgBouncer;
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

/// The same behind a pooler that lends each transaction another session, and with no nothing.
struct Pooled;

impl Pooled {
    fn pooler() -> &'static PgBouncer {
        static POOLER: OnceLock<PgBouncer> = OnceLock::new();
        POOLER.get_or_init(|| PgBouncer::before(PostgresServer::shared()))
    }
}

#[async_trait]
impl StoreBuilder for Pooled {
    type Store = PostgresStore;
    type Guard = TestDatabase;

    async fn build(&self) -> Result<(PostgresStore, TestDatabase)> {
        let database = PostgresServer::shared().database();
        Ok((PostgresStore::open(&Self::pooler().url(&database)).await?, database))
    }

    async fn open_again(&self, database: &TestDatabase) -> Result<Option<PostgresStore>> {
        PostgresStore::open(&Self::pooler().url(database)).await.map(Some)
    }
}

mod direct {
    simops::store_conformance!(super::Database);
}

mod pooled {
    simops::store_conformance!(super::Pooled);
}
