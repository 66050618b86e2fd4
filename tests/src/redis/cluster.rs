//! Two servers that share the slots of a cluster, and a replica of one of them.

use std::path::Path;

use super::RedisServer;
use crate::port::free_port;

/// A cluster of three processes.
#[derive(Debug)]
pub struct RedisCluster {
    /// The owners of the lower and of the upper half of the slots.
    pub owners: [RedisServer; 2],
    /// A replica of the owner that [`replicate_owner_of_keys`](Self::replicate_owner_of_keys) names.
    pub replica: RedisServer,
}

impl RedisCluster {
    /// Starts the three with their files in `dir`.
    ///
    /// # Panics
    /// When they do not form a cluster.
    pub async fn start(dir: &Path) -> Self {
        let node = async |name: &str| {
            let bus = free_port().to_string();
            let args = ["--cluster-enabled", "yes", "--cluster-port", &bus];
            let more = ["--cluster-node-timeout", "1000"];
            RedisServer::start_with(&dir.join(name), free_port(), &[&args[..], &more].concat())
                .await
        };
        let cluster = Self {
            owners: [node("lower").await, node("upper").await],
            replica: node("replica").await,
        };
        let [lower, upper] = &cluster.owners;
        lower.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]).await;
        upper.command(&["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]).await;
        for other in [upper, &cluster.replica] {
            let bus = other.args[3].clone();
            let port = other.port.to_string();
            lower.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
        }
        for node in cluster.nodes() {
            node.until(&["CLUSTER", "INFO"], |answer| {
                answer.contains("cluster_state:ok") && answer.contains("cluster_known_nodes:3")
            })
            .await;
        }
        cluster
    }

    /// What to connect to.
    pub fn url(&self) -> String {
        let [lower, upper] = &self.owners;
        format!("redis-cluster://127.0.0.1:{},127.0.0.1:{}", lower.port, upper.port)
    }

    /// Makes the replica one of the owner that holds keys; which that is.
    ///
    /// # Panics
    /// When none does.
    pub async fn replicate_owner_of_keys(&self) -> usize {
        let owner = crate::eventually("keys", async || {
            for (n, owner) in self.owners.iter().enumerate() {
                if owner.command(&["DBSIZE"]).await.trim() != "0" {
                    return Some(n);
                }
            }
            None
        })
        .await;
        let id = self.owners[owner].command(&["CLUSTER", "MYID"]).await;
        self.replica.command(&["CLUSTER", "REPLICATE", id.trim()]).await;
        self.replica
            .until(&["INFO", "replication"], |answer| answer.contains("link_status:up"))
            .await;
        owner
    }

    fn nodes(&self) -> [&RedisServer; 3] {
        let [lower, upper] = &self.owners;
        [lower, upper, &self.replica]
    }
}
