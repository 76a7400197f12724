//! What a broker does from time to time: checkpoints, flushes, retention, compaction, forgetting silent producers, a look at
//! lagging followers.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use broker_core::replica::Timer;
use broker_env::Env;
use broker_storage::DirectoryError;
use tokio::sync::mpsc;

use super::NodeError;
use super::start::millis;
use crate::config::BrokerConfig;
use crate::replica_manager::ReplicaManager;

/// How often `flush.ms` is looked at, as Kafka's log.flush.scheduler.interval.ms would be useful.
const FLUSH_CHECK_MS: u64 = 1_000;

pub fn start(
    env: &Env,
    config: &Arc<BrokerConfig>,
    replicas: &Arc<ReplicaManager>,
    failures: &mpsc::UnboundedSender<NodeError>,
) {
    let checkpoint_ms = millis(config.replica_high_watermark_checkpoint_interval_ms);
    every(
        env,
        "checkpoints",
        checkpoint_ms,
        replicas,
        failures,
        |replicas| async move { replicas.checkpoint().await },
    );
    let recovery_ms = millis(config.log_flush_offset_checkpoint_interval_ms);
    every(
        env,
        "recovery points",
        recovery_ms,
        replicas,
        failures,
        |replicas| async move {
            for partition in replicas.partitions() {
                partition.flush().await;
            }
            replicas.checkpoint().await
        },
    );
    if config.log_flush_interval_ms < i64::MAX {
        every(
            env,
            "flushes",
            FLUSH_CHECK_MS,
            replicas,
            failures,
            |replicas| async move {
                for partition in replicas.partitions() {
                    partition.flush_if_due().await;
                }
                Ok(())
            },
        );
    }
    let retention_ms = millis(config.log_retention_check_interval_ms);
    every(
        env,
        "retention",
        retention_ms,
        replicas,
        failures,
        |replicas| async move {
            for partition in replicas.partitions() {
                partition.apply_retention().await;
            }
            Ok(())
        },
    );
    if config.log_cleaner_enable {
        let map_bytes = usize::try_from(config.log_cleaner_dedupe_buffer_size);
        let map_bytes = map_bytes.unwrap_or(usize::MAX);
        every(
            env,
            "cleaner",
            millis(config.log_cleaner_backoff_ms),
            replicas,
            failures,
            move |replicas| async move {
                for partition in replicas.partitions() {
                    if partition.topic_config().is_compacted() {
                        partition.clean_if_dirty(map_bytes).await;
                    }
                }
                Ok(())
            },
        );
    }
    every(
        env,
        "producer expiration",
        millis(config.producer_id_expiration_check_interval_ms),
        replicas,
        failures,
        |replicas| async move {
            for partition in replicas.partitions() {
                partition.expire_producers();
            }
            Ok(())
        },
    );
    every(
        env,
        "lag window",
        millis(config.replica_lag_time_max_ms),
        replicas,
        failures,
        |replicas| async move {
            for partition in replicas.partitions() {
                partition.timer(Timer::LagWindow);
            }
            Ok(())
        },
    );
}

fn every<W, F>(
    env: &Env,
    name: &'static str,
    interval_ms: u64,
    replicas: &Arc<ReplicaManager>,
    failures: &mpsc::UnboundedSender<NodeError>,
    work: W,
) where
    W: Fn(Arc<ReplicaManager>) -> F + Send + 'static,
    F: Future<Output = Result<(), DirectoryError>> + Send,
{
    let (env, replicas, failures) = (env.clone(), replicas.clone(), failures.clone());
    let clock = env.clone();
    env.spawn(name, async move {
        loop {
            clock.sleep(Duration::from_millis(interval_ms)).await;
            if let Err(error) = work(replicas.clone()).await {
                let _node_has_stopped = failures.send(NodeError::Directory(error));
                return;
            }
        }
    });
}
