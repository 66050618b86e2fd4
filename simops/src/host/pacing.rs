//! Pacing: distributes agents over hosts, and turns over time.

use std::time::Duration;

use jiff::Timestamp;

use crate::AgentId;
use crate::control::HostReport;
use crate::number::to_f64;
use crate::settings::{Effective, key};

/// The part of the agents that one host is responsible for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AgentShard {
    index: i64,
    count: i64,
}

impl AgentShard {
    /// All agents.
    pub(super) const ALL: Self = Self { index: 0, count: 1 };

    /// The shard of the host `host_id` among the live hosts of its simulation and world.
    pub(super) fn of_host(hosts: &[HostReport], host_id: &str, now: Timestamp) -> Self {
        let own = hosts.iter().find(|host| host.id == host_id);
        let Some(own) = own else { return Self::ALL };
        let is_peer = |host: &&HostReport| (&host.kind, &host.world) == (&own.kind, &own.world);
        let mut live: Vec<_> = hosts
            .iter()
            .filter(is_peer)
            .filter(|host| host.id == host_id || host.is_live(now))
            .map(|host| host.id.as_str())
            .collect();
        live.sort_unstable();
        match live.iter().position(|id| *id == host_id) {
            Some(index) => Self { index: as_i64(index), count: as_i64(live.len()) },
            None => Self::ALL,
        }
    }

    /// The agents of this shard, in the given order.
    pub(super) fn select(self, agents: &[AgentId]) -> Vec<AgentId> {
        let is_own = |agent: &&AgentId| place(agent).rem_euclid(self.count) == self.index;
        agents.iter().filter(is_own).cloned().collect()
    }
}

/// A number that every host computes alike: that of the agent, or a hash of its name (FNV-1a).
fn place(agent: &AgentId) -> i64 {
    agent.number().unwrap_or_else(|| {
        let hash = agent.text().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        hash.cast_signed()
    })
}

/// The time between two turns if each of `agents` takes one turn per `AGENT_LOOP_DELAY_SECONDS`,
/// `speed` times faster.
pub(super) fn turn_interval(settings: &Effective, speed: f64, agents: usize) -> Duration {
    let round = settings.int(key::AGENT_LOOP_DELAY_SECONDS).max(1);
    let seconds = to_f64(round) / to_f64(agents.max(1)) / speed.max(1e-3);
    Duration::from_secs_f64(seconds.clamp(1e-4, 86_400.0))
}

fn as_i64(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::HostState;

    fn host(id: &str, last_seen: Timestamp) -> HostReport {
        HostReport {
            id: id.to_owned(),
            version: String::new(),
            last_seen,
            generation: 0,
            state: HostState::Running,
            in_flight_calls: 0,
            kind: "commons".to_owned(),
            world: Some("main".to_owned()),
            run_id: None,
        }
    }

    #[test]
    fn live_hosts_share_every_agent_exactly_once() {
        let now = Timestamp::from_second(1_000).unwrap();
        let lost = Timestamp::from_second(900).unwrap();
        let hosts = [host("b", now), host("a", now), host("gone", lost)];
        let named = ["Alice", "Bob", "a b", "漢"].map(AgentId::from);
        let agents: Vec<_> = (1..=50).map(AgentId::from).chain(named).collect();
        let of = |host| AgentShard::of_host(&hosts, host, now).select(&agents);
        let mut all = [of("a"), of("b")].concat();
        assert_eq!(all.len(), 54);
        all.sort_unstable();
        assert_eq!(all, agents);
    }
}
