//! `prune`.

use jiff::Timestamp;
use simops::event::NewEvent;
use simops::store::EventStore;

use crate::support::{Place, Said};

#[test]
fn old_events_go_and_a_dry_run_only_counts_them() {
    let place = Place::with_database();
    let old = Timestamp::from_second(1_000_000_000).unwrap();
    let events: Vec<_> = (0..7).map(|_| NewEvent::new("work", "long ago", old)).collect();
    let url = format!("sqlite://{}", place.path().join("simops.db").display());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = simops_sqlite::SqliteStore::open(&url).await.unwrap();
        store.append(&events).await.unwrap();
        store.append(&[NewEvent::new("work", "now", Timestamp::now())]).await.unwrap();
    });
    let prune = |arguments: &[&str]| {
        let all = [&["prune", "--older-than", "30d"], arguments].concat();
        let said = Said::of(place.command(&all).output().unwrap());
        assert_eq!(said.code, 0, "{}", said.stderr);
        let answer: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        (answer["events"]["old"].as_u64().unwrap(), answer["events"]["deleted"].as_u64().unwrap())
    };
    assert_eq!(prune(&["--dry-run"]), (7, 0));
    assert_eq!(prune(&[]), (7, 7));
    assert_eq!(prune(&[]), (0, 0));
}
