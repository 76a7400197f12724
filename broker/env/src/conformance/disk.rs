//! Files and directories as POSIX has them, as far as the broker relies on it.

use std::path::Path;
use std::sync::Arc;

use super::{Sites, checks_of, soon};
use crate::{Disk, DiskErrorKind, Env, File, OpenMode};

checks_of!("disk":
    modes_of_opening, reads_and_writes_at_offsets, a_gap_reads_as_zeros, truncation_cuts_and_grows_with_zeros,
    a_read_only_handle_does_not_write, two_handles_see_one_file, rename_replaces, rename_moves_a_directory,
    a_handle_survives_rename_and_removal, removal_is_deep, listings_are_sorted, directories_are_made_with_parents,
    errors_name_the_call, syncs_succeed, a_lock_is_exclusive_until_dropped, a_large_file_is_kept);

/// A directory of this check's own.
fn place(sites: &Sites, name: &str) -> (Env, std::path::PathBuf) {
    let path = sites.client.directory.join(name);
    sites
        .client
        .env
        .disk
        .create_directory(&path)
        .expect("a new directory");
    (sites.client.env.clone(), path)
}

fn create(disk: &dyn Disk, path: &Path, content: &[u8]) -> Arc<dyn File> {
    let file = disk.open(path, OpenMode::CreateNew).expect("a new file");
    file.write_at(content, 0).expect("room for a few bytes");
    file
}

fn content(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).expect("an existing file");
    let mut bytes = vec![0; usize::try_from(file.length().expect("open")).expect("small")];
    assert_eq!(file.read_at(&mut bytes, 0), Ok(bytes.len()));
    bytes
}

#[track_caller]
fn fails<T>(result: Result<T, crate::DiskError>, kind: DiskErrorKind) {
    let error = result.err().expect("an error");
    assert_eq!(error.kind, kind, "{error}");
}

async fn modes_of_opening(sites: Sites) {
    let (env, place) = place(&sites, "modes");
    let (disk, path) = (env.disk.as_ref(), place.join("file"));
    fails(disk.open(&path, OpenMode::Read), DiskErrorKind::NotFound);
    fails(disk.open(&path, OpenMode::Write), DiskErrorKind::NotFound);
    assert!(!disk.exists(&path));
    create(disk, &path, b"abc");
    assert!(disk.exists(&path) && !disk.is_directory(&path));
    fails(
        disk.open(&path, OpenMode::CreateNew),
        DiskErrorKind::AlreadyExists,
    );
    for mode in [OpenMode::Read, OpenMode::Write, OpenMode::Create] {
        let file = disk.open(&path, mode).expect("an existing file");
        assert_eq!(file.length(), Ok(3), "{mode:?} keeps the content");
    }
    let file = disk
        .open(&path, OpenMode::Truncate)
        .expect("an existing file");
    assert_eq!(file.length(), Ok(0));
    let other = disk
        .open(&place.join("other"), OpenMode::Create)
        .expect("a new file");
    assert_eq!(other.length(), Ok(0));
}

async fn reads_and_writes_at_offsets(sites: Sites) {
    let (env, place) = place(&sites, "offsets");
    let file = create(env.disk.as_ref(), &place.join("file"), b"0123456789");
    file.write_at(b"xy", 3).expect("inside the file");
    file.write_at(b"tail", 9).expect("over the end");
    assert_eq!(file.length(), Ok(13));
    let mut buffer = [0; 20];
    assert_eq!(
        file.read_at(&mut buffer, 0),
        Ok(13),
        "short only at the end"
    );
    assert_eq!(&buffer[..13], b"012xy5678tail");
    assert_eq!(file.read_at(&mut buffer[..4], 2), Ok(4));
    assert_eq!(&buffer[..4], b"2xy5");
    assert_eq!(file.read_at(&mut buffer, 13), Ok(0));
    assert_eq!(file.read_at(&mut buffer, 1_000), Ok(0), "beyond the end");
    assert_eq!(file.write_at(b"", 5), Ok(()));
    assert_eq!(file.length(), Ok(13));
}

