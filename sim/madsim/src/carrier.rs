//! madsim's time and TCP as `sim-hosted` wants them.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker_env::{BoxConnection, BoxFuture};
use madsim::net::{TcpListener, TcpStream};
use madsim::time::TimeHandle;
use sim_hosted::{CARRIER_PORT, Carrier, CarrierListener};

/// One runtime's time and the addresses of its machines.
pub(crate) struct Madsim {
    time: TimeHandle,
    machines: Mutex<Vec<String>>,
}

impl Madsim {
    pub(crate) fn new(time: TimeHandle) -> Arc<Madsim> {
        Arc::new(Madsim {
            time,
            machines: Mutex::new(Vec::new()),
        })
    }

    /// Names the next machine; gives its address.
    pub(crate) fn add(&self, name: &str) -> IpAddr {
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        machines.push(name.to_owned());
        address(machines.len())
    }

    fn find(&self, name: &str) -> io::Result<IpAddr> {
        let machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        let position = machines.iter().position(|machine| machine == name);
        let position = position.ok_or(io::ErrorKind::NotFound)?;
        Ok(address(position + 1))
    }
}

fn address(number: usize) -> IpAddr {
    let [_, high, middle, low] = u32::try_from(number)
        .expect("a world has few machines")
        .to_be_bytes();
    Ipv4Addr::new(10, high, middle, low).into()
}

impl Carrier for Madsim {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    fn now(&self) -> u64 {
        u64::try_from(self.time.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.time.sleep(duration))
    }

    fn connect(&self, machine: &str) -> BoxFuture<'static, io::Result<BoxConnection>> {
        let address = self.find(machine);
        Box::pin(async move {
            let stream = TcpStream::connect((address?, CARRIER_PORT)).await?;
            Ok(Box::new(stream) as BoxConnection)
        })
    }

    fn listen(&self) -> BoxFuture<'static, io::Result<Box<dyn CarrierListener>>> {
        Box::pin(async {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, CARRIER_PORT)).await?;
            Ok(Box::new(Listening(listener)) as Box<dyn CarrierListener>)
        })
    }

    /// Each poll takes 50 to 100 ns there.
    fn has_instants(&self) -> bool {
        false
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
