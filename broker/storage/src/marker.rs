//! `.kafka_cleanshutdown`: says that the logs were closed, so that nothing needs to be scanned.

use std::path::Path;

use broker_env::{Disk, DiskError};
use broker_protocol::ids::BrokerEpoch;
use serde_json::{Value, json};

use crate::checkpoint::{read_file, replace_file};
use crate::names;

/// A marker that is there; its content may be unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CleanShutdown {
    /// Epoch of the registration that was shut down, for the next one (KIP-966).
    pub(crate) broker_epoch: Option<BrokerEpoch>,
}

pub(crate) fn read(disk: &dyn Disk, directory: &Path) -> Result<Option<CleanShutdown>, DiskError> {
    let Some(bytes) = read_file(disk, &directory.join(names::CLEAN_SHUTDOWN))? else {
        return Ok(None);
    };
    let content: Option<Value> = serde_json::from_slice(&bytes).ok();
    let epoch = content.and_then(|content| content["brokerEpoch"].as_i64());
    Ok(Some(CleanShutdown {
        broker_epoch: epoch.map(BrokerEpoch),
    }))
}

pub(crate) async fn write(
    disk: &dyn Disk,
    directory: &Path,
    epoch: BrokerEpoch,
) -> Result<(), DiskError> {
    let content = json!({"version": 0, "brokerEpoch": epoch.0}).to_string();
    replace_file(
        disk,
        &directory.join(names::CLEAN_SHUTDOWN),
        content.as_bytes(),
    )
    .await
}

/// Durable before it returns: a broker that dies from now on must not look clean, whatever kills it (L-01).
pub(crate) async fn remove(disk: &dyn Disk, directory: &Path) -> Result<(), DiskError> {
    let path = directory.join(names::CLEAN_SHUTDOWN);
    if disk.exists(&path) {
        disk.remove(&path)?;
    }
    disk.sync_directory(directory).await
}
