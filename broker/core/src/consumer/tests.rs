//! Positions: reading on, resets, fencing, truncation.

mod preferred_replica;
mod truncation;

use broker_protocol::ErrorCode;
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, TopicIdPartition, Uuid};

use super::{
    Config, Consumer, EpochEndOffset, FetchPosition, Fetched, FetchedBatch, Generation, Input,
    OffsetAndEpoch, OffsetReset, Output, Timer,
};

const PARTITION: TopicIdPartition = TopicIdPartition {
    topic_id: Uuid([1; 16]),
    partition: 0,
};
const NODE: NodeId = NodeId(1);

struct Client {
    consumer: Consumer,
}

fn at(offset: Offset, epoch: Option<i32>) -> OffsetAndEpoch {
    OffsetAndEpoch {
        offset,
        epoch: epoch.map(LeaderEpoch),
    }
}

fn batch(base_offset: Offset, last_offset: Offset, epoch: i32) -> FetchedBatch {
    FetchedBatch {
        base_offset,
        last_offset,
        leader_epoch: LeaderEpoch(epoch),
    }
}

impl Client {
    /// Assigned at `start`, with a leader of epoch 1.
    fn new(reset: Option<OffsetReset>, start: Option<OffsetAndEpoch>) -> (Client, Vec<Output>) {
        let mut client = Client {
            consumer: Consumer::new(Config { reset }),
        };
        client.step(Input::Assign {
            partition: PARTITION,
            position: start,
        });
        let out = client.leader(1);
        (client, out)
    }

    fn step(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.consumer.step(input, &mut out);
        out
    }

    fn leader(&mut self, epoch: i32) -> Vec<Output> {
        self.step(Input::Leader {
            partition: PARTITION,
            leader: Some(NODE),
            epoch: LeaderEpoch(epoch),
        })
    }

    fn fetch(&mut self) -> Option<FetchPosition> {
        match self.step(Input::Fetch { node: NODE }).as_slice() {
            [] => None,
            [Output::Fetch { positions, .. }] => Some(positions[0]),
            other => panic!("not a fetch: {other:?}"),
        }
    }

    fn fetched(&mut self, position: FetchPosition, batches: &[FetchedBatch]) -> Vec<Output> {
        let fetched = Fetched {
            diverging: None,
            high_watermark: 100,
            preferred_read_replica: None,
            log_start: 0,
            batches: batches.to_vec(),
        };
        self.step(Input::FetchResult {
            position,
            result: Ok(fetched),
        })
    }

    fn deliver(&mut self, outputs: &[Output]) {
        let [
            Output::Accept {
                generation, next, ..
            },
        ] = outputs
        else {
            panic!("nothing accepted: {outputs:?}")
        };
        self.step(Input::Delivered {
            partition: PARTITION,
            generation: *generation,
            next: *next,
        });
    }

    fn diverge(&mut self, epoch: i32, end_offset: Offset) -> Vec<Output> {
        let position = self.fetch().expect("fetching");
        let diverging = Some(EpochEndOffset {
            epoch: LeaderEpoch(epoch),
            end_offset,
        });
        let fetched = Fetched {
            diverging,
            high_watermark: 100,
            preferred_read_replica: None,
            log_start: 0,
            batches: vec![],
        };
        self.step(Input::FetchResult {
            position,
            result: Ok(fetched),
        })
    }

    fn position(&self) -> Option<OffsetAndEpoch> {
        self.consumer.position(PARTITION)
    }
}

#[test]
fn records_below_the_position_are_skipped() {
    let (mut client, _) = Client::new(None, Some(at(5, None)));
    let asked = client.fetch().expect("ready");
    assert_eq!((asked.offset, asked.last_fetched_epoch), (5, None));
    assert_eq!(client.fetch(), None, "one fetch at a time");
    let out = client.fetched(asked, &[batch(3, 6, 0), batch(9, 9, 1)]);
    let (generation, next) = (Generation(1), at(10, Some(1)));
    assert_eq!(
        out,
        [Output::Accept {
            partition: PARTITION,
            generation,
            from: 5,
            next
        }]
    );
    assert_eq!(client.position(), Some(at(5, None)), "not delivered yet");
    client.deliver(&out);
    assert_eq!(client.position(), Some(at(10, Some(1))));
    assert_eq!(client.consumer.lag(PARTITION), Some(90));
}

#[test]
fn without_a_position_the_policy_finds_one() {
    let (mut client, out) = Client::new(Some(OffsetReset::Earliest), None);
    let [
        Output::ListOffset {
            generation,
            reset: OffsetReset::Earliest,
            ..
        },
    ] = out[..]
    else {
        panic!("{out:?}")
    };
    assert_eq!(client.fetch(), None);
    client.step(Input::OffsetListed {
        partition: PARTITION,
        generation,
        result: Ok(at(3, Some(1))),
    });
    assert_eq!(client.fetch().expect("ready").offset, 3);

    let (mut client, _) = Client::new(None, None);
    assert_eq!(client.fetch(), None, "no policy: the application must seek");
    client.step(Input::Seek {
        partition: PARTITION,
        position: at(8, None),
    });
    assert_eq!(client.fetch().expect("ready").offset, 8);
}

