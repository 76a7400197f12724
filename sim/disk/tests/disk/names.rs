//! Directories: what names survive.

use std::collections::BTreeSet;
use std::path::Path;

use broker_env::{Disk, DiskErrorKind, OpenMode};
use proptest::prelude::*;

use crate::support::{disk, durable_file, errno, mount, open, read, run};

fn write(mount: &sim_disk::Mount, path: &str, bytes: &[u8]) {
    let file = mount.open(Path::new(path), OpenMode::Truncate).unwrap();
    file.write_at(bytes, 0).unwrap();
    run(file.sync_data()).unwrap();
}

/// Over 200 seeds: what is in the file after the power loss ("-": no file).
fn outcomes(path: &str, life: impl Fn(&sim_disk::Mount)) -> BTreeSet<String> {
    let outcome = |seed| {
        let disk = disk(seed);
        life(&mount(&disk));
        disk.power_loss();
        read(&disk, path).map_or("-".into(), |bytes| String::from_utf8(bytes).unwrap())
    };
    (0..200).map(outcome).collect()
}

fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn a_new_file_may_go_until_its_directory_is_synced() {
    assert_eq!(
        outcomes("/a", |mount| write(mount, "/a", b"1")),
        set(&["-", "1"])
    );
    let synced = outcomes("/a", |mount| {
        write(mount, "/a", b"1");
        run(mount.sync_directory(Path::new("/"))).unwrap();
    });
    assert_eq!(synced, set(&["1"]));
}

/// The way checkpoints are written: temporary file, sync, rename, sync of the directory.
#[test]
fn a_renamed_file_is_old_or_new_and_new_once_the_directory_is_synced() {
    let replace = |mount: &sim_disk::Mount| {
        write(mount, "/a", b"old");
        run(mount.sync_directory(Path::new("/"))).unwrap();
        write(mount, "/a.tmp", b"new");
        mount.rename(Path::new("/a.tmp"), Path::new("/a")).unwrap();
    };
    assert_eq!(outcomes("/a", replace), set(&["old", "new"]));
    let synced = outcomes("/a", |mount| {
        replace(mount);
        run(mount.sync_directory(Path::new("/"))).unwrap();
    });
    assert_eq!(synced, set(&["new"]));
}

#[test]
fn a_rename_without_a_sync_of_the_data_may_leave_an_empty_file() {
    let outcomes = outcomes("/a", |mount| {
        write(mount, "/a", b"old");
        run(mount.sync_directory(Path::new("/"))).unwrap();
        open(mount, "/a.tmp").write_at(b"new", 0).unwrap();
        mount.rename(Path::new("/a.tmp"), Path::new("/a")).unwrap();
        run(mount.sync_directory(Path::new("/"))).unwrap();
    });
    assert!(
        outcomes.contains("") && outcomes.contains("new") && !outcomes.contains("old"),
        "{outcomes:?}"
    );
}

#[test]
fn a_removed_file_may_come_back_until_its_directory_is_synced() {
    let remove = |mount: &sim_disk::Mount| {
        write(mount, "/a", b"1");
        run(mount.sync_directory(Path::new("/"))).unwrap();
        mount.remove(Path::new("/a")).unwrap();
    };
    assert_eq!(outcomes("/a", remove), set(&["-", "1"]));
    let synced = outcomes("/a", |mount| {
        remove(mount);
        run(mount.sync_directory(Path::new("/"))).unwrap();
    });
    assert_eq!(synced, set(&["-"]));
}

#[test]
fn a_file_in_a_new_directory_needs_both_directories_synced() {
    let life = |mount: &sim_disk::Mount, outer: bool, inner: bool| {
        mount.create_directory(Path::new("/t-0")).unwrap();
        write(mount, "/t-0/log", b"1");
        if inner {
            run(mount.sync_directory(Path::new("/t-0"))).unwrap();
        }
        if outer {
            run(mount.sync_directory(Path::new("/"))).unwrap();
        }
    };
    assert_eq!(
        outcomes("/t-0/log", |mount| life(mount, false, true)),
        set(&["-", "1"])
    );
    assert_eq!(
        outcomes("/t-0/log", |mount| life(mount, true, false)),
        set(&["-", "1"])
    );
    assert_eq!(
        outcomes("/t-0/log", |mount| life(mount, true, true)),
        set(&["1"])
    );
}

#[test]
fn a_rename_between_directories_never_loses_the_file() {
    for seed in 0..200 {
        let disk = disk(seed);
        let mount = mount(&disk);
        mount.create_directory(Path::new("/a")).unwrap();
        mount.create_directory(Path::new("/b")).unwrap();
        write(&mount, "/a/f", b"1");
        run(mount.sync_directory(Path::new("/a"))).unwrap();
        run(mount.sync_directory(Path::new("/"))).unwrap();
        mount.rename(Path::new("/a/f"), Path::new("/b/g")).unwrap();
        disk.power_loss();
        let there = [read(&disk, "/a/f"), read(&disk, "/b/g")];
        assert_eq!(there.iter().flatten().count(), 1, "seed {seed}");
    }
}

