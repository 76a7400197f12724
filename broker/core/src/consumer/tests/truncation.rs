//! A log that no longer has what was read (KIP-320).

use super::super::{OffsetReset, Output};
use super::{Client, PARTITION, at, batch};

/// What a consumer that read up to 10 in epoch 0 hears when a leader of epoch 1 ends epoch 0 at 7.
fn after_truncation(reset: Option<OffsetReset>) -> (Vec<Output>, Client) {
    let (mut client, _) = Client::new(reset, Some(at(0, None)));
    let position = client.fetch().expect("ready");
    let out = client.fetched(position, &[batch(0, 9, 0)]);
    client.deliver(&out);
    (client.diverge(0, 7), client)
}

#[test]
fn truncation_below_the_position_is_told() {
    let told = Output::TruncationDetected {
        partition: PARTITION,
        position: 10,
        divergent: Some(7),
    };
    let (out, client) = after_truncation(Some(OffsetReset::Latest));
    assert_eq!(out[0], told);
    assert_eq!(
        client.position(),
        Some(at(7, Some(0))),
        "goes on at the first offset that differs"
    );
    let (out, mut client) = after_truncation(None);
    assert_eq!(out[0], told);
    assert_eq!(
        client.fetch(),
        None,
        "without a policy the application decides"
    );
}

/// Fetched ahead but not given to the application: dropped and fetched again, nothing to tell.
#[test]
fn truncation_above_the_position_is_silent() {
    let (mut client, _) = Client::new(None, Some(at(0, None)));
    let position = client.fetch().expect("ready");
    client.fetched(position, &[batch(0, 9, 0)]);
    let out = client.diverge(0, 7);
    assert_eq!(
        out,
        [Output::DropBuffered {
            partition: PARTITION
        }]
    );
    assert_eq!(client.fetch().expect("ready").offset, 0);
}

#[cfg(feature = "mutants")]
#[test]
fn without_validation_a_truncation_is_not_noticed() {
    broker_probe::set_mutant(Some("C_07"));
    let (mut client, out) = Client::new(None, Some(at(5, Some(0))));
    broker_probe::set_mutant(None);
    assert!(out.is_empty());
    assert_eq!(
        client.fetch().expect("reads on as if nothing were").offset,
        5
    );
}
