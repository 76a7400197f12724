//! The commands of the binary.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::node::Node;

pub fn broker(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_broker"))
        .args(arguments)
        .output()
        .expect("the command runs")
}

/// Stdout of a command that ends well.
#[track_caller]
pub fn done(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// Stderr of a command that ends with this exit code.
#[track_caller]
pub fn failed(output: &Output, exit_code: i32) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(exit_code), "{errors}");
    errors
}

/// A client's arguments for a node.
pub struct Cli {
    server: String,
}

impl Cli {
    pub fn of(node: &Node) -> Cli {
        Cli {
            server: format!("127.0.0.1:{}", node.port),
        }
    }

    pub fn at(server: String) -> Cli {
        Cli { server }
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        broker(&[arguments, &["--bootstrap-server", &self.server]].concat())
    }

    pub fn produce(&self, arguments: &[&str], lines: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_broker"))
            .args(["produce", "--bootstrap-server", &self.server])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command runs");
        child
            .stdin
            .take()
            .expect("piped")
            .write_all(lines.as_bytes())
            .expect("it reads");
        child.wait_with_output().expect("it ends")
    }
}
