//! What the network does to each segment and each new connection.
//!
//! Sans-I/O: an engine asks [`NetworkRules::decide`] for each segment on a directed link and obeys.
//! TCP keeps its promises here: what is lost is retransmitted, so a fault shows as time, as a reset or
//! as silence, never as a hole. An engine keeps the segments of a connection in order (deliver at the
//! later of the verdict and the segment before it), keeps held ones, and asks again for them when
//! [`NetworkRules::generation`] has grown.

mod fault;

use std::collections::BTreeMap;
use std::time::Duration;

use rand_core::RngCore;
use sim_disk::units::{Chance, between, nanos};

pub use fault::NetworkFault;
use fault::retransmit;

use crate::link::{Latency, Link};

/// A host's small number, for speed; made by [`NetworkRules::host`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u32);

impl HostId {
    fn index(self) -> usize {
        usize::try_from(self.0).expect("32 bits fit")
    }
}

/// The network without faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkOptions {
    /// Between hosts. Default 100 µs at least, 300 µs in the mean.
    pub latency: Latency,
    /// Within a host. Default 10 µs.
    pub loopback: Latency,
    /// Bytes per second of each directed link; 0, the default, is unlimited.
    pub bandwidth: u64,
    /// Largest piece of a read or write; 0, the default, is any.
    pub fragment: u32,
    /// New connections over a cut link are refused at once instead of waiting for it. Default no: real
    /// SYN packets get lost.
    pub refuse_when_cut: bool,
}

impl Default for NetworkOptions {
    fn default() -> NetworkOptions {
        NetworkOptions {
            latency: Latency::new(Duration::from_micros(100), Duration::from_micros(300)),
            loopback: Latency::new(Duration::from_micros(10), Duration::from_micros(10)),
            bandwidth: 0,
            fragment: 0,
            refuse_when_cut: false,
        }
    }
}

/// What becomes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It arrives at this true time, or right after the segment before it if that is later.
    DeliverAt(u64),
    /// Keep it; ask again when the generation has grown.
    HoldUntilReleased,
    /// The connection breaks: both ends get a reset.
    Reset,
}

/// What becomes of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectVerdict {
    /// The listener's host answers at this true time: accepted, or refused if nobody listens.
    AnsweredAt(u64),
    /// Refused at this true time.
    RefusedAt(u64),
    /// Silence; ask again when the generation has grown.
    HoldUntilReleased,
}

/// What setting a fault asks of the engine, for existing connections between the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Break those opened by `from` to `to`: both ends get a reset.
    ResetConnections { from: HostId, to: HostId },
    /// Throw away for ever what passes from now on, in both directions, and tell neither side.
    SilenceConnections { from: HostId, to: HostId },
}

/// The network's rules, and every fault that is set.
#[derive(Clone, Debug)]
pub struct NetworkRules {
    options: NetworkOptions,
    names: Vec<String>,
    ids: BTreeMap<String, HostId>,
    /// By sender, then receiver.
    links: Vec<Vec<Link>>,
    active: Vec<NetworkFault>,
    generation: u64,
    counts: BTreeMap<&'static str, u64>,
}

impl NetworkRules {
    pub fn new(options: NetworkOptions) -> NetworkRules {
        NetworkRules {
            options,
            names: Vec::new(),
            ids: BTreeMap::new(),
            links: Vec::new(),
            active: Vec::new(),
            generation: 0,
            counts: BTreeMap::new(),
        }
    }

