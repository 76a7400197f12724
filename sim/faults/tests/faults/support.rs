//! A cluster whose leaders are fixed, and a seeded stream.

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use sim_faults::TargetResolver;

pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

pub fn names(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("node{number}")).collect()
}

/// node1 leads t-0 and the quorum, node2 coordinates.
pub struct Cluster {
    pub nodes: usize,
}

impl TargetResolver for Cluster {
    fn nodes(&self) -> Vec<String> {
        names(self.nodes)
    }

    fn leader(&self, topic: &str, partition: i32) -> Option<String> {
        (topic == "t" && partition == 0).then(|| "node1".into())
    }

    fn followers(&self, _: &str, _: i32) -> Vec<String> {
        names(self.nodes).split_off(1)
    }

    fn controller(&self) -> Option<String> {
        Some("node1".into())
    }

    fn group_coordinator(&self, _: &str) -> Option<String> {
        Some("node2".into())
    }

    fn transaction_coordinator(&self, _: &str) -> Option<String> {
        Some("node2".into())
    }

    fn partitions(&self) -> Vec<(String, i32)> {
        vec![("t".into(), 0)]
    }

    fn spares(&self) -> Vec<String> {
        vec!["node9".into()]
    }

    fn removable(&self) -> Vec<String> {
        names(self.nodes)
    }

    fn candidates(&self) -> Vec<String> {
        vec!["node8".into()]
    }

    fn voters(&self) -> Vec<String> {
        names(3)
    }
}
