//! Asks a transaction's coordinator whether partitions belong to the transaction, or adds them (KIP-890).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use broker_env::Env;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::NodeId;
use tokio::sync::OwnedMutexGuard;

use crate::config::BrokerConfig;
use crate::internal_topics::{TRANSACTION_STATE, partition_for};
use crate::metadata_cache::MetadataCache;
use crate::peer::Peer;

/// The first version that tells TRANSACTION_ABORTABLE.
const VERSION: i16 = 5;
/// Connections to one coordinator that are kept while nobody needs them.
const IDLE_MAX: usize = 4;

/// Topics with partitions.
pub type Partitions = BTreeMap<String, Vec<i32>>;

/// What the coordinator says of each partition.
pub type Verified = BTreeMap<(String, i32), ErrorCode>;

/// Whose transaction it is.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub transactional_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
}

/// A broker's questions to transaction coordinators.
pub struct TransactionVerifier {
    env: Env,
    config: Arc<BrokerConfig>,
    metadata: Arc<MetadataCache>,
    idle: Mutex<BTreeMap<NodeId, Vec<Peer>>>,
    turns: Mutex<BTreeMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl TransactionVerifier {
    pub fn new(
        env: Env,
        config: Arc<BrokerConfig>,
        metadata: Arc<MetadataCache>,
    ) -> TransactionVerifier {
        TransactionVerifier {
            env,
            config,
            metadata,
            idle: Mutex::default(),
            turns: Mutex::default(),
        }
    }

    /// Held from the question to the append: what a producer has in flight is appended in its order, although
    /// only the first of it has to wait for the coordinator.
    pub async fn turn(&self, transactional_id: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().expect("no panic under this lock");
            turns.retain(|_, turn| turn.strong_count() > 0);
            let turn = turns.get(transactional_id).and_then(Weak::upgrade);
            turn.unwrap_or_else(|| {
                let turn = Arc::default();
                turns.insert(transactional_id.to_string(), Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }

    /// Whether the partitions are in the transaction; `add` puts them there (Produce v12).
    ///
    /// # Errors
    /// For all partitions: COORDINATOR_NOT_AVAILABLE while nobody coordinates it, NETWORK_EXCEPTION without an
    /// answer, and what the coordinator says.
    pub async fn ask(
        &self,
        transaction: &Transaction,
        partitions: &Partitions,
        add: bool,
    ) -> Result<Verified, ErrorCode> {
        let coordinator = self.coordinator(&transaction.transactional_id)?;
        let mut peer = self.peer(coordinator)?;
        let request = request(transaction, partitions, !add);
        let limit = u64::try_from(self.config.request_timeout_ms).unwrap_or(0);
        let answer = peer
            .call(&request, VERSION, Duration::from_millis(limit))
            .await;
        let response = answer.map_err(|error| {
            tracing::debug!(node = self.config.node_id, %coordinator, %error, "transaction not verified");
            ErrorCode::NetworkException
        })?;
        self.give_back(coordinator, peer);
        verified(response)
    }

    fn coordinator(&self, transactional_id: &str) -> Result<NodeId, ErrorCode> {
        let leader = self.metadata.read(|image| {
            let partition = partition_for(image, TRANSACTION_STATE, transactional_id)?;
            image
                .partition_by_name(TRANSACTION_STATE, partition)?
                .leader
        });
        leader.ok_or(ErrorCode::CoordinatorNotAvailable)
    }

    fn peer(&self, coordinator: NodeId) -> Result<Peer, ErrorCode> {
        let listener = self.config.inter_broker_listener();
        let address = self
            .metadata
            .broker_address(coordinator, &listener)
            .ok_or(ErrorCode::CoordinatorNotAvailable)?;
        let mut idle = self.idle.lock().expect("no panic under this lock");
        let kept = idle.entry(coordinator).or_default();
        kept.retain(|peer| *peer.address() == address);
        Ok(kept.pop().unwrap_or_else(|| {
            let client_id = format!("broker-{}-transactions", self.config.node_id);
            Peer::new(self.env.clone(), address, client_id)
        }))
    }

    fn give_back(&self, coordinator: NodeId, peer: Peer) {
        let mut idle = self.idle.lock().expect("no panic under this lock");
        let kept = idle.entry(coordinator).or_default();
        if kept.len() < IDLE_MAX {
            kept.push(peer);
        }
    }
}

fn request(
    transaction: &Transaction,
    partitions: &Partitions,
    verify_only: bool,
) -> wire::AddPartitionsToTxnRequest {
    let topics = partitions.iter();
    let topics = topics.map(|(name, partitions)| wire::AddPartitionsToTxnTopic {
        name: name.clone(),
        partitions: partitions.clone(),
        ..Default::default()
    });
    wire::AddPartitionsToTxnRequest {
        transactions: vec![wire::AddPartitionsToTxnTransaction {
            transactional_id: transaction.transactional_id.clone(),
            producer_id: transaction.producer_id,
            producer_epoch: transaction.producer_epoch,
            verify_only,
            topics: topics.collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn verified(response: wire::AddPartitionsToTxnResponse) -> Result<Verified, ErrorCode> {
    let code = |code: i16| ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
    match code(response.error_code) {
        ErrorCode::None => {}
        error => return Err(error),
    }
    let mut verified = Verified::new();
    for result in response.results_by_transaction {
        for topic in result.topic_results {
            for partition in topic.results_by_partition {
                let place = (topic.name.clone(), partition.partition_index);
                verified.insert(place, code(partition.partition_error_code));
            }
        }
    }
    Ok(verified)
}
