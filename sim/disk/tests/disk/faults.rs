//! Each fault does what it says, is counted, and stops when healed.

use std::path::Path;
use std::task::Poll;
use std::time::Duration;

use broker_env::{Disk, DiskErrorKind};
use sim_disk::{Chance, DiskFault, SimDisk, Strikes};

use crate::support::{disk, durable_file, errno, mount, open, poll_once, read, run};

fn count(disk: &SimDisk, kind: &str) -> u64 {
    disk.fault_counts().get(kind).copied().unwrap_or(0)
}

#[test]
fn errors_strike_matching_files_once_or_at_random_until_healed() {
    let disk = disk(1);
    let mount = mount(&disk);
    let (log, index) = (open(&mount, "/t-0/0.log"), open(&mount, "/t-0/0.index"));
    disk.inject(&DiskFault::ReadError(Strikes::once("*.log")));
    let mut buffer = [0; 1];
    assert!(index.read_at(&mut buffer, 0).is_ok());
    let error = log.read_at(&mut buffer, 0).unwrap_err();
    assert_eq!((error.kind, error.errno), (DiskErrorKind::Io, 5));
    assert!(log.read_at(&mut buffer, 0).is_ok());
    assert_eq!(count(&disk, "disk-read-error"), 1);

    let half = DiskFault::WriteError(Strikes::at_random("*", Chance::percent(50)));
    disk.inject(&half);
    let failed = (0..200).filter(|_| log.write_at(b"1", 0).is_err()).count();
    assert!((60..140).contains(&failed), "{failed}");
    assert_eq!(
        count(&disk, "disk-write-error"),
        u64::try_from(failed).unwrap()
    );
    assert!(disk.heal(&half) && !disk.heal(&half));
    assert!((0..100).all(|_| log.write_at(b"1", 0).is_ok()));
}

#[test]
fn after_a_failed_sync_the_cache_shows_what_the_disk_never_gets() {
    for seed in 0..50 {
        let disk = disk(seed);
        let mount = mount(&disk);
        let file = durable_file(&mount, "/log");
        file.write_at(&[1; 700], 0).unwrap();
        run(file.sync_data()).unwrap();
        file.write_at(&[2; 100], 0).unwrap();
        file.write_at(&[3; 2000], 700).unwrap();
        disk.inject(&DiskFault::SyncError(Strikes::once("*")));
        assert_eq!(errno(run(file.sync_data())), 5);
        assert_eq!(read(&disk, "/log").unwrap().len(), 2700);
        // The retry that must not be trusted: it says yes.
        run(file.sync_data()).unwrap();
        disk.power_loss();
        assert_eq!(read(&disk, "/log").unwrap(), [1; 700]);
    }
}

#[test]
fn what_is_written_after_a_lying_sync_can_be_saved_by_an_honest_one() {
    for seed in 0..50 {
        let disk = disk(seed);
        let mount = mount(&disk);
        let file = durable_file(&mount, "/log");
        disk.inject(&DiskFault::LyingSync(Strikes::once("*")));
        file.write_at(&[1; 1024], 0).unwrap();
        run(file.sync_data()).unwrap();
        assert_eq!(disk.read_durable(Path::new("/log")).unwrap(), b"");
        file.write_at(&[2; 1024], 1024).unwrap();
        run(file.sync_data()).unwrap();
        disk.power_loss();
        let content = read(&disk, "/log").unwrap();
        assert_eq!(content[..1024], [0; 1024]);
        assert_eq!(content[1024..], [2; 1024]);
        assert_eq!(count(&disk, "disk-lying-sync"), 1);
    }
}

#[test]
fn a_sync_error_may_drop_the_cache() {
    let disk = disk(1);
    let mount = mount(&disk);
    let file = durable_file(&mount, "/log");
    file.write_at(&[1; 700], 0).unwrap();
    run(file.sync_data()).unwrap();
    file.write_at(&[2; 1000], 300).unwrap();
    disk.inject(&DiskFault::SyncErrorDropsCache(Strikes::once("*")));
    assert_eq!(errno(run(file.sync_data())), 5);
    assert_eq!(read(&disk, "/log").unwrap(), [1; 700]);
    assert_eq!(disk.used_bytes(), 700);
}

#[test]
fn a_full_disk_writes_what_fits() {
    let disk = disk(1);
    let mount = mount(&disk);
    let file = open(&mount, "/log");
    file.write_at(&[1; 100], 0).unwrap();
    let full = DiskFault::Full { capacity: 250 };
    disk.inject(&full);
    let error = file.write_at(&[2; 200], 100).unwrap_err();
    assert_eq!((error.kind, error.errno), (DiskErrorKind::NoSpace, 28));
    assert_eq!(file.length().unwrap(), 250);
    assert!(
        mount
            .open(Path::new("/new"), broker_env::OpenMode::Create)
            .is_err()
    );
    file.write_at(&[3; 250], 0).unwrap();
    assert_eq!(errno(file.truncate(300)), 28);
    file.truncate(0).unwrap();
    file.write_at(&[4; 200], 0).unwrap();
    disk.heal(&full);
    file.write_at(&[5; 1000], 0).unwrap();
    assert_eq!(disk.used_bytes(), 1000);
}

