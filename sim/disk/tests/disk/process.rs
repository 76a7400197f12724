//! Crashes of the process: the data stay, everything the process held goes.

use std::path::Path;
use std::sync::Arc;

use broker_env::{Disk, DiskErrorKind, OpenMode};

use crate::support::{disk, errno, mount, open, read, run};

#[test]
fn a_crash_keeps_what_was_written() {
    let disk = disk(1);
    open(&mount(&disk), "/log")
        .write_at(b"unsynced", 0)
        .unwrap();
    disk.process_crash();
    assert_eq!(read(&disk, "/log").unwrap(), b"unsynced");
    let mut buffer = [0; 8];
    assert_eq!(
        open(&mount(&disk), "/log").read_at(&mut buffer, 0).unwrap(),
        8
    );
    assert!(!disk.unsynced().is_empty());
}

#[test]
fn a_zombie_of_the_dead_process_touches_nothing() {
    let disk = disk(1);
    let old = mount(&disk);
    let file = open(&old, "/log");
    file.write_at(b"1", 0).unwrap();
    let sync = file.sync_data();
    disk.process_crash();
    assert_eq!(errno(file.write_at(b"2", 0)), 116);
    assert_eq!(errno(file.truncate(0)), 116);
    assert_eq!(errno(run(sync)), 116);
    assert_eq!(errno(old.remove(Path::new("/log"))), 116);
    assert_eq!(errno(old.rename(Path::new("/log"), Path::new("/x"))), 116);
    assert!(old.open(Path::new("/log"), OpenMode::Truncate).is_err());
    assert!(!old.exists(Path::new("/log")));
    assert_eq!(read(&disk, "/log").unwrap(), b"1");
    assert_eq!(disk.unsynced()[Path::new("log")].durable_length, 0);
}

#[test]
fn a_zombie_handle_does_not_close_the_new_processs_file() {
    let disk = disk(1);
    let zombie = open(&mount(&disk), "/log");
    disk.process_crash();
    let second = mount(&disk);
    let file = open(&second, "/log");
    second.remove(Path::new("/log")).unwrap();
    drop(zombie);
    file.write_at(b"2", 0).unwrap();
    assert_eq!(file.length().unwrap(), 1);
}

#[test]
fn a_lock_lasts_until_dropped_or_dead() {
    let disk = disk(1);
    let first = mount(&disk);
    let guard = first.lock(Path::new("/.lock")).unwrap();
    assert_eq!(
        first.lock(Path::new("/.lock")).err().unwrap().kind,
        DiskErrorKind::Locked
    );
    drop(guard);
    let zombie = first.lock(Path::new("/.lock")).unwrap();
    disk.process_crash();
    let second = mount(&disk);
    let guard = second.lock(Path::new("/.lock")).unwrap();
    drop(zombie);
    assert_eq!(
        second.lock(Path::new("/.lock")).err().unwrap().kind,
        DiskErrorKind::Locked
    );
    drop(guard);
}

#[test]
fn slow_calls_are_charged_to_the_node() {
    let host = Arc::new(crate::support::Host::default());
    let disk = disk(1);
    let mount = disk.mount(host.clone());
    let (operation, sync) = (
        std::time::Duration::from_millis(3),
        std::time::Duration::from_millis(50),
    );
    let file = open(&mount, "/log");
    disk.inject(&sim_disk::DiskFault::Slow { operation, sync });
    file.write_at(b"1", 0).unwrap();
    file.read_at(&mut [0], 0).unwrap();
    assert_eq!(*host.stalled.lock().unwrap(), operation * 2);
}

#[test]
fn a_sync_may_outlive_the_file_it_was_called_on() {
    let disk = disk(1);
    let mount = mount(&disk);
    let file = open(&mount, "/log");
    file.write_at(b"1", 0).unwrap();
    let (sync, directory) = (file.sync_data(), mount.sync_directory(Path::new("/")));
    mount.remove(Path::new("/log")).unwrap();
    run(mount.sync_directory(Path::new("/"))).unwrap();
    drop(file);
    run(sync).unwrap();
    run(directory).unwrap();
    assert!(disk.files().is_empty());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads the real files of a dump")]
fn a_dump_is_the_live_tree() {
    let disk = disk(1);
    let mount = mount(&disk);
    mount.create_directory(Path::new("/data/t-0")).unwrap();
    open(&mount, "/data/t-0/log").write_at(b"1", 0).unwrap();
    let target = std::env::temp_dir().join(format!("sim-disk-dump-{}", std::process::id()));
    disk.dump_to(&target).unwrap();
    assert_eq!(std::fs::read(target.join("data/t-0/log")).unwrap(), b"1");
    std::fs::remove_dir_all(&target).unwrap();
    assert_eq!(
        disk.files().into_iter().collect::<Vec<_>>(),
        [("data/t-0/log".into(), 1)]
    );
}
