//! The rules decide as the faults say.

use std::time::Duration;

use sim_faults::{
    Chance, ConnectVerdict, Effect, HostId, Latency, LinkSelector, NetworkFault, NetworkOptions,
    NetworkRules, Verdict,
};

use crate::support::{names, rng};

fn rules(count: usize) -> (NetworkRules, Vec<HostId>) {
    let mut rules = NetworkRules::new(NetworkOptions::default());
    let hosts = names(count).iter().map(|name| rules.host(name)).collect();
    (rules, hosts)
}

fn arrival(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::DeliverAt(at) => at,
        other => panic!("{other:?}"),
    }
}

/// Which directed links are cut, as "13" for node1 -> node3.
fn cut(rules: &NetworkRules, hosts: &[HostId]) -> Vec<String> {
    let mut found = Vec::new();
    for from in hosts {
        for to in hosts {
            if rules.is_cut(*from, *to) {
                found.push(format!("{}{}", from.0 + 1, to.0 + 1));
            }
        }
    }
    found
}

#[test]
fn cuts_are_exactly_those_asked_for() {
    let (mut rules, hosts) = rules(5);
    let one_way = NetworkFault::OneWay {
        from: "node1".into(),
        to: "node2".into(),
    };
    let partition = NetworkFault::Partition {
        sides: vec![names(1), vec!["node2".into(), "node3".into()]],
    };
    rules.inject(&one_way);
    assert_eq!(cut(&rules, &hosts), ["12"]);
    rules.inject(&partition);
    assert_eq!(cut(&rules, &hosts), ["12", "13", "21", "31"]);
    // Two faults cut 1 -> 2; healing one leaves the other.
    assert!(rules.heal(&partition));
    assert_eq!(cut(&rules, &hosts), ["12"]);
    assert!(rules.heal(&one_way) && !rules.heal(&one_way));
    assert!(cut(&rules, &hosts).is_empty());
    assert_eq!(rules.fault_counts()["network-partition"], 1);
}

#[test]
fn on_a_majority_ring_each_sees_a_majority_and_no_two_the_same() {
    for count in 5..10 {
        let (mut rules, hosts) = rules(count);
        rules.inject(&NetworkFault::majority_ring(&names(count)));
        let views: std::collections::BTreeSet<Vec<HostId>> = hosts
            .iter()
            .map(|one| {
                hosts
                    .iter()
                    .copied()
                    .filter(|other| !rules.is_cut(*one, *other))
                    .collect()
            })
            .collect();
        assert_eq!(views.len(), count);
        assert!(
            views
                .iter()
                .all(|view| view.len() > count / 2 && view.len() < count),
            "{views:?}"
        );
    }
}

#[test]
fn held_segments_wait_for_a_new_generation() {
    let (mut rules, hosts) = rules(2);
    let mut rng = rng(1);
    let hold = NetworkFault::Hold {
        link: LinkSelector::one_way("node1", "node2"),
    };
    rules.inject(&hold);
    let generation = rules.generation();
    assert_eq!(
        rules.decide(5, hosts[0], hosts[1], 10, &mut rng),
        Verdict::HoldUntilReleased
    );
    assert_eq!(
        rules.connect(5, hosts[1], hosts[0], &mut rng),
        ConnectVerdict::HoldUntilReleased
    );
    arrival(rules.decide(5, hosts[1], hosts[0], 10, &mut rng));
    rules.heal(&hold);
    assert!(rules.generation() > generation);
    let now = 1_000_000_000;
    let at = arrival(rules.decide_again(now, 0, hosts[0], hosts[1], 10, &mut rng));
    assert!(at > now && at < now + 2_100_000_000);
}

