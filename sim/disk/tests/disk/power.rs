//! What a power loss may and may not take from a file.

use std::collections::BTreeSet;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use broker_env::{Disk, DiskError, File};
use proptest::prelude::*;
use sim_disk::SimDisk;

use crate::support::{disk, durable_file, mount, open, read, run};

#[derive(Clone, Debug)]
enum Op {
    Write {
        offset: u64,
        length: usize,
        value: u8,
    },
    Append {
        length: usize,
        value: u8,
    },
    Truncate {
        length: u64,
    },
    Sync,
    /// Calls a sync that completes at the next `FinishSync`.
    BeginSync,
    FinishSync,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..6_000u64, 0..1_500usize, 1..=255u8).prop_map(|(offset, length, value)| Op::Write {
            offset,
            length,
            value
        }),
        (0..2_000usize, 1..=255u8).prop_map(|(length, value)| Op::Append { length, value }),
        (0..7_000u64).prop_map(|length| Op::Truncate { length }),
        Just(Op::Sync),
        Just(Op::BeginSync),
        Just(Op::FinishSync),
    ]
}

/// What is known of a file: the bytes, and since each sync that may still be the last one to have
/// reached the disk, every value each byte had.
#[derive(Clone, Default)]
struct Seen {
    values: Vec<BTreeSet<u8>>,
    shortest: usize,
    longest: usize,
    /// Where the file was cut: the rest of that sector was zeroed.
    cuts: BTreeSet<usize>,
}

impl Seen {
    fn starting_with(content: &[u8]) -> Seen {
        let values = content.iter().map(|&byte| BTreeSet::from([byte])).collect();
        Seen {
            values,
            shortest: content.len(),
            longest: content.len(),
            cuts: BTreeSet::new(),
        }
    }

    fn observe(&mut self, content: &[u8]) {
        if content.len() < self.longest {
            self.cuts.insert(content.len());
        }
        self.shortest = self.shortest.min(content.len());
        self.longest = self.longest.max(content.len());
        if self.values.len() < content.len() {
            self.values.resize(content.len(), BTreeSet::from([0]));
        }
        for (values, &byte) in self.values.iter_mut().zip(content) {
            values.insert(byte);
        }
    }

    fn allows(&self, content: &[u8]) -> Result<(), String> {
        if content.len() < self.shortest || content.len() > self.longest {
            return Err(format!(
                "length {} outside {}..={}",
                content.len(),
                self.shortest,
                self.longest
            ));
        }
        for (offset, byte) in content.iter().enumerate() {
            let zeroed = |cut: &usize| (*cut..cut.next_multiple_of(512)).contains(&offset);
            let allowed =
                self.values[offset].contains(byte) || (*byte == 0 && self.cuts.iter().any(zeroed));
            if !allowed {
                return Err(format!(
                    "byte {offset} is {byte}, not one of {:?}",
                    self.values[offset]
                ));
            }
        }
        Ok(())
    }
}

type Sync = Pin<Box<dyn Future<Output = Result<(), DiskError>> + Send>>;

struct Model {
    content: Vec<u8>,
    seen: Seen,
    begun: Option<(Sync, Seen)>,
}

impl Model {
    fn changed(&mut self) {
        self.seen.observe(&self.content);
        if let Some((_, seen)) = &mut self.begun {
            seen.observe(&self.content);
        }
    }

    fn apply(&mut self, file: &Arc<dyn File>, op: &Op) {
        match *op {
            Op::Write {
                offset,
                length,
                value,
            } => self.write(file, usize::try_from(offset).unwrap(), length, value),
            Op::Append { length, value } => self.write(file, self.content.len(), length, value),
            Op::Truncate { length } => {
                file.truncate(length).unwrap();
                self.content.resize(usize::try_from(length).unwrap(), 0);
                self.changed();
            }
            Op::Sync => {
                run(file.sync_data()).unwrap();
                self.begun = None;
                self.seen = Seen::starting_with(&self.content);
            }
            Op::BeginSync => {
                self.begun = Some((file.sync_data(), Seen::starting_with(&self.content)))
            }
            Op::FinishSync => {
                if let Some((sync, seen)) = self.begun.take() {
                    run(sync).unwrap();
                    self.seen = seen;
                }
            }
        }
    }

