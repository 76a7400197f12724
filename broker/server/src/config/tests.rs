//! What a configuration may say.

use super::*;

#[test]
fn no_configuration_is_a_single_combined_node_on_9092() {
    let config = BrokerConfig::from_properties("").expect("defaults are valid");
    assert!(config.is_broker() && config.is_controller());
    assert_eq!(
        config.advertised(),
        vec![Listener::new("PLAINTEXT", "127.0.0.1", 9092)]
    );
    assert_eq!(config.data_directory(), "./data");
    assert_eq!(config.voters().len(), 1);
}

#[test]
fn an_unknown_property_is_named_with_its_line_and_a_suggestion() {
    let error =
        BrokerConfig::from_properties("node.id=1\n# fine\nlog.segment.byte=5\n").unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("line 3")
            && text.contains("log.segment.byte")
            && text.contains("log.segment.bytes"),
        "{text}"
    );
}

#[test]
fn wrong_values_are_named() {
    for (name, value) in [
        ("node.id", "x"),
        ("node.id", "-4"),
        ("listeners", "127.0.0.1:9092"),
        ("listeners", "PLAINTEXT://h:70000"),
        ("auto.create.topics.enable", "yes"),
        ("controller.quorum.voters", "1@host"),
        ("controller.quorum.bootstrap.servers", "host"),
        ("process.roles", "broker,voter"),
        ("unclean.leader.election.enable", "maybe"),
        ("leader.imbalance.check.interval.seconds", "0"),
        ("log.segment.bytes", "1"),
        ("replica.selector.class", "com.example.Own"),
        ("log.dirs", "/a,/b,/a"),
        ("listener.security.protocol.map", "PLAINTEXT:SSL"),
    ] {
        let error = BrokerConfig::from_pairs([(name, value)])
            .unwrap_err()
            .to_string();
        assert!(error.contains(name) && error.contains(value), "{error}");
    }
}

#[test]
fn voters_are_configured_or_found() {
    for (pairs, voters, finds) in [
        (vec![], 1, false),
        (
            vec![("controller.quorum.bootstrap.servers", "h:9093")],
            0,
            true,
        ),
        (
            vec![
                ("controller.quorum.voters", "1@h:9093,2@g:9093"),
                ("controller.quorum.bootstrap.servers", "h:9093"),
            ],
            2,
            false,
        ),
    ] {
        let config = BrokerConfig::from_pairs(pairs.clone()).expect("valid");
        assert_eq!(
            (config.voters().len(), config.finds_voters()),
            (voters, finds),
            "{pairs:?}"
        );
    }
}

#[test]
fn controllers_and_brokers_are_advertised_apart() {
    let listener = |name: &str, host: &str| Listener::new(name, host, 1);
    for (advertised, broker, controller) in [
        ("", "127.0.0.1", "127.0.0.1"),
        ("CONTROLLER://outside:1", "127.0.0.1", "outside"),
        ("PLAINTEXT://front:1", "front", "127.0.0.1"),
        (
            "PLAINTEXT://front:1,CONTROLLER://outside:1",
            "front",
            "outside",
        ),
    ] {
        let config = BrokerConfig::from_pairs([
            ("listeners", "PLAINTEXT://:1,CONTROLLER://:1"),
            ("advertised.listeners", advertised),
        ]);
        let config = config.expect("valid");
        assert_eq!(config.advertised(), [listener("PLAINTEXT", broker)]);
        let expected = Some(listener("CONTROLLER", controller));
        assert_eq!(config.advertised_controller(), expected, "{advertised}");
    }
}

#[test]
fn properties_that_contradict_each_other_are_refused() {
    for pairs in [
        vec![("controller.quorum.voters", "2@h:9093")],
        vec![("process.roles", "broker")],
        vec![("broker.heartbeat.interval.ms", "9000")],
        vec![("listeners", "PLAINTEXT://h:1")],
        vec![("controller.quorum.voters", "1@h:9093,1@g:9093")],
        vec![("controller.quorum.auto.join.enable", "true")],
        vec![
            ("process.roles", "broker"),
            ("controller.quorum.bootstrap.servers", "h:9093"),
            ("controller.quorum.auto.join.enable", "true"),
        ],
    ] {
        assert!(
            BrokerConfig::from_pairs(pairs.clone()).is_err(),
            "{pairs:?}"
        );
    }
}
