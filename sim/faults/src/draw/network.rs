//! Random network faults.

use std::time::Duration;

use sim_disk::units::{below, between};

use crate::Chance;
use crate::draw::{Drawing, Step};
use crate::fault::Fault;
use crate::link::{Latency, LinkSelector};
use crate::network::NetworkFault;
use crate::target::{one_of, some_of};

impl Drawing<'_> {
    /// A node as aimed, and any other.
    fn pair(&mut self) -> Option<(String, String)> {
        let one = self.node()?;
        let others: Vec<String> = self
            .resolver
            .nodes()
            .into_iter()
            .filter(|node| *node != one)
            .collect();
        Some((one, one_of(&others, self.rng)?.clone()))
    }

    /// One node's links, or those of a pair.
    fn link(&mut self) -> Option<LinkSelector> {
        if below(self.rng, 2) == 0 {
            return Some(LinkSelector::of(&self.node()?));
        }
        let (one, other) = self.pair()?;
        Some(LinkSelector::between(&one, &other))
    }

    pub(super) fn on_link(&mut self, fault: impl Fn(LinkSelector) -> NetworkFault) -> Vec<Step> {
        let Some(link) = self.link() else {
            return Vec::new();
        };
        self.lasting(vec![Fault::Network(fault(link))])
    }

    pub(super) fn one_way(&mut self) -> Vec<Step> {
        let Some((one, other)) = self.pair() else {
            return Vec::new();
        };
        let (from, to) = if below(self.rng, 2) == 0 {
            (one, other)
        } else {
            (other, one)
        };
        self.lasting(vec![Fault::Network(NetworkFault::OneWay { from, to })])
    }

    pub(super) fn partition(&mut self) -> Vec<Step> {
        let nodes = self.resolver.nodes();
        if nodes.len() < 2 {
            return Vec::new();
        }
        let one = some_of(nodes.clone(), 1, nodes.len() - 1, self.rng);
        let other = nodes
            .into_iter()
            .filter(|node| !one.contains(node))
            .collect();
        self.lasting(vec![Fault::Network(NetworkFault::Partition {
            sides: vec![one, other],
        })])
    }

    /// A ring of majorities, from a random place; with three nodes, a bridge: one pair cut.
    pub(super) fn grudge(&mut self) -> Vec<Step> {
        let mut nodes = self.resolver.nodes();
        if nodes.len() < 3 {
            return Vec::new();
        }
        for place in (1..nodes.len()).rev() {
            let other = below(self.rng, u64::try_from(place + 1).expect("fits"));
            nodes.swap(place, usize::try_from(other).expect("fits"));
        }
        let fault = if nodes.len() == 3 {
            NetworkFault::Grudge {
                pairs: vec![(nodes[0].clone(), nodes[1].clone())],
            }
        } else {
            NetworkFault::majority_ring(&nodes)
        };
        self.lasting(vec![Fault::Network(fault)])
    }

    pub(super) fn hold(&mut self) -> Vec<Step> {
        self.on_link(|link| NetworkFault::Hold { link })
    }

    /// FoundationDB's swizzle: hold a random set of nodes one after another, release them one by one
    /// in another order.
    pub(super) fn swizzle(&mut self) -> Vec<Step> {
        let nodes = self.resolver.nodes();
        let most = nodes.len().max(1);
        let mut steps = Vec::new();
        for node in some_of(nodes, 1, most, self.rng) {
            let fault = Fault::Network(NetworkFault::Hold {
                link: LinkSelector::of(&node),
            });
            let (one, other) = (self.duration(), self.duration());
            let end = Fault::Heal(Box::new(fault.clone()));
            steps.push(Step {
                after: one.min(other),
                fault,
            });
            steps.push(Step {
                after: one.max(other) + 1,
                fault: end,
            });
        }
        steps
    }

    pub(super) fn slow(&mut self) -> Vec<Step> {
        let mean = Duration::from_millis(between(self.rng, 5, 400));
        let min = mean / u32::try_from(between(self.rng, 2, 20)).expect("small");
        self.on_link(|link| NetworkFault::Slow {
            link,
            latency: Latency::new(min, mean),
        })
    }

    pub(super) fn bandwidth(&mut self) -> Vec<Step> {
        let bytes_per_second = 1 << between(self.rng, 12, 20);
        self.on_link(|link| NetworkFault::Bandwidth {
            link,
            bytes_per_second,
        })
    }

    pub(super) fn loss(&mut self) -> Vec<Step> {
        let chance = Chance::percent(u32::try_from(between(self.rng, 1, 30)).expect("small"));
        let retransmit = Duration::from_millis(200);
        self.on_link(|link| NetworkFault::Loss {
            link,
            chance,
            retransmit,
        })
    }

    pub(super) fn resets(&mut self) -> Vec<Step> {
        let chance =
            Chance::per_million(u32::try_from(between(self.rng, 500, 20_000)).expect("small"));
        self.on_link(|link| NetworkFault::Resets { link, chance })
    }

    pub(super) fn fragment(&mut self) -> Vec<Step> {
        let max = 1 << between(self.rng, 0, 10);
        self.on_link(|link| NetworkFault::Fragment { link, max })
    }
}
