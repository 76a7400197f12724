//! Outputs and images as short lines of text.

use super::*;

pub fn output(world: &World, output: &Output) -> Vec<String> {
    match output {
        Output::Records(records) => {
            let lines = records.iter().map(|it| format!("  {}", record(world, it)));
            std::iter::once("append".to_owned()).chain(lines).collect()
        }
        Output::Reply(_, reply) => self::reply(reply),
        Output::ArmSession { broker, after_ms } => {
            vec![format!("arm session {broker} {after_ms} ms")]
        }
        Output::DisarmSession { broker } => vec![format!("disarm session {broker}")],
        Output::UpgradeKraftVersion(level) => vec![format!("upgrade kraft.version to {level}")],
        Output::ArmLeaderBalance { after_ms } => vec![format!("arm leader balance {after_ms} ms")],
        Output::ArmUncleanElection { after_ms } => {
            vec![format!("arm unclean election {after_ms} ms")]
        }
    }
}

fn record(world: &World, record: &Record) -> String {
    match record {
        Record::RegisterBroker(it) => {
            let state = if it.fenced { "fenced" } else { "unfenced" };
            format!("RegisterBroker {} epoch {} {state}", it.broker, it.epoch)
        }
        Record::UnregisterBroker { broker, epoch } => {
            format!("UnregisterBroker {broker} epoch {epoch}")
        }
        Record::FenceBroker { broker, epoch } => format!("FenceBroker {broker} epoch {epoch}"),
        Record::UnfenceBroker { broker, epoch } => format!("UnfenceBroker {broker} epoch {epoch}"),
        Record::BrokerRegistrationChange(it) => registration_change(it),
        Record::Topic { name, .. } => format!("Topic {name}"),
        Record::Partition(it) => {
            let registration = PartitionRegistration::from_record(it);
            format!(
                "Partition {}: {}",
                name(world, it.partition),
                partition(&registration)
            )
        }
        Record::PartitionChange(it) => format!(
            "PartitionChange {}:{}",
            name(world, it.partition),
            change(it)
        ),
        Record::RemoveTopic { .. } => "RemoveTopic".to_owned(),
        Record::Config {
            resource,
            name,
            value,
        } => {
            let value = value.as_deref().unwrap_or("(removed)");
            format!(
                "Config {:?} '{}': {name} = {value}",
                resource.kind, resource.name
            )
        }
        Record::FeatureLevel { name, level } => format!("FeatureLevel {name} {level}"),
        Record::ProducerIds {
            broker,
            next_producer_id,
            ..
        } => {
            format!("ProducerIds broker {broker} next {next_producer_id}")
        }
        Record::RegisterController(it) => format!("RegisterController {}", it.controller),
        Record::ClearElr { topic_name } => {
            format!("ClearElr {}", topic_name.as_deref().unwrap_or("(all)"))
        }
        Record::BeginTransaction { .. } => "BeginTransaction".to_owned(),
        Record::EndTransaction => "EndTransaction".to_owned(),
        Record::AbortTransaction { reason } => {
            format!("AbortTransaction: {}", reason.as_deref().unwrap_or(""))
        }
        Record::NoOp => "NoOp".to_owned(),
    }
}

fn registration_change(record: &BrokerRegistrationChangeRecord) -> String {
    let mut line = format!(
        "BrokerRegistrationChange {} epoch {}:",
        record.broker, record.epoch
    );
    match record.fenced {
        Some(true) => line.push_str(" fenced"),
        Some(false) => line.push_str(" unfenced"),
        None => {}
    }
    if record.in_controlled_shutdown {
        line.push_str(" in controlled shutdown");
    }
    if let Some(directories) = &record.log_directories {
        line.push_str(&format!(" {} directories left", directories.len()));
    }
    line
}

fn change(record: &PartitionChangeRecord) -> String {
    let mut line = String::new();
    for (what, list) in [
        ("replicas", &record.replicas),
        ("adding", &record.adding_replicas),
        ("removing", &record.removing_replicas),
        ("isr", &record.isr),
        ("elr", &record.eligible_leader_replicas),
        ("lastKnown", &record.last_known_elr),
    ] {
        if let Some(list) = list {
            line.push_str(&format!(" {what} {}", ids(list)));
        }
    }
    if let Some(leader) = record.leader {
        line.push_str(&format!(" leader {leader}"));
    }
    if record.directories.is_some() {
        line.push_str(" other directories");
    }
    if let Some(state) = record.leader_recovery_state {
        line.push_str(&format!(" {state:?}"));
    }
    line
}

fn name(world: &World, id: TopicIdPartition) -> String {
    let topic = world.image.topic_name(id.topic_id).unwrap_or("?");
    format!("{topic}-{}", id.partition)
}

fn ids(ids: &[NodeId]) -> String {
    let ids: Vec<String> = ids.iter().map(NodeId::to_string).collect();
    format!("[{}]", ids.join(","))
}

