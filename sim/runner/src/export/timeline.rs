//! Stretches of simulated time in which the same links are open, and the planned faults that make them so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sim_faults::network::NetworkFault;
use sim_faults::plan::Planned;
use sim_faults::{Fault, FaultSpec};

/// A directed link between hosts, by name.
pub type Link = (String, String);

/// One stretch. What holds in it holds from its beginning to its end.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// The steps of the way that it stands for.
    pub texts: Vec<String>,
    pub length: Duration,
    /// Of the timeline's links; the others are cut.
    pub open: BTreeSet<Link>,
    /// Faults that last as long as the windows that have them, neighbours together.
    pub lasting: Vec<Fault>,
    /// What happens at its beginning, and for how long.
    pub beginning: Vec<(Fault, Option<Duration>)>,
}

/// Windows one after the other, from `begins` on.
#[derive(Clone, Debug)]
pub struct Timeline {
    pub begins: Duration,
    /// Links that are cut where no window opens them.
    pub links: BTreeSet<Link>,
    pub windows: Vec<Window>,
}

/// Every directed link among the hosts.
pub fn all_links(hosts: &[String]) -> BTreeSet<Link> {
    let pairs = hosts
        .iter()
        .flat_map(|from| hosts.iter().map(move |to| (from.clone(), to.clone())));
    pairs.filter(|(from, to)| from != to).collect()
}

impl Timeline {
    pub fn end(&self) -> Duration {
        self.begins
            + self
                .windows
                .iter()
                .map(|window| window.length)
                .sum::<Duration>()
    }

    /// When each window begins.
    pub fn starts(&self) -> Vec<Duration> {
        let mut at = self.begins;
        let next = |window: &Window| {
            let start = at;
            at += window.length;
            start
        };
        self.windows.iter().map(next).collect()
    }

    /// The planned faults, in order of time.
    pub fn faults(&self) -> Vec<FaultSpec> {
        let mut planned: Vec<FaultSpec> = Vec::new();
        for (fault, intervals) in self.lasting() {
            planned.extend(intervals.into_iter().map(|(from, to)| {
                FaultSpec::once(from, Planned::Fault(fault.clone())).lasting(to - from)
            }));
        }
        for (window, at) in self.windows.iter().zip(self.starts()) {
            for (fault, lasts) in &window.beginning {
                let spec = FaultSpec::once(at, Planned::Fault(fault.clone()));
                planned.push(FaultSpec {
                    lasts: *lasts,
                    ..spec
                });
            }
        }
        planned.sort_by_key(|spec| spec.at);
        planned
    }

    /// Faults with the intervals in which they hold.
    fn lasting(&self) -> BTreeMap<Fault, Vec<(Duration, Duration)>> {
        let mut intervals: BTreeMap<Fault, Vec<(Duration, Duration)>> = BTreeMap::new();
        for (window, at) in self.windows.iter().zip(self.starts()) {
            let cuts = self.links.difference(&window.open).map(|(from, to)| {
                Fault::Network(NetworkFault::OneWay {
                    from: from.clone(),
                    to: to.clone(),
                })
            });
            for fault in cuts.chain(window.lasting.iter().cloned()) {
                let of = intervals.entry(fault).or_default();
                match of.last_mut() {
                    Some((_, end)) if *end == at => *end += window.length,
                    _ => of.push((at, at + window.length)),
                }
            }
        }
        intervals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn link(from: &str, to: &str) -> Link {
        (from.to_owned(), to.to_owned())
    }

    #[test]
    fn a_link_is_cut_where_no_window_opens_it() {
        let window = |open: &[Link]| Window {
            length: SECOND,
            open: open.iter().cloned().collect(),
            ..Window::default()
        };
        let hosts = ["a".to_owned(), "b".to_owned()];
        let timeline = Timeline {
            begins: SECOND,
            links: all_links(&hosts),
            windows: vec![
                window(&[link("a", "b")]),
                window(&[]),
                window(&[link("b", "a")]),
            ],
        };
        let told: Vec<String> = timeline
            .faults()
            .iter()
            .map(|spec| format!("{:?} +{:?} {}", spec.at, spec.lasts, spec.planned))
            .collect();
        assert_eq!(
            told,
            [
                "1s +Some(2s) network: cut b -> a",
                "2s +Some(2s) network: cut a -> b"
            ]
        );
        assert_eq!(timeline.end(), SECOND * 4);
    }
}
