//! Which databases are opened, and the errors of those that are not.

use std::time::{Duration, Instant};

use simops::ErrorKind;
use simops::store::{ControlStore, EventStore};
use simops_sqlite::{SqliteOptions, SqliteStore};

use crate::support::{assert_unavailable, change, event, path_in, refusal, stranger, url_in};

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_whose_log_holds_commits_is_refused_and_the_log_kept() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = SqliteStore::open(&url_in(&old)).await.unwrap();
    store.append(&[event("only in the log")]).await.unwrap();
    let logged = std::fs::read(old.path().join("simops.db-wal")).unwrap();
    let log = new.path().join("simops.db-wal");
    std::fs::write(&log, &logged).unwrap();
    std::fs::write(path_in(&new), "").unwrap();
    for read_only in [false, true] {
        let options = SqliteOptions { read_only, ..SqliteOptions::default() };
        let error = refusal(SqliteStore::open_with(&url_in(&new), options).await);
        assert_eq!(error.kind(), ErrorKind::Unusable, "{error}");
        assert!(error.detail().contains("-wal"), "{error}");
        assert!(std::fs::read(&log).unwrap() == logged, "the log is gone");
    }
}

#[tokio::test]
async fn a_url_of_another_kind_is_invalid_and_not_quoted() {
    for url in ["postgres://user:secret@host/db", "simops.db", "sqlite://", "sqlite://a.db?x=1"] {
        let error = refusal(SqliteStore::open(url).await);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
        assert!(error.detail().contains("DATABASE_URL"), "{error}");
        assert!(!error.detail().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let url = format!("sqlite://{}/simops.db", missing.display());
    let opened = SqliteStore::open(&url).await;
    assert_unavailable(opened, "folder does not exist");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(&url_in(&folder)).await.unwrap());
    stranger(&folder).pragma_update(None, "user_version", 4711).unwrap();
    stranger(&folder).execute("UPDATE schema_writers SET min_writer = 4000", []).unwrap();
    let before = std::fs::read(path_in(&folder)).unwrap();

    let error = refusal(SqliteStore::open(&url_in(&folder)).await);
    assert_eq!(error.kind(), ErrorKind::Unusable);
    assert!(error.detail().contains("version 4711"), "{error}");
    assert!(error.detail().contains("knows up to"), "{error}");
    assert_eq!(std::fs::read(path_in(&folder)).unwrap(), before);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_as_it_is() {
    for sql in [
        "CREATE TABLE users (name)",
        "PRAGMA application_id = 77",
        "PRAGMA user_version = 3",
        "PRAGMA application_id = 77; CREATE TABLE control (generation)",
    ] {
        let folder = tempfile::tempdir().unwrap();
        stranger(&folder).execute_batch(sql).unwrap();
        let before = std::fs::read(path_in(&folder)).unwrap();
        let error = refusal(SqliteStore::open(&url_in(&folder)).await);
        assert_eq!(error.kind(), ErrorKind::Unusable, "{sql}");
        assert!(error.detail().contains("another program"), "{error}");
        assert_eq!(std::fs::read(path_in(&folder)).unwrap(), before, "{sql}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(path_in(&folder), "dear diary, ".repeat(1_000)).unwrap();
    let error = refusal(SqliteStore::open(&url_in(&folder)).await);
    assert_eq!(error.kind(), ErrorKind::Unusable);
    assert!(error.detail().contains("no SQLite database"), "{error}");
}

#[tokio::test]
async fn a_database_cut_in_half_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(&url_in(&folder)).await.unwrap());
    let whole = std::fs::read(path_in(&folder)).unwrap();
    std::fs::write(path_in(&folder), &whole[..whole.len() / 2]).unwrap();
    let error = refusal(SqliteStore::open(&url_in(&folder)).await);
    assert_eq!(error.kind(), ErrorKind::Unusable, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_open_a_new_database_at_once_migrate_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut openers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = url_in(&folder);
        openers.spawn(async move { SqliteStore::open(&url).await });
    }
    let stores: Vec<_> = openers.join_all().await.into_iter().map(Result::unwrap).collect();
    for store in &stores {
        let state = store.load().await.unwrap();
        store.commit(&change(&state), None).await.unwrap();
    }
    assert_eq!(stores[0].load().await.unwrap().generation, 8);
}

#[tokio::test]
async fn a_closed_store_leaves_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&url_in(&folder)).await.unwrap();
    store.commit(&change(&store.load().await.unwrap()), None).await.unwrap();
    drop(store);
    let files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name());
    let files = files.map(|name| name.into_string().unwrap());
    // Not every file system can keep space.
    let files: Vec<_> = files.filter(|name| !name.ends_with("-reserve")).collect();
    assert_eq!(files, ["simops.db"]);
}

#[tokio::test]
async fn a_store_on_a_database_that_exists_is_open_at_once() {
    let folder = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(&url_in(&folder)).await.unwrap());
    let mut fastest = Duration::MAX;
    // The scheduler may delay some of them.
    for _ in 0..10 {
        let started = Instant::now();
        let store = SqliteStore::open(&url_in(&folder)).await.unwrap();
        store.ping().await.unwrap();
        fastest = fastest.min(started.elapsed());
    }
    assert!(fastest < Duration::from_millis(200), "{fastest:?}");
}
