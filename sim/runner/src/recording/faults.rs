//! Faults from their strike to their healing.

use reports::recording::{FaultSpan, LaneId, Moment};
use sim_faults::{Fault, LinkSelector, NetworkFault, ProcessFault};

/// What has struck so far.
pub struct Faults {
    spans: Vec<FaultSpan>,
    /// Those without an end yet, with their places.
    open: Vec<(Fault, usize)>,
    capacity: usize,
    dropped: u64,
}

impl Faults {
    pub fn new(capacity: usize) -> Faults {
        Faults {
            spans: Vec::new(),
            open: Vec::new(),
            capacity,
            dropped: 0,
        }
    }

    /// Something was done to the world: it ends what it heals, and else begins something.
    pub fn done(&mut self, fault: &Fault, lanes: Vec<LaneId>, at: Moment) {
        let ended = self.end(fault, at);
        let heals = matches!(
            fault,
            Fault::Heal(_)
                | Fault::HealAll
                | Fault::Process {
                    fault: ProcessFault::Start | ProcessFault::Resume,
                    ..
                }
        );
        if heals || ended {
            return;
        }
        if self.spans.len() == self.capacity {
            self.dropped += 1;
            return;
        }
        let lasts = fault.healing().is_some();
        if lasts {
            self.open.push((fault.clone(), self.spans.len()));
        }
        self.spans.push(FaultSpan {
            kind: fault.kind().to_owned(),
            what: fault.to_string(),
            lanes,
            begin: at,
            end: (!lasts).then_some(at),
        });
    }

    fn end(&mut self, fault: &Fault, at: Moment) -> bool {
        let before = self.open.len();
        let spans = &mut self.spans;
        self.open.retain(|(open, index)| {
            let healed = match fault {
                Fault::HealAll => is_healed_with_all(open),
                _ => open.healing().as_ref() == Some(fault),
            };
            if healed {
                spans[*index].end = Some(at);
            }
            !healed
        });
        self.open.len() < before
    }

    /// In order of their begin, and how many there was no room for.
    pub fn finish(&mut self) -> (Vec<FaultSpan>, u64) {
        self.open.clear();
        (std::mem::take(&mut self.spans), self.dropped)
    }
}

/// See [`Fault::HealAll`].
fn is_healed_with_all(fault: &Fault) -> bool {
    match fault {
        Fault::Network(_) | Fault::Frames(_) | Fault::Disk { .. } | Fault::Clock { .. } => true,
        Fault::Process { fault, .. } => *fault == ProcessFault::Pause,
        Fault::Operation(_) | Fault::Heal(_) | Fault::HealAll => false,
    }
}

/// Whom it strikes by name; none is everybody.
pub fn hosts(fault: &Fault) -> Vec<&str> {
    match fault {
        Fault::Network(network) => network_hosts(network),
        Fault::Frames(rule) => [&rule.from, &rule.to]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect(),
        other => other.node().into_iter().collect(),
    }
}

fn network_hosts(fault: &NetworkFault) -> Vec<&str> {
    match fault {
        NetworkFault::OneWay { from, to } => vec![from, to],
        NetworkFault::Partition { sides } => {
            let hosts = sides.iter().flatten();
            hosts.map(String::as_str).collect()
        }
        NetworkFault::Grudge { pairs } => {
            let hosts = pairs.iter().flat_map(|(one, other)| [one, other]);
            let mut hosts: Vec<&str> = hosts.map(String::as_str).collect();
            hosts.sort_unstable();
            hosts.dedup();
            hosts
        }
        NetworkFault::Hold { link }
        | NetworkFault::Slow { link, .. }
        | NetworkFault::Bandwidth { link, .. }
        | NetworkFault::Loss { link, .. }
        | NetworkFault::Resets { link, .. }
        | NetworkFault::Reset { link }
        | NetworkFault::HalfOpen { link }
        | NetworkFault::Fragment { link, .. }
        | NetworkFault::Refuse { link } => link_hosts(link),
    }
}

fn link_hosts(link: &LinkSelector) -> Vec<&str> {
    let ends = [link.from.as_str(), link.to.as_str()];
    ends.into_iter().filter(|name| *name != "*").collect()
}

#[cfg(test)]
mod tests {
    use sim_faults::LinkSelector;

    use super::*;

    fn at(us: u64) -> Moment {
        Moment { us, event: us }
    }

    #[test]
    fn a_fault_ends_when_it_is_healed() {
        let hold = Fault::Network(NetworkFault::Hold {
            link: LinkSelector::of("node1"),
        });
        let kill = Fault::process("node1", ProcessFault::Kill);
        let start = Fault::process("node1", ProcessFault::Start);
        let reset = Fault::Network(NetworkFault::Reset {
            link: LinkSelector::all(),
        });
        let pause = Fault::process("node2", ProcessFault::Pause);
        let mut faults = Faults::new(10);
        let heal = Fault::Heal(Box::new(hold.clone()));
        let done = [&hold, &kill, &reset, &heal, &start, &hold, &pause, &kill];
        for (fault, time) in done.into_iter().zip(1..) {
            faults.done(fault, vec![], at(time));
        }
        faults.done(&Fault::HealAll, vec![], at(20));
        let (spans, _) = faults.finish();
        let spans: Vec<_> = spans
            .iter()
            .map(|span| (span.begin.us, span.end.map(|end| end.us)))
            .collect();
        let expected = [
            (1, Some(4)),
            (2, Some(5)),
            (3, Some(3)),
            (6, Some(20)),
            (7, Some(20)),
            (8, None),
        ];
        assert_eq!(spans, expected);
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let mut faults = Faults::new(1);
        for time in 0..3 {
            let reset = NetworkFault::Reset {
                link: LinkSelector::of("node1"),
            };
            faults.done(&Fault::Network(reset), vec![0], at(time));
        }
        assert_eq!(faults.finish().1, 2);
    }
}