fn partition(partition: &PartitionRegistration) -> String {
    let mut line = format!(
        "replicas {} isr {} leader {} epochs {}/{}",
        ids(&partition.replicas),
        ids(&partition.isr),
        partition.leader.unwrap_or(NodeId::NONE),
        partition.leader_epoch,
        partition.partition_epoch
    );
    for (what, list) in [
        ("adding", &partition.adding_replicas),
        ("removing", &partition.removing_replicas),
    ] {
        if !list.is_empty() {
            line.push_str(&format!(" {what} {}", ids(list)));
        }
    }
    if !partition.eligible_leader_replicas.is_empty() {
        line.push_str(&format!(
            " elr {}",
            ids(&partition.eligible_leader_replicas)
        ));
    }
    if !partition.last_known_elr.is_empty() {
        line.push_str(&format!(" lastKnown {}", ids(&partition.last_known_elr)));
    }
    if partition.leader_recovery_state == LeaderRecoveryState::Recovering {
        line.push_str(" Recovering");
    }
    line
}

fn reply(reply: &Reply) -> Vec<String> {
    match reply {
        Reply::RegisterBroker(result) => vec![outcome(
            result.as_ref().map(|epoch| format!("epoch {epoch}")),
        )],
        Reply::BrokerHeartbeat(result) => vec![outcome(result.as_ref().map(heartbeat))],
        Reply::UnregisterBroker(result) | Reply::RegisterController(result) => {
            vec![outcome(result.as_ref().map(|()| "ok".to_owned()))]
        }
        Reply::CreateTopics(results) => results.iter().map(created).collect(),
        Reply::DeleteTopics(results) => results
            .iter()
            .map(|it| outcome(it.result.as_ref().map(|()| "deleted".to_owned())))
            .collect(),
        Reply::CreatePartitions(results) => {
            results.iter().map(|(name, it)| named(name, it)).collect()
        }
        Reply::AlterPartition(Err(error)) => vec![format!("reply {error}")],
        Reply::AlterPartition(Ok(results)) => results.iter().map(altered).collect(),
        Reply::AssignReplicas(Err(error)) => vec![format!("reply {error}")],
        Reply::AssignReplicas(Ok(results)) => results
            .iter()
            .map(|it| match it {
                Ok(()) => "reply assigned".to_owned(),
                Err(code) => format!("reply {code:?}"),
            })
            .collect(),
        Reply::AllocateProducerIds(result) => {
            let block = |it: &ProducerIdsBlock| {
                format!("producer ids from {} length {}", it.first, it.length)
            };
            vec![outcome(result.as_ref().map(block))]
        }
        Reply::IncrementalAlterConfigs(results) | Reply::AlterConfigs(results) => results
            .iter()
            .map(|(resource, it)| named(&resource.name, it))
            .collect(),
        Reply::UpdateFeatures(result) => {
            vec![outcome(
                result.as_ref().map(|()| "features updated".to_owned()),
            )]
        }
        Reply::ElectLeaders(results) | Reply::AlterPartitionReassignments(results) => results
            .iter()
            .map(|((topic, id), it)| named(&format!("{topic}-{id}"), it))
            .collect(),
        Reply::ListPartitionReassignments(ongoing) => ongoing.iter().map(reassignment).collect(),
    }
}

fn reassignment(it: &OngoingReassignment) -> String {
    format!(
        "reply {}-{}: replicas {} adding {} removing {}",
        it.topic,
        it.partition,
        ids(&it.replicas),
        ids(&it.adding),
        ids(&it.removing)
    )
}

fn outcome(result: Result<String, &ApiError>) -> String {
    match result {
        Ok(text) => format!("reply {text}"),
        Err(error) => format!("reply {error}"),
    }
}

fn named(name: &str, result: &Result<(), ApiError>) -> String {
    outcome(result.as_ref().map(|()| format!("{name}: ok")))
}

fn heartbeat(reply: &BrokerHeartbeatReply) -> String {
    let mut words = Vec::new();
    words.push(if reply.is_caught_up {
        "caught up"
    } else {
        "behind"
    });
    words.push(if reply.is_fenced {
        "fenced"
    } else {
        "unfenced"
    });
    if reply.in_controlled_shutdown {
        words.push("in controlled shutdown");
    }
    if reply.should_shut_down {
        words.push("should shut down");
    }
    words.join(", ")
}

fn created(result: &CreateTopicResult) -> String {
    let text = |it: &CreatedTopic| {
        format!(
            "{}: {} partitions, {} replicas",
            result.name, it.num_partitions, it.replication_factor
        )
    };
    outcome(result.result.as_ref().map(text))
}

fn altered(result: &AlterPartitionResult) -> String {
    match &result.result {
        Ok(it) => {
            let AlteredPartition {
                leader,
                leader_epoch,
                isr,
                partition_epoch,
                ..
            } = it;
            format!(
                "reply isr {} leader {leader} epochs {leader_epoch}/{partition_epoch}",
                ids(isr)
            )
        }
        Err(code) => format!("reply {code:?}"),
    }
}

/// Brokers and partitions of the image.
pub fn image(world: &World) -> Vec<String> {
    let brokers = world.image.brokers().values().map(|it| {
        let state = match (it.fenced, it.in_controlled_shutdown) {
            (true, _) => "fenced",
            (false, true) => "shutting down",
            (false, false) => "active",
        };
        format!("broker {} epoch {} {state}", it.id, it.epoch)
    });
    let partitions = world
        .image
        .partitions()
        .map(|(id, it)| format!("{}: {}", name(world, id), partition(it)));
    brokers.chain(partitions).collect()
}