#[test]
fn out_of_range_resets_by_policy() {
    let (mut client, _) = Client::new(Some(OffsetReset::Latest), Some(at(50, None)));
    let position = client.fetch().expect("ready");
    let out = client.step(Input::FetchResult {
        position,
        result: Err(ErrorCode::OffsetOutOfRange),
    });
    assert!(matches!(
        out[..],
        [
            Output::DropBuffered { .. },
            Output::ListOffset {
                reset: OffsetReset::Latest,
                ..
            }
        ]
    ));

    let (mut client, _) = Client::new(None, Some(at(50, None)));
    let position = client.fetch().expect("ready");
    let out = client.step(Input::FetchResult {
        position,
        result: Err(ErrorCode::OffsetOutOfRange),
    });
    let error = Some(ErrorCode::OffsetOutOfRange);
    assert_eq!(
        out,
        [Output::Stalled {
            partition: PARTITION,
            offset: Some(50),
            error
        }]
    );
    assert_eq!(client.fetch(), None);
}

#[test]
fn a_seek_voids_what_is_under_way() {
    let (mut client, _) = Client::new(None, Some(at(5, None)));
    let before = client.fetch().expect("ready");
    let out = client.step(Input::Seek {
        partition: PARTITION,
        position: at(0, None),
    });
    assert_eq!(
        out,
        [Output::DropBuffered {
            partition: PARTITION
        }]
    );
    assert!(client.fetched(before, &[batch(5, 5, 1)]).is_empty());
    let after = client.fetch().expect("ready");
    let out = client.fetched(after, &[batch(0, 1, 1)]);
    client.step(Input::Delivered {
        partition: PARTITION,
        generation: before.generation,
        next: at(6, Some(1)),
    });
    assert_eq!(
        client.position(),
        Some(at(0, None)),
        "a delivery of the old generation"
    );
    client.deliver(&out);
    assert_eq!(client.position(), Some(at(2, Some(1))));
}

#[test]
fn fencing_refreshes_metadata_and_pauses() {
    for error in [
        ErrorCode::FencedLeaderEpoch,
        ErrorCode::UnknownLeaderEpoch,
        ErrorCode::NotLeaderOrFollower,
    ] {
        let (mut client, _) = Client::new(None, Some(at(5, None)));
        let position = client.fetch().expect("ready");
        let out = client.step(Input::FetchResult {
            position,
            result: Err(error),
        });
        let retry = Timer::Retry(PARTITION);
        assert_eq!(
            out,
            [
                Output::RefreshMetadata {
                    partition: PARTITION
                },
                Output::Arm(retry)
            ]
        );
        assert_eq!(client.fetch(), None);
        client.step(Input::Timer(retry));
        assert_eq!(client.fetch().expect("ready again").offset, 5);
    }
}

/// A position with an epoch is checked against each new leader; answers about an older one do not count.
#[test]
fn a_new_leader_is_asked_whether_it_has_what_was_read() {
    let (mut client, out) = Client::new(None, Some(at(5, Some(0))));
    let [
        Output::OffsetForLeaderEpoch {
            generation,
            epoch: LeaderEpoch(0),
            ..
        },
    ] = out[..]
    else {
        panic!("{out:?}")
    };
    assert_eq!(client.fetch(), None, "not validated");
    let out = client.leader(2);
    assert!(
        matches!(
            out[..],
            [Output::OffsetForLeaderEpoch {
                current_leader_epoch: LeaderEpoch(2),
                ..
            }]
        ),
        "{out:?}"
    );
    let answer = |current, end_offset| Input::EpochEnd {
        partition: PARTITION,
        generation,
        current_leader_epoch: LeaderEpoch(current),
        result: Ok(Some(EpochEndOffset {
            epoch: LeaderEpoch(0),
            end_offset,
        })),
    };
    client.step(answer(1, 9));
    assert_eq!(client.fetch(), None);
    client.step(answer(2, 9));
    assert_eq!(
        client.fetch().expect("validated").last_fetched_epoch,
        Some(LeaderEpoch(0))
    );
}

#[test]
fn pause_and_revocation_stop_fetching() {
    let (mut client, _) = Client::new(None, Some(at(5, None)));
    client.step(Input::Pause {
        partition: PARTITION,
        paused: true,
    });
    assert_eq!(client.fetch(), None);
    client.step(Input::Pause {
        partition: PARTITION,
        paused: false,
    });
    let position = client.fetch().expect("resumed");
    client.step(Input::Revoke {
        partition: PARTITION,
    });
    assert!(client.fetched(position, &[batch(5, 5, 1)]).is_empty());
    client.step(Input::Assign {
        partition: PARTITION,
        position: Some(at(5, None)),
    });
    client.leader(1);
    assert_ne!(
        client.fetch().expect("assigned anew").generation,
        position.generation
    );
}
