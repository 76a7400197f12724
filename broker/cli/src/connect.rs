//! What commands that talk to a running broker share.

use std::time::Duration;

use broker_client::{Client, ClientConfig};
use broker_env::{Address, Env};

use crate::failure::Failure;

/// Where the cluster is.
#[derive(clap::Args, Clone, Debug)]
pub struct Connect {
    /// Brokers to ask first, as host:port; any that is alive will do.
    #[arg(long, value_name = "HOST:PORT,..", default_value = "127.0.0.1:9092", value_delimiter = ',', value_parser = address)]
    pub bootstrap_server: Vec<Address>,
    /// Gives up on requests, retries included, after this long.
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    pub request_timeout_ms: u64,
}

impl Connect {
    pub fn limit(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// A client of its own, with its own connections.
    pub fn client(&self, env: &Env) -> Client {
        let mut config = ClientConfig::new(self.bootstrap_server.clone());
        config.client_id = "broker-cli".into();
        config.request_timeout = self.limit();
        config.default_api_timeout = self.limit();
        config.connection_setup_timeout = self.limit().min(config.connection_setup_timeout);
        Client::new(env.clone(), config)
    }
}

fn address(text: &str) -> Result<Address, String> {
    let (host, port) = text.rsplit_once(':').ok_or("expected HOST:PORT")?;
    if host.is_empty() {
        return Err("expected HOST:PORT".into());
    }
    let port = port.parse().map_err(|_| format!("'{port}' is no port"))?;
    Ok(Address::new(host.trim_matches(['[', ']']), port))
}

/// Runs a command on a tokio runtime with the real world.
pub fn block_on<F: Future<Output = Result<(), Failure>>>(
    command: impl FnOnce(Env) -> F,
) -> Result<(), Failure> {
    let built = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime =
        built.map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(async { command(broker_env::production::env()).await });
    // A thread may wait for standard input for ever.
    runtime.shutdown_background();
    result
}
