//! What can be wrong with the network, as data.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sim_disk::units::{self, Chance, nanos, show};

use crate::link::{Latency, Link, LinkSelector};

/// One thing wrong with the network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum NetworkFault {
    /// Nothing passes in one direction: an asymmetric firewall rule, a half-broken switch port.
    OneWay { from: String, to: String },
    /// Hosts on different sides hear nothing of each other: a cut cable, a lost availability zone.
    /// Hosts on no side reach everybody.
    Partition { sides: Vec<Vec<String>> },
    /// Any set of cut pairs, each in both directions, e.g. a ring in which every host sees a majority
    /// but no two the same: routing gone wrong.
    Grudge { pairs: Vec<(String, String)> },
    /// Segments queue up and all arrive on release: a stuck router, a frozen hypervisor.
    Hold { link: LinkSelector },
    /// Another latency: a congested or re-routed path.
    Slow {
        link: LinkSelector,
        latency: Latency,
    },
    /// A bandwidth limit: a saturated or throttled link.
    Bandwidth {
        link: LinkSelector,
        bytes_per_second: u64,
    },
    /// Packets get lost; TCP retransmits after a timeout that doubles: a bad cable, a full queue.
    Loss {
        link: LinkSelector,
        chance: Chance,
        #[serde(with = "units::duration", default = "retransmit")]
        retransmit: Duration,
    },
    /// Connections reset at random segments: a load balancer, a stateful firewall that lost its table.
    Resets { link: LinkSelector, chance: Chance },
    /// All connections between the hosts reset now: a restarted proxy.
    Reset { link: LinkSelector },
    /// All connections between the hosts fall silent for ever, neither side is told: a NAT or firewall
    /// entry expired, a peer replaced behind the same address.
    HalfOpen { link: LinkSelector },
    /// Reads and writes pass in random pieces of at most this size: a small MTU, busy sockets.
    Fragment { link: LinkSelector, max: u32 },
    /// New connections are refused: a full backlog, a listener that went away.
    Refuse { link: LinkSelector },
}

pub(super) fn retransmit() -> Duration {
    Duration::from_millis(200)
}

impl NetworkFault {
    /// Stable name for counters and scenario weights.
    pub fn kind(&self) -> &'static str {
        match self {
            NetworkFault::OneWay { .. } => "network-one-way",
            NetworkFault::Partition { .. } => "network-partition",
            NetworkFault::Grudge { .. } => "network-grudge",
            NetworkFault::Hold { .. } => "network-hold",
            NetworkFault::Slow { .. } => "network-slow",
            NetworkFault::Bandwidth { .. } => "network-bandwidth",
            NetworkFault::Loss { .. } => "network-loss",
            NetworkFault::Resets { .. } => "network-resets",
            NetworkFault::Reset { .. } => "network-reset",
            NetworkFault::HalfOpen { .. } => "network-half-open",
            NetworkFault::Fragment { .. } => "network-fragment",
            NetworkFault::Refuse { .. } => "network-refuse",
        }
    }

    /// Whether it strikes when set and leaves nothing to heal.
    pub fn is_instant(&self) -> bool {
        matches!(
            self,
            NetworkFault::Reset { .. } | NetworkFault::HalfOpen { .. }
        )
    }

    /// Each host reaches its neighbours on the ring, a majority of all with itself, and nobody else.
    pub fn majority_ring(hosts: &[String]) -> NetworkFault {
        let count = hosts.len();
        let reach = (count / 2).div_ceil(2);
        let mut pairs = Vec::new();
        for one in 0..count {
            for other in one + 1..count {
                let distance = (other - one).min(count + one - other);
                if distance > reach {
                    pairs.push((hosts[one].clone(), hosts[other].clone()));
                }
            }
        }
        NetworkFault::Grudge { pairs }
    }

    fn cuts(&self, from: &str, to: &str) -> bool {
        match self {
            NetworkFault::OneWay {
                from: source,
                to: target,
            } => source == from && target == to,
            NetworkFault::Partition { sides } => {
                let side = |host: &str| {
                    sides
                        .iter()
                        .position(|side| side.iter().any(|name| name == host))
                };
                matches!((side(from), side(to)), (Some(one), Some(other)) if one != other)
            }
            NetworkFault::Grudge { pairs } => pairs
                .iter()
                .any(|(one, other)| (one == from && other == to) || (one == to && other == from)),
            _ => false,
        }
    }

    pub(super) fn link(&self) -> Option<&LinkSelector> {
        match self {
            NetworkFault::Hold { link }
            | NetworkFault::Slow { link, .. }
            | NetworkFault::Bandwidth { link, .. }
            | NetworkFault::Loss { link, .. }
            | NetworkFault::Resets { link, .. }
            | NetworkFault::Reset { link }
            | NetworkFault::HalfOpen { link }
            | NetworkFault::Fragment { link, .. }
            | NetworkFault::Refuse { link } => Some(link),
            _ => None,
        }
    }

    pub(super) fn shape(&self, from: &str, to: &str, link: &mut Link) {
        link.blocked |= self.cuts(from, to);
        if !self
            .link()
            .is_some_and(|selector| selector.matches(from, to))
        {
            return;
        }
        match self {
            NetworkFault::Hold { .. } => link.held = true,
            NetworkFault::Slow { latency, .. } => link.latency = *latency,
            NetworkFault::Bandwidth {
                bytes_per_second, ..
            } => link.bandwidth = (*bytes_per_second).max(1),
            NetworkFault::Loss {
                chance, retransmit, ..
            } => {
                link.loss = *chance;
                link.retransmit = nanos(*retransmit);
            }
            NetworkFault::Resets { chance, .. } => link.reset = *chance,
            NetworkFault::Fragment { max, .. } => link.fragment = (*max).max(1),
            NetworkFault::Refuse { .. } => link.refuses = true,
            _ => {}
        }
    }
}

impl fmt::Display for NetworkFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetworkFault::OneWay { from, to } => write!(formatter, "cut {from} -> {to}"),
            NetworkFault::Partition { sides } => {
                let sides: Vec<String> = sides.iter().map(|side| side.join(" ")).collect();
                write!(formatter, "partition {}", sides.join(" | "))
            }
            NetworkFault::Grudge { pairs } => {
                let pairs: Vec<String> = pairs
                    .iter()
                    .map(|(one, other)| format!("{one} x {other}"))
                    .collect();
                write!(formatter, "cut {}", pairs.join(", "))
            }
            NetworkFault::Hold { link } => write!(formatter, "hold {link}"),
            NetworkFault::Slow { link, latency } => {
                write!(
                    formatter,
                    "latency {}..{} on {link}",
                    show(latency.min),
                    show(latency.mean)
                )
            }
            NetworkFault::Bandwidth {
                link,
                bytes_per_second,
            } => {
                write!(formatter, "{bytes_per_second} B/s on {link}")
            }
            NetworkFault::Loss { link, chance, .. } => write!(formatter, "{chance} loss on {link}"),
            NetworkFault::Resets { link, chance } => write!(formatter, "{chance} resets on {link}"),
            NetworkFault::Reset { link } => write!(formatter, "reset {link}"),
            NetworkFault::HalfOpen { link } => write!(formatter, "half-open {link}"),
            NetworkFault::Fragment { link, max } => {
                write!(formatter, "pieces of {max} B on {link}")
            }
            NetworkFault::Refuse { link } => write!(formatter, "refuse connections on {link}"),
        }
    }
}