    fn write(&mut self, file: &Arc<dyn File>, offset: usize, length: usize, value: u8) {
        file.write_at(&vec![value; length], u64::try_from(offset).unwrap())
            .unwrap();
        if length > 0 {
            let end = self.content.len().max(offset + length);
            self.content.resize(end, 0);
            self.content[offset..offset + length].fill(value);
            self.changed();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Synced data survive; the rest is any mix of what it was since. The page cache never lies.
    #[test]
    fn a_power_loss_keeps_what_was_synced(seed: u64, ops in prop::collection::vec(op(), 1..25), more in prop::collection::vec(op(), 0..10)) {
        let disk = disk(seed);
        let first = mount(&disk);
        let file = durable_file(&first, "/data/log");
        let mut model = Model { content: Vec::new(), seen: Seen::default(), begun: None };
        for op in &ops {
            model.apply(&file, op);
            prop_assert_eq!(read(&disk, "/data/log").unwrap(), model.content.clone());
        }
        let guaranteed = disk.read_durable(Path::new("/data/log")).unwrap();
        prop_assert_eq!(model.seen.allows(&guaranteed), Ok(()));
        disk.power_loss();
        let after = read(&disk, "/data/log").unwrap();
        prop_assert_eq!(model.seen.allows(&after), Ok(()));

        // What survived is durable now, and the file goes on as any other.
        prop_assert!(disk.unsynced().is_empty());
        let second = mount(&disk);
        let file = open(&second, "/data/log");
        let mut model = Model { content: after.clone(), seen: Seen::starting_with(&after), begun: None };
        for op in &more {
            model.apply(&file, op);
        }
        disk.power_loss();
        prop_assert_eq!(model.seen.allows(&read(&disk, "/data/log").unwrap()), Ok(()));
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// The same seed and calls, the same loss.
    #[test]
    fn a_power_loss_is_deterministic(seed: u64, ops in prop::collection::vec(op(), 1..20)) {
        let outcome = || {
            let disk = disk(seed);
            let mount = mount(&disk);
            let file = durable_file(&mount, "/log");
            let mut model = Model { content: Vec::new(), seen: Seen::default(), begun: None };
            ops.iter().for_each(|op| model.apply(&file, op));
            (disk.power_loss(), disk.fingerprint())
        };
        prop_assert_eq!(outcome(), outcome());
    }
}

/// 4 synced sectors of 1, overwritten with 2, then 4 more of 3: what the seeds make of it.
fn overwrite_and_append(seed: u64) -> (SimDisk, Vec<u8>) {
    let disk = disk(seed);
    let mount = mount(&disk);
    let file = durable_file(&mount, "/log");
    file.write_at(&[1; 2048], 0).unwrap();
    run(file.sync_data()).unwrap();
    file.write_at(&[2; 2048], 0).unwrap();
    file.write_at(&[3; 2048], 2048).unwrap();
    disk.power_loss();
    let content = read(&disk, "/log").unwrap();
    (disk, content)
}

#[test]
fn every_kind_of_loss_happens() {
    let mut seen = BTreeSet::new();
    for seed in 0..400 {
        let (_, content) = overwrite_and_append(seed);
        let sector = |index: usize| content.get(index * 512..(index + 1) * 512);
        let uniform = |bytes: &[u8]| bytes.iter().all(|byte| *byte == bytes[0]);
        seen.insert(if content == [1; 2048] {
            "all old"
        } else {
            "something new"
        });
        if content.len() == 4096 && content[..2048] == [2; 2048] && content[2048..] == [3; 2048] {
            seen.insert("all new");
        }
        if content.len() > 2048 && content.len() < 4096 && content.len() % 512 != 0 {
            seen.insert("lost tail");
        }
        if sector(4) == Some(&[0; 512]) && sector(5) == Some(&[3; 512]) {
            seen.insert("lost middle");
        }
        if (0..4).any(|index| sector(index).is_some_and(|bytes| !uniform(bytes))) {
            seen.insert("torn");
        }
        if sector(0) == Some(&[1; 512]) && sector(1) == Some(&[2; 512]) {
            seen.insert("reordered");
        }
    }
    let all = [
        "all old",
        "something new",
        "all new",
        "lost tail",
        "lost middle",
        "torn",
        "reordered",
    ];
    assert_eq!(seen, BTreeSet::from(all));
}

#[test]
fn writes_during_a_sync_are_not_covered_by_it() {
    let lost = (0..100).any(|seed| {
        let disk = disk(seed);
        let mount = mount(&disk);
        let file = durable_file(&mount, "/log");
        file.write_at(&[1; 512], 0).unwrap();
        let sync = file.sync_data();
        file.write_at(&[2; 512], 0).unwrap();
        file.write_at(&[3; 512], 512).unwrap();
        run(sync).unwrap();
        disk.power_loss();
        let content = read(&disk, "/log").unwrap();
        assert!(content.len() >= 512);
        content == [1; 512]
    });
    assert!(lost);
}

#[test]
fn a_sync_that_never_ran_promises_nothing_but_the_next_covers_it() {
    let disk = disk(3);
    let mount = mount(&disk);
    let file = durable_file(&mount, "/log");
    file.write_at(&[1; 600], 0).unwrap();
    drop(file.sync_data());
    file.write_at(&[2; 600], 600).unwrap();
    assert_eq!(disk.unsynced()[Path::new("log")].durable_length, 0);
    run(file.sync_data()).unwrap();
    assert!(disk.unsynced().is_empty());
}

#[test]
fn unsynced_tells_what_a_power_loss_could_take() {
    let disk = disk(1);
    let mount = mount(&disk);
    let file = durable_file(&mount, "/log");
    file.write_at(&[1; 2000], 0).unwrap();
    run(file.sync_data()).unwrap();
    assert!(disk.unsynced().is_empty());
    file.write_at(&[2; 10], 510).unwrap();
    file.write_at(&[3; 100], 2000).unwrap();
    open(&mount, "/new");
    let unsynced = disk.unsynced();
    let log = &unsynced[Path::new("log")];
    assert_eq!(
        (
            log.durable_length,
            log.length,
            log.sectors_overwritten,
            log.entry_unsynced
        ),
        (2000, 2100, 2, false)
    );
    assert!(unsynced[Path::new("new")].entry_unsynced);
    assert_eq!(disk.used_bytes(), 2100);
}

#[test]
fn appends_keep_no_copies_and_cost_no_more_as_the_log_grows() {
    let disk = disk(1);
    let mount = mount(&disk);
    let file = durable_file(&mount, "/log");
    for index in 0..200_000u64 {
        file.write_at(&[7; 100], index * 100).unwrap();
    }
    assert_eq!(disk.unsynced()[Path::new("log")].sectors_overwritten, 0);
    assert_eq!(file.length().unwrap(), 20_000_000);
    run(mount.sync_directory(Path::new("/"))).unwrap();
}
