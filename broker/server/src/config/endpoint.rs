//! Listeners and voters.

use broker_env::Address;

use super::value::Value;

/// Security of a listener; TLS and SASL come with the security issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityProtocol {
    Plaintext,
}

/// `NAME://host:port`; an empty host means all interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub name: String,
    pub host: String,
    pub port: u16,
}

impl Listener {
    pub fn new(name: &str, host: &str, port: u16) -> Listener {
        Listener {
            name: name.into(),
            host: host.into(),
            port,
        }
    }

    /// Where to bind.
    pub fn bind_address(&self) -> Address {
        let host = if self.host.is_empty() {
            "0.0.0.0"
        } else {
            &self.host
        };
        Address::new(host, self.port)
    }

    pub(super) fn host_or_loopback(&self) -> String {
        if self.host.is_empty() || self.host == "0.0.0.0" {
            "127.0.0.1".into()
        } else {
            self.host.clone()
        }
    }

    /// With a host that others can connect to.
    pub fn reachable(self) -> Listener {
        Listener {
            host: self.host_or_loopback(),
            ..self
        }
    }
}

pub(super) fn default_listeners() -> Vec<Listener> {
    vec![
        Listener::new("PLAINTEXT", "127.0.0.1", 9092),
        Listener::new("CONTROLLER", "127.0.0.1", 9093),
    ]
}

impl Value for Listener {
    fn parse(text: &str) -> Result<Listener, String> {
        let (name, rest) = text.split_once("://").ok_or("expected NAME://host:port")?;
        if name.is_empty()
            || !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        {
            return Err(format!("'{name}' is no listener name"));
        }
        let (host, port) = host_and_port(rest)?;
        Ok(Listener {
            name: name.to_ascii_uppercase(),
            host,
            port,
        })
    }
    fn print(&self) -> String {
        format!("{}://{}:{}", self.name, self.host, self.port)
    }
}

/// `id@host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    pub id: i32,
    pub host: String,
    pub port: u16,
}

impl Voter {
    pub fn address(&self) -> Address {
        Address::new(self.host.clone(), self.port)
    }
}

impl Value for Voter {
    fn parse(text: &str) -> Result<Voter, String> {
        let (id, rest) = text.split_once('@').ok_or("expected id@host:port")?;
        let id: i32 = id.parse().map_err(|_| format!("'{id}' is no node id"))?;
        if id < 0 {
            return Err("a node id is not negative".into());
        }
        let (host, port) = host_and_port(rest)?;
        Ok(Voter { id, host, port })
    }
    fn print(&self) -> String {
        format!("{}@{}:{}", self.id, self.host, self.port)
    }
}

/// `host:port` of a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub host: String,
    pub port: u16,
}

impl Server {
    pub fn address(&self) -> Address {
        Address::new(self.host.clone(), self.port)
    }
}

impl Value for Server {
    fn parse(text: &str) -> Result<Server, String> {
        let (host, port) = host_and_port(text)?;
        if host.is_empty() {
            return Err("expected host:port".into());
        }
        Ok(Server { host, port })
    }
    fn print(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("expected host:port")?;
    let port = port.parse().map_err(|_| format!("'{port}' is no port"))?;
    Ok((host.trim_matches(['[', ']']).to_string(), port))
}

pub(super) fn protocol_map(entries: &[String]) -> Result<(), String> {
    for entry in entries {
        match entry.split_once(':') {
            Some((_, "PLAINTEXT")) => {}
            Some((_, protocol)) => {
                return Err(format!(
                    "security protocol '{protocol}' is not supported yet"
                ));
            }
            None => return Err(format!("'{entry}': expected NAME:PROTOCOL")),
        }
    }
    Ok(())
}