    /// The number of a host; the first call for a name adds it.
    pub fn host(&mut self, name: &str) -> HostId {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let id = HostId(u32::try_from(self.names.len()).expect("a simulation has few hosts"));
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), id);
        self.rebuild();
        id
    }

    pub fn name(&self, host: HostId) -> &str {
        &self.names[host.index()]
    }

    /// Grows with each change that may release what is held.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The fate of a segment of `bytes` bytes that leaves at true time `now` (ns).
    pub fn decide(
        &mut self,
        now: u64,
        from: HostId,
        to: HostId,
        bytes: usize,
        rng: &mut impl RngCore,
    ) -> Verdict {
        let link = &mut self.links[from.index()][to.index()];
        if link.blocked || link.held {
            return Verdict::HoldUntilReleased;
        }
        if link.reset.strikes(rng) {
            self.count("network-resets");
            return Verdict::Reset;
        }
        let (at, losses) = link.arrival(now, bytes, rng);
        if losses > 0 {
            *self.counts.entry("network-loss").or_insert(0) += losses;
        }
        Verdict::DeliverAt(at)
    }

    /// The same for a segment that was held since `since`: after a cut, the sender's retransmission
    /// timer, which doubled all the time, has to fire first.
    pub fn decide_again(
        &mut self,
        now: u64,
        since: u64,
        from: HostId,
        to: HostId,
        bytes: usize,
        rng: &mut impl RngCore,
    ) -> Verdict {
        match self.decide(now, from, to, bytes, rng) {
            Verdict::DeliverAt(at) => {
                let longest = now.saturating_sub(since).min(nanos(Duration::from_secs(2)));
                Verdict::DeliverAt(at.saturating_add(between(rng, 0, longest)))
            }
            other => other,
        }
    }

    /// The fate of a connection attempt that leaves at true time `now` (ns).
    pub fn connect(
        &mut self,
        now: u64,
        from: HostId,
        to: HostId,
        rng: &mut impl RngCore,
    ) -> ConnectVerdict {
        let back = &self.links[to.index()][from.index()];
        let returns = !back.blocked && !back.held;
        let cut_refuses = self.options.refuse_when_cut;
        let link = &mut self.links[from.index()][to.index()];
        let at = now.saturating_add(link.latency.draw(rng));
        if link.refuses {
            self.count("network-refuse");
            return ConnectVerdict::RefusedAt(at);
        }
        if !link.blocked && !link.held && returns {
            return ConnectVerdict::AnsweredAt(at);
        }
        if cut_refuses {
            ConnectVerdict::RefusedAt(at)
        } else {
            ConnectVerdict::HoldUntilReleased
        }
    }

    /// How many of the bytes at hand one read or write passes: at least 1 if there are any.
    pub fn piece(
        &mut self,
        from: HostId,
        to: HostId,
        bytes: usize,
        rng: &mut impl RngCore,
    ) -> usize {
        let limit =
            usize::try_from(self.links[from.index()][to.index()].fragment).expect("32 bits fit");
        if limit == 0 || bytes <= 1 {
            return bytes;
        }
        let most = u64::try_from(limit.min(bytes)).expect("fits");
        usize::try_from(between(rng, 1, most)).expect("at most the bytes at hand")
    }

    /// Whether nothing passes on a directed link now.
    pub fn is_cut(&self, from: HostId, to: HostId) -> bool {
        let link = &self.links[from.index()][to.index()];
        link.blocked || link.held
    }

    /// Sets a fault; gives what the engine must do to existing connections.
    pub fn inject(&mut self, fault: &NetworkFault) -> Vec<Effect> {
        self.count(fault.kind());
        if !fault.is_instant() {
            self.active.push(fault.clone());
            self.rebuild();
            return Vec::new();
        }
        let mut effects = Vec::new();
        let Some(selector) = fault.link() else {
            return effects;
        };
        for (&from, &to) in self
            .ids
            .values()
            .flat_map(|from| self.ids.values().map(move |to| (from, to)))
        {
            if selector.matches(self.name(from), self.name(to)) {
                effects.push(match fault {
                    NetworkFault::Reset { .. } => Effect::ResetConnections { from, to },
                    _ => Effect::SilenceConnections { from, to },
                });
            }
        }
        effects
    }

    /// Takes back one fault of this very value; false if none is set.
    pub fn heal(&mut self, fault: &NetworkFault) -> bool {
        let Some(position) = self.active.iter().position(|active| active == fault) else {
            return false;
        };
        self.active.remove(position);
        self.rebuild();
        true
    }

    /// Takes back all faults.
    pub fn heal_all(&mut self) {
        self.active.clear();
        self.rebuild();
    }

    /// The faults that are set.
    pub fn active_faults(&self) -> &[NetworkFault] {
        &self.active
    }

    /// How often each kind of fault was set or has struck.
    pub fn fault_counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_insert(0) += 1;
    }

    fn rebuild(&mut self) {
        let busy = std::mem::take(&mut self.links);
        let busy_until = |from: usize, to: usize| {
            busy.get(from)
                .and_then(|row| row.get(to))
                .map_or(0, |link| link.busy_until)
        };
        let mut links = Vec::with_capacity(self.names.len());
        for (source, from) in self.names.iter().enumerate() {
            let mut row = Vec::with_capacity(self.names.len());
            for (target, to) in self.names.iter().enumerate() {
                let mut link = self.healthy(source == target, busy_until(source, target));
                self.active
                    .iter()
                    .for_each(|fault| fault.shape(from, to, &mut link));
                row.push(link);
            }
            links.push(row);
        }
        self.links = links;
        self.generation += 1;
    }

    fn healthy(&self, loopback: bool, busy_until: u64) -> Link {
        Link {
            blocked: false,
            held: false,
            refuses: false,
            latency: if loopback {
                self.options.loopback
            } else {
                self.options.latency
            },
            bandwidth: if loopback { 0 } else { self.options.bandwidth },
            busy_until,
            loss: Chance::NEVER,
            retransmit: nanos(retransmit()),
            reset: Chance::NEVER,
            fragment: self.options.fragment,
        }
    }
}
