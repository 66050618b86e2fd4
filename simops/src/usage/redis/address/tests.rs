//! Addresses of Redis.

use super::*;

fn shown(url: &str) -> String {
    Address::parse(url).map_or_else(|error| error.to_string(), |address| address.shown())
}

#[test]
fn a_server_sentinels_and_a_cluster_are_distinguished() {
    assert_eq!(shown("redis://user:hush@one:7000/2"), "one:7000");
    assert_eq!(shown("redis-sentinel://:hush@a,b:26380/main/3"), "main of a:6379,b:26380");
    assert_eq!(shown("rediss-cluster://hush:hush@[::1]:7000,b:7001"), "::1:7000,b:7001");
}

#[test]
fn databases_and_credentials_reach_every_node() -> Result<()> {
    let address = Address::parse("redis-sentinel://me:hush@a:1,b:2/main/3")?;
    assert_eq!(address.kind, Kind::Sentinels("main".to_owned()));
    for node in &address.nodes {
        let settings = node.redis_settings();
        assert_eq!((settings.username(), settings.password()), (Some("me"), Some("hush")));
        assert_eq!(settings.db(), 3);
        assert_eq!(in_first_database(node).redis_settings().db(), 0);
        assert_eq!(as_anyone(node).redis_settings().password(), None);
    }
    Ok(())
}

#[test]
fn other_urls_are_refused_without_being_repeated() {
    for url in [
        "hush",
        "http://hush@one",
        "redis-sentinel://:hush@one:7000",
        "redis-sentinel://:hush@/main",
        "redis-sentinel://:hush@one,,two/main",
        "redis-cluster://:hush@one/2",
        "redis-ring://:hush@one",
        "redis-cluster://:hush@one:port",
    ] {
        let error = shown(url);
        assert!(error.contains("redis-cluster://") && !error.contains("hush"), "{url}: {error}");
    }
}
