//! turmoil's time and TCP as `sim-hosted` wants them.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker_env::{BoxConnection, BoxFuture};
use sim_hosted::{CARRIER_PORT, Carrier, CarrierListener};
use turmoil::net::{TcpListener, TcpStream};

pub(crate) const NAME: &str = "turmoil";

/// True time is that of the present tick's start, the same for all hosts: within a tick turmoil runs
/// one host after the other, each with a clock of its own.
#[derive(Clone, Default)]
pub(crate) struct Turmoil {
    now: Arc<AtomicU64>,
}

impl Turmoil {
    pub(crate) fn set_now(&self, elapsed: Duration) {
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.now.store(nanos, Ordering::Relaxed);
    }
}

impl Carrier for Turmoil {
    fn name(&self) -> &'static str {
        NAME
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    #[expect(clippy::disallowed_methods, reason = "the door to turmoil's time")]
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn connect(&self, machine: &str) -> BoxFuture<'static, io::Result<BoxConnection>> {
        let machine = machine.to_owned();
        Box::pin(async move {
            let stream = TcpStream::connect((machine.as_str(), CARRIER_PORT)).await?;
            Ok(Box::new(stream) as BoxConnection)
        })
    }

    fn listen(&self) -> BoxFuture<'static, io::Result<Box<dyn CarrierListener>>> {
        Box::pin(async {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, CARRIER_PORT)).await?;
            Ok(Box::new(Listening(listener)) as Box<dyn CarrierListener>)
        })
    }

    fn has_instants(&self) -> bool {
        true
    }
}

struct Listening(TcpListener);

impl CarrierListener for Listening {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<BoxConnection>> {
        Box::pin(async {
            let (stream, _) = self.0.accept().await?;
            Ok(Box::new(stream) as BoxConnection)
        })
    }
}
