//! Another server takes over: named by a sentinel, or by the other nodes of a cluster.

use simops_tests::redis::{RedisCluster, WatchedRedis};

use super::scene::two_open_leases_survive;

/// The replica was hung while calls were reserved: it takes over without having received them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_missed_reservations_is_promoted_by_its_sentinel() {
    two_open_leases_survive(
        async |dir| {
            let redis = WatchedRedis::start(dir).await;
            redis.replica.signal("STOP").await;
            redis
        },
        async |redis| {
            redis.master.kill().await;
            redis.replica.signal("CONT").await;
        },
        async |_| {},
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_of_the_slot_in_a_cluster_dies_and_its_replica_takes_over() {
    two_open_leases_survive(
        RedisCluster::start,
        async |cluster| {
            let owner = cluster.replicate_owner_of_keys().await;
            cluster.owners[owner].kill().await;
        },
        async |cluster| {
            cluster.replica.command(&["CLUSTER", "FAILOVER", "TAKEOVER"]).await;
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slot_moves_to_another_node_of_the_cluster() {
    two_open_leases_survive(
        RedisCluster::start,
        async |cluster| {
            cluster.replicate_owner_of_keys().await;
            // The owner lives on as a replica, which is not to be written.
            cluster.replica.command(&["CLUSTER", "FAILOVER"]).await;
        },
        async |_| {},
    )
    .await;
}
