use super::*;

const BATCH_RECORDS: usize = 3;

fn world() -> World {
    let mut world = World::with_brokers(3, false, 1);
    world.config.batch_records_max = BATCH_RECORDS;
    world.soft = Soft::new(world.config.clone());
    for broker in 1..=3 {
        world.beat(broker);
    }
    world
}

fn batches(out: &[Output]) -> Vec<Vec<Record>> {
    let records = |output: &Output| match output {
        Output::Records(records) => Some(records.clone()),
        _ => None,
    };
    out.iter().filter_map(records).collect()
}

fn create(world: &mut World, name: &str, partitions: i32) -> Vec<Output> {
    let request = CreateTopicsRequest {
        topics: vec![world.topic(name, partitions, 3)],
        validate_only: false,
        random: 0,
    };
    world.feed(Input::CreateTopics(Ticket(0), request))
}

fn add_partitions(world: &mut World, name: &str, count: i32) -> Vec<Output> {
    let topic = CreatePartitionsTopic {
        name: name.to_owned(),
        count,
        assignments: None,
    };
    let request = CreatePartitionsRequest {
        topics: vec![topic],
        validate_only: false,
        random: 0,
    };
    world.feed(Input::CreatePartitions(Ticket(0), request))
}

/// Another controller, with all of `log`.
fn successor(log: &[Record]) -> (World, Replay) {
    let mut next = world();
    next.log = log.to_vec();
    next.image = MetadataImage::default();
    let mut replay = Replay::default();
    for record in replay.read(log).iter() {
        next.image.apply(record);
    }
    (next, replay)
}

#[test]
fn a_change_applies_whole_or_not_at_all_wherever_the_log_is_cut() {
    let changes: [fn(&mut World) -> Vec<Output>; 2] = [
        |world| create(world, "large", 7),
        |world| add_partitions(world, "small", 9),
    ];
    for change in changes {
        let mut first = world();
        create(&mut first, "small", 2);
        let (before, start) = (first.image.clone(), first.log.len());
        let written = batches(&change(&mut first));
        assert!(
            written.len() > 2,
            "too small to be a transaction: {written:?}"
        );
        let mut end = start;
        for batch in &written {
            let (mut next, mut replay) = successor(&first.log[..end]);
            assert_eq!(next.image, before);
            assert_eq!(replay.is_open(), end > start);
            if replay.is_open() {
                let mut out = Vec::new();
                decide(
                    &next.image,
                    &mut next.soft,
                    Input::TransactionLeftOpen,
                    &mut out,
                );
                let [Output::Records(records)] = &out[..] else {
                    panic!("one batch, not {out:?}");
                };
                assert!(replay.read(records).is_empty() && !replay.is_open());
            }
            assert!(
                !batches(&change(&mut next)).is_empty(),
                "it can be done again"
            );
            assert_eq!(next.image.partition_count(), first.image.partition_count());
            end += batch.len();
        }
        assert_eq!(end, first.log.len());
        assert_eq!(successor(&first.log).0.image, first.image);
    }
}

#[test]
fn what_fits_a_batch_is_no_transaction() {
    let mut world = world();
    let out = create(&mut world, "t", 2);
    assert_eq!(batches(&out).len(), 1);
    assert!(!world.log.iter().any(Record::marks_transaction));
}

#[test]
fn a_bootstrap_may_be_a_transaction_and_is_written_again_if_it_was_cut() {
    let mut world = World::new(ControllerConfig {
        batch_records_max: 2,
        ..ControllerConfig::default()
    });
    let mut records = bootstrap(true);
    records.push(Record::Config {
        resource: ConfigResource::cluster(),
        name: "num.partitions".to_owned(),
        value: Some("3".to_owned()),
    });
    let activated = Input::Activated { bootstrap: records };
    let written = batches(&world.feed(activated.clone()));
    assert!(written.len() > 1, "{written:?}");
    let (cut, mut replay) = successor(&written[0]);
    assert!(replay.is_open() && cut.image == MetadataImage::default());
    let mut out = Vec::new();
    let mut soft = Soft::new(world.config.clone());
    decide(&cut.image, &mut soft, Input::TransactionLeftOpen, &mut out);
    decide(&cut.image, &mut soft, activated, &mut out);
    let mut image = MetadataImage::default();
    for batch in batches(&out) {
        for record in replay.read(&batch).iter() {
            image.apply(record);
        }
    }
    assert!(!replay.is_open());
    assert_eq!(image, world.image);
}

#[test]
#[should_panic(expected = "a transaction is open: false")]
fn an_end_without_a_beginning_is_refused() {
    Replay::default().read(&[Record::EndTransaction]);
}
