//! Configurations that cannot work are refused with a message that names what is wrong; nothing is formatted.

mod support;

use support::assert_says;
use support::good::Good;
use support::node::Node;

#[test]
fn wrong_configurations_are_named_with_their_line() {
    let mut node = Node::prepare("");
    // The file begins with five lines of the test's own.
    let cases: [(&str, &[&str]); 6] = [
        (
            "num.partition=3",
            &["line 6", "num.partition", "did you mean 'num.partitions'?"],
        ),
        ("nonsense=3", &["line 6", "nonsense"]),
        (
            "# fine\nnum.partitions=zero",
            &["line 7", "num.partitions", "zero"],
        ),
        ("num.partitions=-4", &["line 6", "num.partitions", "-4"]),
        ("just text", &["line 6", "just text"]),
        (
            "controller.quorum.voters=2@127.0.0.1:1",
            &["controller.quorum.voters", "node.id 1"],
        ),
    ];
    for (properties, parts) in cases {
        node.configure(1, properties);
        let (said, status) = node.refuses();
        assert_says(&said, parts);
        assert_says(&said, &["server.properties"]);
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(
            !node.data().exists(),
            "nothing is formatted for a wrong configuration"
        );
    }
    node.configure(1, "");
    node.arguments = vec!["--override".into(), "num.partitions=many".into()];
    let (said, status) = node.refuses();
    assert_says(
        &said,
        &["--override num.partitions=many", "not a 32-bit number"],
    );
    assert_eq!(status.code(), Some(2));
}

#[test]
fn a_port_in_use_is_named() {
    let mut node = Node::prepare("");
    for port in [node.port, node.controller_port] {
        let taken = std::net::TcpListener::bind(("127.0.0.1", port)).expect("free until now");
        let (said, status) = node.refuses();
        assert_says(&said, &[&format!("127.0.0.1:{port}"), "in use"]);
        assert_eq!(status.code(), Some(1));
        drop(taken);
    }
    node.launch();
    Good::start(&node).check(&mut node);
}

#[test]
fn a_data_folder_that_is_a_file_is_named() {
    let mut node = Node::prepare("");
    std::fs::write(node.data(), "a file").expect("writable");
    let (said, status) = node.refuses();
    assert_says(&said, &[&node.data().display().to_string()]);
    assert_eq!(status.code(), Some(1));
}