#[test]
fn bit_rot_flips_bits_of_durable_data_only() {
    let disk = disk(1);
    let mount = mount(&disk);
    let file = durable_file(&mount, "/0.log");
    file.write_at(&[0; 1000], 0).unwrap();
    disk.inject(&DiskFault::BitRot {
        files: "*.log".into(),
        bits: 3,
    });
    assert_eq!(count(&disk, "disk-bit-rot"), 0);
    run(file.sync_data()).unwrap();
    file.write_at(&[0; 1000], 1000).unwrap();
    disk.inject(&DiskFault::BitRot {
        files: "*.log".into(),
        bits: 3,
    });
    let content = read(&disk, "/0.log").unwrap();
    let flipped: u32 = content[..1000].iter().map(|byte| byte.count_ones()).sum();
    assert!(flipped == 3 || flipped == 1, "{flipped}");
    assert!(content[1000..].iter().all(|&byte| byte == 0));
    assert_eq!(count(&disk, "disk-bit-rot"), 3);
    assert!(disk.active_faults().is_empty());
}

#[test]
fn lost_and_misdirected_writes_say_yes() {
    let disk = disk(5);
    let mount = mount(&disk);
    let file = open(&mount, "/log");
    file.write_at(&[1; 4096], 0).unwrap();
    disk.inject(&DiskFault::LostWrite(Strikes::once("*")));
    file.write_at(&[2; 10], 0).unwrap();
    assert_eq!(read(&disk, "/log").unwrap(), [1; 4096]);
    disk.inject(&DiskFault::MisdirectedWrite(Strikes::once("*")));
    file.write_at(&[3; 512], 4096).unwrap();
    let content = read(&disk, "/log").unwrap();
    assert_eq!(content.len(), 4608);
    let landed = content
        .chunks(512)
        .position(|sector| sector == [3; 512])
        .unwrap();
    assert!(landed < 9);
    assert_eq!(
        (
            count(&disk, "disk-lost-write"),
            count(&disk, "disk-misdirected-write")
        ),
        (1, 1)
    );
}

#[test]
fn a_stalled_disk_serves_its_cache_and_syncs_when_healed() {
    let disk = disk(1);
    let mount = mount(&disk);
    let file = durable_file(&mount, "/log");
    disk.inject(&DiskFault::Stalled);
    file.write_at(b"1", 0).unwrap();
    let mut sync = file.sync_data();
    assert!(poll_once(&mut sync).is_pending());
    assert_eq!(disk.unsynced()[Path::new("log")].durable_length, 0);
    disk.heal_all();
    assert!(matches!(poll_once(&mut sync), Poll::Ready(Ok(()))));
    assert!(disk.unsynced().is_empty());
}

#[test]
fn a_wiped_disk_is_empty_and_its_old_handles_are_dead() {
    let disk = disk(1);
    let file = durable_file(&mount(&disk), "/log");
    disk.inject(&DiskFault::Wiped);
    assert!(disk.files().is_empty());
    assert_eq!(errno(file.write_at(b"1", 0)), 116);
    let mount = mount(&disk);
    open(&mount, "/log").write_at(b"2", 0).unwrap();
    assert_eq!(read(&disk, "/log").unwrap(), b"2");
}

#[test]
fn faults_are_data() {
    let faults = [
        DiskFault::SyncError(Strikes::once("*.log")),
        DiskFault::LyingSync(Strikes::at_random("*", Chance::per_million(2_500))),
        DiskFault::BitRot {
            files: "*.index".into(),
            bits: 2,
        },
        DiskFault::Slow {
            operation: Duration::from_micros(20),
            sync: Duration::from_millis(250),
        },
        DiskFault::Stalled,
        DiskFault::Wiped,
    ];
    let lines: Vec<String> = faults.iter().map(DiskFault::to_string).collect();
    let expected = [
        "EIO on sync of *.log once, cache kept",
        "sync lies for * with 0.25%",
        "2 bits rot in *.index",
        "slow: 20us per call, 250ms per sync",
        "stalled",
        "wiped",
    ];
    assert_eq!(lines, expected);
    for fault in &faults {
        let text = serde_json::to_string(fault).unwrap();
        assert_eq!(
            serde_json::from_str::<DiskFault>(&text).unwrap(),
            *fault,
            "{text}"
        );
    }
    assert!(serde_json::from_str::<DiskFault>(r#"{"kind":"read-error","file":"*"}"#).is_err());
    assert!(serde_json::from_str::<DiskFault>(r#"{"kind":"read-error","chance":1.5}"#).is_err());
}
