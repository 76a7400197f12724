//! What a command ends with if not well.

use std::fmt::Display;
use std::io;
use std::path::Path;

/// Why a command did not do what it was asked to; decides the exit code.
#[derive(Debug)]
pub enum Failure {
    /// Bad usage or configuration: exit code 2.
    Usage(String),
    /// Exit code 1.
    Failed(String),
    /// Exit code 1; what is wrong was printed already.
    Reported,
    /// Whoever read our output has had enough: no failure.
    OutputClosed,
}

impl Failure {
    pub fn usage(message: impl Display) -> Failure {
        Failure::Usage(message.to_string())
    }

    pub fn failed(message: impl Display) -> Failure {
        Failure::Failed(message.to_string())
    }

    /// Something is wrong with a file.
    pub fn file(path: &Path, error: impl Display) -> Failure {
        Failure::Failed(format!("{}: {error}", path.display()))
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Failed(_) | Failure::Reported => 1,
            Failure::OutputClosed => 0,
        }
    }

    pub fn message(&self) -> Option<&str> {
        match self {
            Failure::Usage(message) | Failure::Failed(message) => Some(message),
            Failure::Reported | Failure::OutputClosed => None,
        }
    }
}

/// Of writing to stdout, which is the only I/O that commands do not explain themselves.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Failed(format!("standard output: {error}")),
        }
    }
}