async fn a_gap_reads_as_zeros(sites: Sites) {
    let (env, place) = place(&sites, "gap");
    let file = create(env.disk.as_ref(), &place.join("file"), b"ab");
    file.write_at(b"z", 10_000).expect("beyond the end");
    let bytes = content(env.disk.as_ref(), &place.join("file"));
    assert_eq!(
        (bytes.len(), &bytes[..2], bytes[10_000]),
        (10_001, b"ab".as_slice(), b'z')
    );
    assert!(bytes[2..10_000].iter().all(|byte| *byte == 0));
}

async fn truncation_cuts_and_grows_with_zeros(sites: Sites) {
    let (env, place) = place(&sites, "truncation");
    let file = create(env.disk.as_ref(), &place.join("file"), &[7; 3_000]);
    file.truncate(700).expect("cut");
    assert_eq!(file.length(), Ok(700));
    file.truncate(2_000).expect("grow");
    let bytes = content(env.disk.as_ref(), &place.join("file"));
    assert_eq!(bytes.len(), 2_000);
    assert!(bytes[..700].iter().all(|byte| *byte == 7), "what was kept");
    assert!(
        bytes[700..].iter().all(|byte| *byte == 0),
        "no ghost of what was cut"
    );
}

async fn a_read_only_handle_does_not_write(sites: Sites) {
    let (env, place) = place(&sites, "read-only");
    create(env.disk.as_ref(), &place.join("file"), b"abc");
    let file = env
        .disk
        .open(&place.join("file"), OpenMode::Read)
        .expect("an existing file");
    file.write_at(b"x", 0).expect_err("opened for reads only");
    file.truncate(0).expect_err("opened for reads only");
    assert_eq!(content(env.disk.as_ref(), &place.join("file")), b"abc");
}

async fn two_handles_see_one_file(sites: Sites) {
    let (env, place) = place(&sites, "handles");
    let one = create(env.disk.as_ref(), &place.join("file"), b"abc");
    let other = env
        .disk
        .open(&place.join("file"), OpenMode::Write)
        .expect("an existing file");
    other.write_at(b"X", 1).expect("inside the file");
    let mut buffer = [0; 3];
    assert_eq!(one.read_at(&mut buffer, 0), Ok(3));
    assert_eq!(&buffer, b"aXc");
}

async fn rename_replaces(sites: Sites) {
    let (env, place) = place(&sites, "rename");
    let disk = env.disk.as_ref();
    create(disk, &place.join("new"), b"new");
    create(disk, &place.join("old"), b"old");
    disk.rename(&place.join("new"), &place.join("old"))
        .expect("files replace files");
    assert_eq!(content(disk, &place.join("old")), b"new");
    assert_eq!(disk.list(&place), Ok(vec!["old".to_owned()]));
    fails(
        disk.rename(&place.join("new"), &place.join("old")),
        DiskErrorKind::NotFound,
    );
}

async fn rename_moves_a_directory(sites: Sites) {
    let (env, place) = place(&sites, "move");
    let disk = env.disk.as_ref();
    disk.create_directory(&place.join("t-0"))
        .expect("a new directory");
    create(disk, &place.join("t-0/0.log"), b"records");
    disk.rename(&place.join("t-0"), &place.join("t-0.deleted"))
        .expect("a free name");
    assert!(!disk.exists(&place.join("t-0")) && disk.is_directory(&place.join("t-0.deleted")));
    assert_eq!(content(disk, &place.join("t-0.deleted/0.log")), b"records");
}

async fn a_handle_survives_rename_and_removal(sites: Sites) {
    let (env, place) = place(&sites, "handle");
    let disk = env.disk.as_ref();
    let file = create(disk, &place.join("one"), b"abc");
    disk.rename(&place.join("one"), &place.join("two"))
        .expect("a free name");
    file.write_at(b"d", 3).expect("still open");
    soon(&env, "a sync", file.sync_data())
        .await
        .expect("still open");
    assert_eq!(content(disk, &place.join("two")), b"abcd");
    disk.remove(&place.join("two")).expect("it is there");
    file.write_at(b"e", 4).expect("still open");
    let mut buffer = [0; 5];
    assert_eq!(file.read_at(&mut buffer, 0), Ok(5));
    assert_eq!(&buffer, b"abcde");
    assert!(!disk.exists(&place.join("two")));
}

