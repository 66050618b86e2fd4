//! Calls counted by several processes, in the database and in Redis, whatever happens to Redis.

mod budgets;
mod delays;
mod failovers;
mod outages;
mod races;
mod scene;

use std::sync::Arc;

use simops::SystemClock;
use simops::testing::{CounterBuilder, Counting};
use simops::usage::TieredCounter;
use simops::{Result, async_trait};
use simops_sqlite::SqliteStore;
use simops_tests::redis::RedisServer;
use tempfile::TempDir;

/// A counter in a Redis of its own, over a database file.
struct InRedis;

#[async_trait]
impl CounterBuilder for InRedis {
    type Guard = (TempDir, RedisServer);

    async fn build(&self) -> Result<(Counting, Self::Guard)> {
        let dir = tempfile::tempdir().unwrap();
        let redis = RedisServer::start(dir.path()).await;
        let (counter, store) = tiered(&dir, &redis.url()).await?;
        Ok((Counting { counter, store }, (dir, redis)))
    }
}

async fn open(dir: &TempDir) -> Result<Arc<SqliteStore>> {
    let path = dir.path().join("simops.db");
    Ok(Arc::new(SqliteStore::open(&format!("sqlite://{}", path.display())).await?))
}

async fn tiered(dir: &TempDir, redis: &str) -> Result<(Arc<TieredCounter>, Arc<SqliteStore>)> {
    let store = open(dir).await?;
    let counter = TieredCounter::start(store.clone(), redis, Arc::new(SystemClock)).await?;
    Ok((Arc::new(counter), store))
}

mod in_redis {
    simops::counter_conformance!(super::InRedis);
}
