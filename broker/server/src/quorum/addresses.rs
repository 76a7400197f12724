//! Where the members of the quorum listen: from the configuration, from the voters in the log, or as a message
//! that named a leader said.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use broker_core::raft::{Endpoint, VoterSet};
use broker_env::Address;
use broker_protocol::ids::NodeId;

/// Shared by all that talk to members of the quorum.
#[derive(Debug)]
pub struct Addresses {
    /// The first of `controller.listener.names`.
    listener: String,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// `controller.quorum.voters`, and the bootstrap servers under negative ids.
    configured: BTreeMap<NodeId, Address>,
    voters: BTreeMap<NodeId, Address>,
    told: BTreeMap<NodeId, Address>,
}

impl Addresses {
    pub fn new(listener: String, configured: BTreeMap<NodeId, Address>) -> Addresses {
        let known = Known {
            configured,
            ..Known::default()
        };
        Addresses {
            listener,
            known: Mutex::new(known),
        }
    }

    pub fn listener(&self) -> &str {
        &self.listener
    }

    pub fn of(&self, node: NodeId) -> Option<Address> {
        let known = self.lock();
        let found = known.voters.get(&node);
        let found = found.or_else(|| known.configured.get(&node));
        found.or_else(|| known.told.get(&node)).cloned()
    }

    /// The voters: of the log, or else of the configuration.
    pub fn controllers(&self) -> BTreeMap<NodeId, Address> {
        let known = self.lock();
        if !known.voters.is_empty() {
            return known.voters.clone();
        }
        let configured = known.configured.iter().filter(|(node, _)| node.0 >= 0);
        configured
            .map(|(node, address)| (*node, address.clone()))
            .collect()
    }

    /// The endpoint of the controllers' listener.
    pub fn of_endpoints(&self, endpoints: &[Endpoint]) -> Option<Address> {
        let named = |endpoint: &&Endpoint| endpoint.name.eq_ignore_ascii_case(&self.listener);
        let found = endpoints.iter().find(named)?;
        Some(Address::new(found.host.clone(), found.port))
    }

    /// The voters of the log; those of a static configuration have no endpoints in it.
    pub fn set_voters(&self, voters: &VoterSet) {
        let listed = voters.voters().filter_map(|voter| {
            let address = self.of_endpoints(&voter.endpoints)?;
            Some((voter.key.id, address))
        });
        let listed = listed.collect();
        self.lock().voters = listed;
    }

    /// A message named a leader and where it listens.
    pub fn told(&self, node: NodeId, address: Address) {
        self.lock().told.insert(node, address);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no panic under this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker_core::raft::{VersionRange, Voter};
    use broker_protocol::ids::{ReplicaKey, Uuid};

    fn voter(id: i32, name: &str, host: &str) -> Voter {
        Voter {
            key: ReplicaKey {
                id: NodeId(id),
                directory_id: Uuid::ZERO,
            },
            endpoints: vec![Endpoint {
                name: name.into(),
                host: host.into(),
                port: 1,
            }],
            kraft_versions: VersionRange::KRAFT,
        }
    }

    #[test]
    fn the_log_wins_over_the_configuration_and_this_over_messages() {
        let configured = [1, 3].map(|id| (NodeId(id), Address::new("configured", 1)));
        let addresses = Addresses::new("CONTROLLER".into(), configured.into());
        for id in [1, 2, 3] {
            addresses.told(NodeId(id), Address::new("told", 1));
        }
        addresses.set_voters(&VoterSet::of([
            voter(3, "controller", "log"),
            voter(4, "OTHER", "log"),
        ]));
        let hosts = [1, 2, 3, 4].map(|id| addresses.of(NodeId(id)).map(|address| address.host));
        assert_eq!(
            hosts.each_ref().map(Option::as_deref),
            [Some("configured"), Some("told"), Some("log"), None]
        );
    }
}
