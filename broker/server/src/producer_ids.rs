//! Ids for idempotent producers: this broker's block of them, and the next one (KIP-730).
//!
//! A block is given to one broker process once; what is left of it when the process ends is never used
//! (TXN-2).

use std::time::Duration;

use broker_env::{Env, time};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use tokio::sync::Mutex;

use std::sync::Arc;

use crate::config::BrokerConfig;
use crate::controller_channel::ControllerChannel;
use crate::lifecycle::Standing;
use crate::observe::{Observation, Observer};

const ALLOCATE_VERSION: i16 = 0;
/// Pause before the controller is asked again, as in Kafka.
const RETRY: Duration = Duration::from_millis(50);

/// Gives out ids, each once.
pub struct ProducerIds {
    env: Env,
    config: Arc<BrokerConfig>,
    standing: Arc<Standing>,
    observer: Observer,
    block: Mutex<Block>,
}

struct Block {
    controller: ControllerChannel,
    next: i64,
    end: i64,
}

impl ProducerIds {
    pub fn new(
        env: Env,
        config: Arc<BrokerConfig>,
        standing: Arc<Standing>,
        observer: Observer,
        controller: ControllerChannel,
    ) -> ProducerIds {
        let block = Mutex::new(Block {
            controller,
            next: 0,
            end: 0,
        });
        ProducerIds {
            env,
            config,
            standing,
            observer,
            block,
        }
    }

    /// An id that no other producer has.
    ///
    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS without a new block within `request.timeout.ms`, as Kafka says it.
    pub async fn next(&self) -> Result<i64, ErrorCode> {
        let limit =
            Duration::from_millis(u64::try_from(self.config.request_timeout_ms).unwrap_or(0));
        let producer_id = time::timeout(&self.env, limit, self.take()).await;
        let producer_id = producer_id.map_err(|_| ErrorCode::CoordinatorLoadInProgress)?;
        self.observer
            .observe(|| Observation::ProducerIdGiven { producer_id });
        Ok(producer_id)
    }

    async fn take(&self) -> i64 {
        let mut block = self.block.lock().await;
        while block.next >= block.end {
            if let Some((first, length)) = self.allocate(&mut block.controller).await {
                (block.next, block.end) = (first, first.saturating_add(i64::from(length)));
            } else {
                self.env.sleep(RETRY).await;
            }
        }
        block.next += 1;
        block.next - 1
    }

    async fn allocate(&self, controller: &mut ControllerChannel) -> Option<(i64, i32)> {
        let request = wire::AllocateProducerIdsRequest {
            broker_id: self.config.node_id,
            broker_epoch: self.standing.epoch().0,
            ..Default::default()
        };
        let limit =
            Duration::from_millis(u64::try_from(self.config.request_timeout_ms).unwrap_or(0));
        let answer = controller.call(&request, ALLOCATE_VERSION, limit).await;
        controller.disconnect();
        match answer {
            Ok(block) if block.error_code == ErrorCode::None.code() => {
                Some((block.producer_id_start, block.producer_id_len))
            }
            Ok(refused) => {
                let error = ErrorCode::from_code_or_unknown(refused.error_code);
                tracing::debug!(node = self.config.node_id, ?error, "no producer ids");
                None
            }
            Err(error) => {
                tracing::debug!(node = self.config.node_id, %error, "no producer ids");
                None
            }
        }
    }
}