#[test]
fn handles_survive_rename_and_removal() {
    let disk = disk(1);
    let mount = mount(&disk);
    let file = durable_file(&mount, "/a");
    mount.rename(Path::new("/a"), Path::new("/b")).unwrap();
    file.write_at(b"1", 0).unwrap();
    run(file.sync_data()).unwrap();
    assert_eq!(read(&disk, "/b").unwrap(), b"1");
    mount.remove(Path::new("/b")).unwrap();
    file.write_at(b"2", 1).unwrap();
    run(file.sync_data()).unwrap();
    let mut buffer = [0; 2];
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 2);
    assert_eq!(&buffer, b"12");
    assert!(!mount.exists(Path::new("/b")));
    assert_eq!(disk.used_bytes(), 0);
}

#[test]
fn errors_are_those_of_a_file_system() {
    let disk = disk(1);
    let mount = mount(&disk);
    let missing = mount.open(Path::new("/x"), OpenMode::Write).err().unwrap();
    assert_eq!((missing.kind, missing.errno), (DiskErrorKind::NotFound, 2));
    mount.create_directory(Path::new("/d/e")).unwrap();
    mount.create_directory(Path::new("/d/e")).unwrap();
    open(&mount, "/d/f");
    let exists = mount
        .open(Path::new("/d/f"), OpenMode::CreateNew)
        .err()
        .unwrap();
    assert_eq!(
        (exists.kind, exists.errno),
        (DiskErrorKind::AlreadyExists, 17)
    );
    assert_eq!(
        errno(mount.rename(Path::new("/d/f"), Path::new("/d/e"))),
        21
    );
    assert_eq!(
        errno(mount.rename(Path::new("/d"), Path::new("/d/e/d"))),
        22
    );
    assert_eq!(errno(mount.rename(Path::new("/d/g"), Path::new("/d/h"))), 2);
    assert_eq!(errno(mount.remove(Path::new("/d/../x"))), 22);
    assert_eq!(mount.list(Path::new("/d")).unwrap(), ["e", "f"]);
    assert!(mount.is_directory(Path::new("/d")) && !mount.is_directory(Path::new("/d/f")));
    mount.rename(Path::new("/d"), Path::new("/moved")).unwrap();
    assert_eq!(mount.list(Path::new("/moved")).unwrap(), ["e", "f"]);
    mount.remove(Path::new("/moved")).unwrap();
    assert!(mount.list(Path::new("/")).unwrap().is_empty());
}

#[derive(Clone, Debug)]
enum Op {
    Create(u8),
    Rename(u8, u8),
    Remove(u8),
    Sync,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..5u8).prop_map(Op::Create),
        3 => (0..5u8, 0..5u8).prop_map(|(from, to)| Op::Rename(from, to)),
        2 => (0..5u8).prop_map(Op::Remove),
        1 => Just(Op::Sync),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Each name holds, after the loss, something it held since the last sync of the directory; no
    /// file is under two names; and what nobody touched since is as it was.
    #[test]
    fn names_are_as_they_were_at_some_time_since_the_sync(seed: u64, ops in prop::collection::vec(op(), 1..30)) {
        let disk = disk(seed);
        let mount = mount(&disk);
        let name = |number: u8| format!("/f{number}");
        let mut next = 0u32;
        let mut now: Vec<Option<u32>> = vec![None; 5];
        let mut seen: Vec<BTreeSet<Option<u32>>> = vec![BTreeSet::from([None]); 5];
        for op in ops {
            match op {
                Op::Create(a) => {
                    mount.remove(Path::new(&name(a))).ok();
                    seen[usize::from(a)].insert(None);
                    next += 1;
                    write(&mount, &name(a), next.to_string().as_bytes());
                    now[usize::from(a)] = Some(next);
                }
                Op::Rename(a, b) if a != b && mount.rename(Path::new(&name(a)), Path::new(&name(b))).is_ok() => {
                    now[usize::from(b)] = now[usize::from(a)].take();
                }
                Op::Rename(..) => {}
                Op::Remove(a) => {
                    mount.remove(Path::new(&name(a))).ok();
                    now[usize::from(a)] = None;
                }
                Op::Sync => {
                    run(mount.sync_directory(Path::new("/"))).unwrap();
                    seen = vec![BTreeSet::new(); 5];
                }
            }
            for (seen, now) in seen.iter_mut().zip(&now) {
                seen.insert(*now);
            }
        }
        disk.power_loss();
        let mut found = BTreeSet::new();
        for number in 0..5u8 {
            let bytes = read(&disk, &name(number));
            let content = bytes.map(|bytes| String::from_utf8(bytes).unwrap().parse::<u32>().unwrap());
            prop_assert!(seen[usize::from(number)].contains(&content), "{} is {content:?}", name(number));
            prop_assert!(content.is_none_or(|content| found.insert(content)), "{content:?} twice");
        }
    }
}
