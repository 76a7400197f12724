//! A disk, a host whose syncs end at once or when told, and short words for calls.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use broker_env::{BoxFuture, Disk, DiskError, File, OpenMode};
use sim_disk::{DiskHost, DiskOptions, Mount, SimDisk};

/// Syncs take no time; stalls are summed up.
#[derive(Default)]
pub struct Host {
    pub stalled: Mutex<Duration>,
}

impl DiskHost for Host {
    fn delay(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn stall(&self, duration: Duration) {
        *self.stalled.lock().unwrap() += duration;
    }
}

/// A disk that draws from the given seed.
pub fn disk(seed: u64) -> SimDisk {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    SimDisk::new(bytes, DiskOptions::default())
}

pub fn mount(disk: &SimDisk) -> Mount {
    disk.mount(Arc::new(Host::default()))
}

/// A file whose name is durable; its directories are made.
pub fn durable_file(mount: &Mount, path: &str) -> Arc<dyn File> {
    let file = open(mount, path);
    for directory in Path::new(path).ancestors().skip(1) {
        run(mount.sync_directory(directory)).unwrap();
    }
    file
}

pub fn open(mount: &Mount, path: &str) -> Arc<dyn File> {
    mount
        .create_directory(Path::new(path).parent().unwrap())
        .unwrap();
    mount.open(Path::new(path), OpenMode::Create).unwrap()
}

pub fn read(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    disk.read_file(Path::new(path))
}

/// Polls once; syncs on [`Host`] need no more unless the disk is stalled.
pub fn poll_once<T>(future: &mut Pin<Box<dyn Future<Output = T> + Send>>) -> Poll<T> {
    future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

pub fn run<T>(mut future: Pin<Box<dyn Future<Output = T> + Send>>) -> T {
    match poll_once(&mut future) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the call waits"),
    }
}

pub fn errno(result: Result<(), DiskError>) -> i32 {
    result.expect_err("the call succeeded").errno
}