async fn removal_is_deep(sites: Sites) {
    let (env, place) = place(&sites, "removal");
    let disk = env.disk.as_ref();
    disk.create_directory(&place.join("a/b/c"))
        .expect("new directories");
    create(disk, &place.join("a/b/file"), b"abc");
    disk.remove(&place.join("a"))
        .expect("a directory with all in it");
    assert!(!disk.exists(&place.join("a")) && !disk.exists(&place.join("a/b/file")));
    fails(disk.remove(&place.join("a")), DiskErrorKind::NotFound);
}

async fn listings_are_sorted(sites: Sites) {
    let (env, place) = place(&sites, "listing");
    let disk = env.disk.as_ref();
    for name in ["b", "c", "a", "10", "9"] {
        create(disk, &place.join(name), b"");
    }
    disk.create_directory(&place.join("ab"))
        .expect("a new directory");
    let names: Vec<String> = ["10", "9", "a", "ab", "b", "c"].map(str::to_owned).into();
    assert_eq!(disk.list(&place), Ok(names));
    fails(disk.list(&place.join("none")), DiskErrorKind::NotFound);
}

async fn directories_are_made_with_parents(sites: Sites) {
    let (env, place) = place(&sites, "parents");
    let disk = env.disk.as_ref();
    let deep = place.join("x/y/z");
    disk.create_directory(&deep).expect("parents are made");
    disk.create_directory(&deep).expect("fine if present");
    assert!(disk.is_directory(&deep) && disk.is_directory(&place.join("x")));
    fails(
        disk.open(&place.join("none/file"), OpenMode::Create),
        DiskErrorKind::NotFound,
    );
}

async fn errors_name_the_call(sites: Sites) {
    let (env, place) = place(&sites, "errors");
    let path = place.join("none");
    let error = env
        .disk
        .open(&path, OpenMode::Read)
        .err()
        .expect("nothing there");
    assert_eq!(
        (error.operation, &error.path, error.errno),
        ("open", &path, 2)
    );
}

async fn syncs_succeed(sites: Sites) {
    let (env, place) = place(&sites, "syncs");
    let file = create(env.disk.as_ref(), &place.join("file"), b"abc");
    soon(&env, "a sync", file.sync_data())
        .await
        .expect("a healthy disk");
    soon(&env, "a sync of nothing new", file.sync_data())
        .await
        .expect("a healthy disk");
    soon(&env, "a sync", env.disk.sync_directory(&place))
        .await
        .expect("a healthy disk");
    let outcome = soon(&env, "a sync", env.disk.sync_directory(&place.join("none"))).await;
    fails(outcome, DiskErrorKind::NotFound);
}

async fn a_lock_is_exclusive_until_dropped(sites: Sites) {
    let (env, place) = place(&sites, "lock");
    let path = place.join(".lock");
    let guard = env.disk.lock(&path).expect("nobody else holds it");
    assert!(env.disk.exists(&path), "the file is made");
    fails(env.disk.lock(&path), DiskErrorKind::Locked);
    drop(guard);
    drop(env.disk.lock(&path).expect("free again"));
}

async fn a_large_file_is_kept(sites: Sites) {
    let (env, place) = place(&sites, "large");
    let file = env
        .disk
        .open(&place.join("file"), OpenMode::CreateNew)
        .expect("a new file");
    let byte_at = |position: usize| u8::try_from(position * 31 % 251).expect("below 251");
    let all: Vec<u8> = (0..3_000_000).map(byte_at).collect();
    let mut written = 0;
    for (number, length) in (1..).zip([1, 511, 512, 513, 4_095, 70_000].into_iter().cycle()) {
        let end = (written + length).min(all.len());
        file.write_at(&all[written..end], u64::try_from(written).expect("small"))
            .expect("room");
        written = end;
        if number % 100 == 0 {
            soon(&env, "a sync", file.sync_data())
                .await
                .expect("a healthy disk");
        }
        if written == all.len() {
            break;
        }
    }
    assert!(
        content(env.disk.as_ref(), &place.join("file")) == all,
        "content differs"
    );
}
