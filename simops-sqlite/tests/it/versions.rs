//! Schemas of other versions: which are migrated, read as they are, or refused.

use std::time::Duration;

use simops::ErrorKind;
use simops::clock::day_of;
use simops::event::DayTally;
use simops::recount::RecountExt;
use simops::store::{Commit, ControlStore, EventFilter, EventStore, TallyStore};
use simops_sqlite::{SqliteOptions, SqliteStore};
use simops_tests::older::{add_agents, agents_in};
use tempfile::TempDir;

use crate::support::{change, event, path_in, refusal, stranger, url_in};

fn version(folder: &TempDir) -> i64 {
    stranger(folder).pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

/// What a newer simops does that lets programs of version `min_writer` write.
fn migrate_further(folder: &TempDir, min_writer: i64) {
    let database = stranger(folder);
    database.pragma_update(None, "user_version", version(folder) + 1).unwrap();
    database.execute("UPDATE schema_writers SET min_writer = ?1", [min_writer]).unwrap();
}

/// A database of the last version without `min_writer`.
async fn older() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(&url_in(&folder)).await.unwrap());
    let database = stranger(&folder);
    database.execute_batch(simops_tests::older::SQLITE).unwrap();
    drop(database);
    folder
}

async fn open_unchanged(folder: &TempDir) -> simops::Result<SqliteStore> {
    let options = SqliteOptions { migrate: false, ..SqliteOptions::default() };
    SqliteStore::open_with(&url_in(folder), options).await
}

async fn commit(store: &SqliteStore) -> simops::Result<Commit> {
    store.commit(&change(&store.load().await?), None).await
}

#[tokio::test]
async fn a_process_goes_on_after_a_migration_that_lets_it_write() {
    let folder = tempfile::tempdir().unwrap();
    let running = SqliteStore::open(&url_in(&folder)).await.unwrap();
    let known = version(&folder);
    migrate_further(&folder, known);
    assert_eq!(commit(&running).await.unwrap(), Commit::Done);
    // It may be restarted as well.
    let restarted = SqliteStore::open(&url_in(&folder)).await.unwrap();
    assert_eq!(commit(&restarted).await.unwrap(), Commit::Done);
    assert_eq!(version(&folder), known + 1);
}

#[tokio::test]
async fn a_process_writes_nothing_after_a_migration_that_it_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let running = SqliteStore::open(&url_in(&folder)).await.unwrap();
    commit(&running).await.unwrap();
    migrate_further(&folder, version(&folder) + 1);
    for refused in
        [refusal(commit(&running).await), refusal(SqliteStore::open(&url_in(&folder)).await)]
    {
        assert_eq!(refused.kind(), ErrorKind::Unusable);
        assert!(refused.detail().contains("newer simops"), "{refused}");
        assert!(refused.detail().contains("upgrade"), "{refused}");
    }
    assert!(running.ping().await.is_err());
    assert_eq!(running.load().await.unwrap().generation, 1);
}

#[tokio::test]
async fn an_older_schema_is_read_as_it_is_and_takes_no_writes() {
    let folder = older().await;
    let before = std::fs::read(path_in(&folder)).unwrap();
    let store = open_unchanged(&folder).await.unwrap();
    assert_eq!(store.load().await.unwrap().generation, 0);
    let filter = EventFilter { limit: 1, ..EventFilter::default() };
    assert!(store.events(&filter).await.unwrap().items.is_empty());
    assert_eq!(store.recount_kpi().await.unwrap().differences(), []);
    assert_eq!(store.recount().await.unwrap().differences(), []);
    let refused = refusal(commit(&store).await);
    assert_eq!(refused.kind(), ErrorKind::Unusable);
    assert!(refused.detail().contains("simops-server"), "{refused}");
    drop(store);
    assert!(std::fs::read(path_in(&folder)).unwrap() == before, "the file has changed");

    let writer = SqliteStore::open(&url_in(&folder)).await.unwrap();
    assert_eq!(commit(&writer).await.unwrap(), Commit::Done);
}

#[tokio::test]
async fn agents_of_an_older_schema_keep_their_figures_and_others_may_have_names() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&url_in(&folder)).await.unwrap();
    add_agents(&store).await;
    let before = agents_in(&store).await;
    assert!(before.iter().any(|read| read.contains("agent_id: Some(-8)")), "{before:?}");
    drop(store);
    stranger(&folder).execute_batch(simops_tests::older::SQLITE).unwrap();
    let unchanged = open_unchanged(&folder).await.unwrap();
    assert_eq!(agents_in(&unchanged).await, before);
    assert_eq!(unchanged.recount().await.unwrap().differences(), []);
    drop(unchanged);
    let store = SqliteStore::open(&url_in(&folder)).await.unwrap();
    assert_eq!(agents_in(&store).await, before);

    let named = event("said").of_agent("Zoë");
    let day = day_of(named.created_at);
    store.append(&[named.clone(), named]).await.unwrap();
    let days = store.tally_days(day, day).await.unwrap();
    let of_zoe = |day: &&DayTally| day.class.agent_id == Some("Zoë".into());
    assert_eq!(days.iter().filter(of_zoe).map(|day| day.count).collect::<Vec<_>>(), [1]);
    assert_eq!(days.len(), 4, "{days:?}");
}

#[tokio::test]
async fn an_error_about_what_an_older_schema_lacks_names_what_migrates_it() {
    let folder = older().await;
    stranger(&folder).execute_batch("ALTER TABLE control DROP COLUMN production_mark").unwrap();
    let refused = refusal(open_unchanged(&folder).await.unwrap().load().await);
    assert_eq!(refused.kind(), ErrorKind::Unusable);
    assert!(refused.detail().contains("simops-server"), "{refused}");
}

#[tokio::test]
async fn nothing_is_created_to_be_read() {
    let folder = tempfile::tempdir().unwrap();
    assert!(open_unchanged(&folder).await.is_err());
    assert!(!path_in(&folder).exists());
    std::fs::write(path_in(&folder), "").unwrap();
    let refused = refusal(open_unchanged(&folder).await);
    assert!(refused.detail().contains("empty"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_migrates_waits_for_another_that_takes_longer_than_locks_are_waited_for() {
    let folder = older().await;
    let other = stranger(&folder);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let options =
        SqliteOptions { busy_timeout: Duration::from_millis(10), ..SqliteOptions::default() };
    let url = url_in(&folder);
    let opening = tokio::spawn(async move { SqliteStore::open_with(&url, options).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!opening.is_finished(), "it should wait");
    other.execute_batch("COMMIT").unwrap();
    let store = opening.await.unwrap().unwrap();
    assert_eq!(commit(&store).await.unwrap(), Commit::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_to_migrate_can_give_up() {
    let folder = older().await;
    let other = stranger(&folder);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let url = url_in(&folder);
    let opening = SqliteStore::open(&url);
    assert!(tokio::time::timeout(Duration::from_millis(100), opening).await.is_err());
    other.execute_batch("COMMIT").unwrap();
    drop(other);
    assert_eq!(open_unchanged(&folder).await.unwrap().load().await.unwrap().generation, 0);
}
