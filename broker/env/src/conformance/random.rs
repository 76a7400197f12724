//! Draws differ, stay in range and cover it.

use std::collections::BTreeSet;

use super::{Sites, checks_of};
use crate::random::{in_range, uuid};
use crate::{Random, Stream};

checks_of!("random": draws_differ, ranges_are_kept_and_covered, uuids_are_unique, streams_differ);

const STREAMS: [Stream; 3] = [Stream::Timer, Stream::Identity, Stream::Client];

async fn draws_differ(sites: Sites) {
    for stream in STREAMS {
        let draws: BTreeSet<u64> = (0..1_000)
            .map(|_| sites.client.env.random.next_u64(stream))
            .collect();
        assert_eq!(draws.len(), 1_000, "{stream:?} repeats itself");
    }
}

async fn streams_differ(sites: Sites) {
    let draws = STREAMS.map(|stream| sites.client.env.random.next_u64(stream));
    assert_eq!(BTreeSet::from(draws).len(), 3, "{draws:?}");
}

async fn ranges_are_kept_and_covered(sites: Sites) {
    let random = sites.client.env.random.as_ref();
    let draws: BTreeSet<u64> = (0..1_000)
        .map(|_| in_range(random, Stream::Timer, 150, 160))
        .collect();
    assert_eq!(
        draws,
        (150..=160).collect(),
        "each of eleven values within 1000 draws"
    );
    assert_eq!(
        in_range(random, Stream::Timer, 9, 3),
        9,
        "an empty range gives its low end"
    );
    in_range(random, Stream::Timer, 0, u64::MAX);
}

async fn uuids_are_unique(sites: Sites) {
    let of = |random: &dyn Random| uuid(random);
    let (client, server) = (sites.client.env.random, sites.server.env.random);
    let ids: BTreeSet<[u8; 16]> = (0..500)
        .flat_map(|_| [of(client.as_ref()), of(server.as_ref())])
        .collect();
    assert_eq!(ids.len(), 1_000);
}