#[test]
fn latency_is_exponential_above_its_floor() {
    let mut rng = rng(7);
    let latency = Latency::new(Duration::from_micros(100), Duration::from_micros(300));
    let draws: Vec<u64> = (0..100_000).map(|_| latency.draw(&mut rng)).collect();
    let mean = draws.iter().sum::<u64>() / 100_000;
    assert!((297_000..303_000).contains(&mean), "{mean}");
    assert!(draws.iter().all(|&draw| draw >= 100_000));
    let beyond = |factor: u64| {
        draws
            .iter()
            .filter(|&&draw| draw > 100_000 + factor * 200_000)
            .count()
    };
    // e^-1, e^-3 and e^-7 of all: the tail beyond the table's end (ln 256 = 5.5) too.
    assert!((36_000..37_600).contains(&beyond(1)), "{}", beyond(1));
    assert!((4_700..5_260).contains(&beyond(3)), "{}", beyond(3));
    assert!((55..130).contains(&beyond(7)), "{}", beyond(7));
    assert_eq!(
        Latency::new(Duration::from_millis(5), Duration::ZERO).draw(&mut rng),
        5_000_000
    );
}

#[test]
fn a_slow_link_queues_and_a_lossy_one_retransmits() {
    let (mut rules, hosts) = rules(2);
    let mut rng = rng(1);
    let link = LinkSelector::between("node1", "node2");
    let limit = NetworkFault::Bandwidth {
        link: link.clone(),
        bytes_per_second: 1_000,
    };
    rules.inject(&limit);
    let first = arrival(rules.decide(0, hosts[0], hosts[1], 500, &mut rng));
    let second = arrival(rules.decide(0, hosts[0], hosts[1], 500, &mut rng));
    assert!((500_000_000..510_000_000).contains(&first));
    assert!((1_000_000_000..1_010_000_000).contains(&second));
    rules.heal(&limit);
    rules.inject(&NetworkFault::Loss {
        link,
        chance: Chance::percent(50),
        retransmit: Duration::from_millis(200),
    });
    let late = (0..1_000)
        .filter(|_| arrival(rules.decide(0, hosts[0], hosts[1], 1, &mut rng)) >= 200_000_000)
        .count();
    assert!((430..570).contains(&late), "{late}");
    assert!(rules.fault_counts()["network-loss"] >= u64::try_from(late).unwrap());
}

#[test]
fn resets_and_silence_name_the_connections() {
    let (mut rules, hosts) = rules(3);
    let link = LinkSelector::between("node1", "node3");
    let effects = rules.inject(&NetworkFault::Reset { link: link.clone() });
    let reset = |from: usize, to: usize| Effect::ResetConnections {
        from: hosts[from],
        to: hosts[to],
    };
    assert_eq!(effects, [reset(0, 2), reset(2, 0)]);
    let effects = rules.inject(&NetworkFault::HalfOpen {
        link: LinkSelector::of("node2"),
    });
    assert_eq!(effects.len(), 4);
    assert!(rules.active_faults().is_empty());
    rules.inject(&NetworkFault::Resets {
        link: link.clone(),
        chance: Chance::ALWAYS,
    });
    assert_eq!(
        rules.decide(0, hosts[0], hosts[2], 1, &mut rng(1)),
        Verdict::Reset
    );
    rules.inject(&NetworkFault::Refuse { link });
    assert!(matches!(
        rules.connect(0, hosts[0], hosts[2], &mut rng(1)),
        ConnectVerdict::RefusedAt(_)
    ));
}

#[test]
fn pieces_are_seeded_and_never_empty() {
    let (mut rules, hosts) = rules(2);
    let mut rng = rng(1);
    assert_eq!(rules.piece(hosts[0], hosts[1], 5_000, &mut rng), 5_000);
    rules.inject(&NetworkFault::Fragment {
        link: LinkSelector::all(),
        max: 8,
    });
    let sizes: std::collections::BTreeSet<usize> = (0..200)
        .map(|_| rules.piece(hosts[0], hosts[1], 5_000, &mut rng))
        .collect();
    assert_eq!(sizes, (1..=8).collect());
    assert_eq!(rules.piece(hosts[0], hosts[1], 1, &mut rng), 1);
}

#[test]
fn hosts_that_come_late_obey_the_faults_that_are_set() {
    let (mut rules, hosts) = rules(1);
    rules.inject(&NetworkFault::Partition {
        sides: vec![vec!["node1".into()], vec!["client1".into()]],
    });
    let client = rules.host("client1");
    assert!(rules.is_cut(client, hosts[0]));
    assert_eq!(rules.name(client), "client1");
    assert!(!rules.is_cut(client, client));
}
