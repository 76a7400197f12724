//! Scripted brokers on loopback: they answer what a test says, and note what they were asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use broker_client::{Client, ClientConfig};
use broker_env::{Address, BoxConnection, Env};
use broker_protocol::api as wire;
use broker_protocol::frame::{decode_request, encode_response, take_frame};
use broker_protocol::header::{HeaderPeek, peek};
use broker_protocol::ids::Uuid;
use broker_protocol::{ApiKey, Request, api_versions};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub const TOPIC: &str = "topic";
pub const TOPIC_ID: Uuid = Uuid([7; 16]);

/// What a broker does with a request.
pub enum Reply {
    Frame(Bytes),
    /// Never answers.
    Silent,
    /// Closes the connection.
    Close,
}

/// One request as it came in.
pub struct Asked {
    /// Of the broker: 1, 2, …
    pub node: i32,
    pub header: HeaderPeek,
    frame: Bytes,
}

impl Asked {
    pub fn decode<R: Request>(&self) -> R {
        decode_request::<R>(self.frame.clone(), self.header.api_version)
            .expect("a sound request")
            .1
    }

    pub fn answer<R: Request>(&self, response: &R::Response) -> Reply {
        let frame = encode_response::<R>(
            response,
            self.header.api_version,
            self.header.correlation_id,
        );
        Reply::Frame(frame.expect("a sound answer").freeze())
    }
}

/// Says what to answer; `None`: as an ordinary broker would.
pub type Script = Box<dyn FnMut(&Asked) -> Option<Reply> + Send>;

pub struct World {
    pub ports: Vec<u16>,
    /// By partition: leader and epoch.
    pub leaders: BTreeMap<i32, (i32, i32)>,
    /// (node, API) of every request but ApiVersions.
    pub log: Vec<(i32, ApiKey)>,
    script: Script,
}

/// Brokers that share a script.
#[derive(Clone)]
pub struct Brokers {
    pub env: Env,
    world: Arc<Mutex<World>>,
}

impl Brokers {
    /// Partition 0 is led by broker 1 in epoch 1.
    pub async fn start(
        count: usize,
        script: impl FnMut(&Asked) -> Option<Reply> + Send + 'static,
    ) -> Brokers {
        let env = broker_env::production::env();
        let world = World {
            ports: Vec::new(),
            leaders: BTreeMap::from([(0, (1, 1))]),
            log: Vec::new(),
            script: Box::new(script),
        };
        let brokers = Brokers {
            env,
            world: Arc::new(Mutex::new(world)),
        };
        for node in 1..=i32::try_from(count).expect("a few") {
            let listener = brokers
                .env
                .network
                .listen(&Address::new("127.0.0.1", 0))
                .await;
            let mut listener = listener.expect("a free port");
            brokers.world().ports.push(listener.address().port);
            let server = brokers.clone();
            brokers.env.spawn("scripted broker", async move {
                while let Ok((connection, _)) = listener.accept().await {
                    let one = server.clone();
                    server
                        .env
                        .spawn("scripted connection", one.serve(node, connection));
                }
            });
        }
        brokers
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no panic in a script")
    }

    pub fn addresses(&self) -> Vec<Address> {
        self.world()
            .ports
            .iter()
            .map(|port| Address::new("127.0.0.1", *port))
            .collect()
    }

    pub fn client(&self) -> Client {
        let config = ClientConfig {
            request_timeout: std::time::Duration::from_millis(500),
            retry_backoff: std::time::Duration::from_millis(10),
            ..ClientConfig::new(self.addresses())
        };
        Client::new(self.env.clone(), config)
    }

    pub fn count(&self, key: ApiKey) -> usize {
        self.world()
            .log
            .iter()
            .filter(|(_, asked)| *asked == key)
            .count()
    }

    async fn serve(self, node: i32, mut connection: BoxConnection) {
        let mut buffer = BytesMut::new();
        loop {
            while let Ok(Some(frame)) = take_frame(&mut buffer, 1 << 24) {
                match self.reply(node, frame) {
                    Reply::Frame(frame) => {
                        let _reset = connection.write_all(&frame).await;
                        let _reset = connection.flush().await;
                    }
                    Reply::Silent => {}
                    Reply::Close => return,
                }
            }
            if connection.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
    }

    fn reply(&self, node: i32, frame: Bytes) -> Reply {
        let header = peek(&frame).expect("a header");
        let key = ApiKey::from_code(header.api_key).expect("a known API");
        let asked = Asked {
            node,
            header,
            frame,
        };
        let mut world = self.world();
        if key != ApiKey::ApiVersions {
            world.log.push((node, key));
        }
        if let Some(reply) = (world.script)(&asked) {
            return reply;
        }
        match key {
            ApiKey::ApiVersions => asked.answer::<wire::ApiVersionsRequest>(&versions()),
            ApiKey::Metadata => asked.answer::<wire::MetadataRequest>(&world.metadata()),
            ApiKey::InitProducerId => {
                asked.answer::<wire::InitProducerIdRequest>(&wire::InitProducerIdResponse {
                    producer_id: 77,
                    ..Default::default()
                })
            }
            other => panic!("no script for {}", other.name()),
        }
    }
}

pub fn versions() -> wire::ApiVersionsResponse {
    let api = |range: &api_versions::VersionRange| wire::ApiVersion {
        api_key: range.api_key.code(),
        min_version: range.min,
        max_version: range.max,
        ..Default::default()
    };
    wire::ApiVersionsResponse {
        api_keys: api_versions::BROKER.iter().map(api).collect(),
        ..Default::default()
    }
}

impl World {
    pub fn metadata(&self) -> wire::MetadataResponse {
        let broker = |(node_id, port): (i32, &u16)| wire::MetadataResponseBroker {
            node_id,
            host: "127.0.0.1".to_string(),
            port: i32::from(*port),
            ..Default::default()
        };
        let partition =
            |(index, (leader, epoch)): (&i32, &(i32, i32))| wire::MetadataResponsePartition {
                partition_index: *index,
                leader_id: *leader,
                leader_epoch: *epoch,
                ..Default::default()
            };
        let topic = wire::MetadataResponseTopic {
            name: Some(TOPIC.to_string()),
            topic_id: TOPIC_ID,
            partitions: self.leaders.iter().map(partition).collect(),
            ..Default::default()
        };
        wire::MetadataResponse {
            brokers: (1..).zip(&self.ports).map(broker).collect(),
            topics: vec![topic],
            ..Default::default()
        }
    }
}
