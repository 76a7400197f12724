//! Runs `testdata/group/*.txt`: each `> command` is followed by the recorded output.
//!
//! `UPDATE_TESTDATA=1` records anew. Commands are in [`Script::run`]; options are `key=value`.

use std::path::PathBuf;

use super::consumer_group::Partitions;
use super::*;

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "recording anew is the developer's doing, outside of any simulation"
)]
fn recorded_scripts_hold() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/group");
    let entries = std::fs::read_dir(&folder).expect("the folder is in the repository");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let played = play(&text);
        if std::env::var_os("UPDATE_TESTDATA").is_some() {
            std::fs::write(&path, &played).expect("a writable file");
            continue;
        }
        assert_eq!(text, played, "{} has changed", path.display());
    }
}

/// The script with the output of each command as it is now.
fn play(text: &str) -> String {
    let mut script = Script {
        world: World::new(Config::default()),
        asked: BTreeMap::new(),
    };
    let mut played = String::new();
    for line in text.lines() {
        let command = line.strip_prefix("> ");
        if command.is_some() || line.is_empty() || line.starts_with('#') {
            played.push_str(line);
            played.push('\n');
        }
        for line in command
            .map(|command| script.run(command))
            .unwrap_or_default()
        {
            played.push_str(&line);
            played.push('\n');
        }
    }
    played
}

struct Script {
    world: World,
    /// Who waits under which ticket.
    asked: BTreeMap<Ticket, String>,
}

struct Options<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Options<'a> {
    fn text(&self, key: &str) -> Option<String> {
        self.0.get(key).map(ToString::to_string)
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        let text = self.0.get(key)?;
        Some(
            text.parse()
                .ok()
                .unwrap_or_else(|| panic!("{key}={text} is no number")),
        )
    }

    fn list(&self, key: &str) -> Vec<&'a str> {
        let text = self.0.get(key).copied().unwrap_or("");
        text.split(',').filter(|part| !part.is_empty()).collect()
    }
}

impl Script {
    fn run(&mut self, command: &str) -> Vec<String> {
        let mut words = command.split_whitespace();
        let verb = words.next().expect("a command");
        let (options, words): (Vec<&str>, Vec<&str>) = words.partition(|word| word.contains('='));
        let options = options.iter().filter_map(|it| it.split_once('=')).collect();
        self.carry_out(verb, &words, &Options(options))
    }

    fn carry_out(&mut self, verb: &str, words: &[&str], options: &Options<'_>) -> Vec<String> {
        let request = match verb {
            "wait" => {
                let ms: u64 = words[0].parse().expect("milliseconds");
                let replies = self.world.wait(ms);
                return self.tell(replies);
            }
            "fail-over" => {
                let replies = self.world.load();
                return self.tell(replies);
            }
            "set" => {
                let config = &mut self.world.config;
                config.max_size = options.number("max-size").unwrap_or(config.max_size);
                let retention = options.number("retention-ms");
                config.offsets_retention_ms = retention.unwrap_or(config.offsets_retention_ms);
                self.world.load();
                return Vec::new();
            }
            "log" => return self.world.log.iter().map(entry).collect(),
            "end" => {
                let producer = words[0].parse().expect("a producer id");
                self.world.end(producer, words[1] == "commit");
                return Vec::new();
            }
            "join" => Request::Join(join_request(words[0], options)),
            "sync" => Request::Sync(SyncRequest {
                group: "g".into(),
                member: context(words[0], options),
                protocol_type: options.text("type"),
                protocol_name: options.text("protocol"),
                assignments: options.list("assign").into_iter().map(assignment).collect(),
            }),
            "heartbeat" => Request::Heartbeat {
                group: "g".into(),
                member: context(words[0], options),
            },
            "leave" => Request::Leave {
                group: "g".into(),
                members: words.iter().map(|word| leaver(word)).collect(),
            },
            "commit" => Request::Commit(commit_request(words, options)),
            "txn-commit" => {
                let commit = commit_request(words, options);
                Request::CommitTransactional(TransactionalCommitRequest {
                    group: commit.group,
                    member: commit.member,
                    producer: Producer {
                        id: options.number("producer").expect("who commits"),
                        epoch: 0,
                    },
                    partitions: commit.partitions,
                })
            }
            "fetch" | "fetch-stable" => Request::FetchOffsets(FetchOffsetsRequest {
                group: "g".into(),
                member_id: None,
                member_epoch: -1,
                require_stable: verb == "fetch-stable",
                partitions: (!words.is_empty())
                    .then(|| words.iter().map(|topic| (topic.to_string(), 0)).collect()),
            }),
            "delete-offsets" => Request::DeleteOffsets(DeleteOffsetsRequest {
                group: "g".into(),
                partitions: words.iter().map(|topic| (topic.to_string(), 0)).collect(),
            }),
            "delete-topic" => Request::TopicDeleted {
                topic: words[0].into(),
            },
            "delete" => Request::DeleteGroup { group: "g".into() },
            "topic" => {
                let (name, partitions) = words[0].split_once(':').expect("name:partitions");
                let id = options.number("id").expect("an id");
                let topic = Topic {
                    id: Uuid([id; 16]),
                    partitions: partitions.parse().expect("a count"),
                };
                let FewTopics(topics, version) = &mut self.world.topics;
                topics.insert(name.to_string(), topic);
                *version += 1;
                return Vec::new();
            }
            "no-topic" => {
                self.world.topics.0.remove(words[0]);
                self.world.topics.1 += 1;
                return Vec::new();
            }
            "beat" => Request::ConsumerHeartbeat(consumer_heartbeat(words[0], options)),
            "describe-consumers" => Request::DescribeConsumers { group: "g".into() },
            "fetch-as" => Request::FetchOffsets(FetchOffsetsRequest {
                group: "g".into(),
                member_id: Some(words[0].into()),
                member_epoch: options.number("epoch").expect("an epoch"),
                require_stable: true,
                partitions: None,
            }),
            "describe" => Request::Describe { group: "g".into() },
            "list" => Request::List,
            other => panic!("unknown command {other}"),
        };
        let who = words.first().map_or(verb, |word| word).to_string();
        let (ticket, replies) = self.world.request(request);
        self.asked.insert(ticket, who);
        self.tell(replies)
    }

    fn tell(&self, replies: Vec<(Ticket, Reply)>) -> Vec<String> {
        let told = replies.into_iter().map(|(ticket, reply)| {
            let who = self.asked.get(&ticket).cloned();
            let who = who.unwrap_or_else(|| "at once".into());
            format!("{who}: {}", describe(&reply))
        });
        told.collect()
    }
}

fn join_request(name: &str, options: &Options<'_>) -> JoinRequest {
    let is_known = options.0.contains_key("id");
    let mut request = join(&options.text("id").unwrap_or_default(), name);
    request.instance_id = options.text("instance");
    let version = options.number("v").unwrap_or(9);
    request.require_known_member_id = version >= 4 && request.instance_id.is_none() && !is_known;
    request.knows_skip_assignment = version >= 9;
    request.session_timeout_ms = options.number("session").unwrap_or(10_000);
    request.rebalance_timeout_ms = options.number("rebalance").unwrap_or(60_000);
    request.protocol_type = options.text("type").unwrap_or_else(|| "consumer".into());
    let topics = options.list("topics");
    let topics = if topics.is_empty() { vec!["t"] } else { topics };
    let protocols = options.list("protocols");
    let protocols = if protocols.is_empty() {
        vec!["range"]
    } else {
        protocols
    };
    let of = |name: &&str| (name.to_string(), subscription(&topics));
    request.protocols = protocols.iter().map(of).collect();
    request
}

fn context(name: &str, options: &Options<'_>) -> MemberContext {
    MemberContext {
        member_id: options.text("id").unwrap_or_else(|| name.into()),
        instance_id: options.text("instance"),
        generation: options.number("gen").unwrap_or(-1),
    }
}

fn assignment(pair: &str) -> (String, Bytes) {
    let (member, partitions) = pair.split_once(':').expect("member:partitions");
    (member.into(), Bytes::from(partitions.to_string()))
}

/// `m1`, or `instance:i1`.
fn leaver(word: &str) -> Leaver {
    match word.split_once(':') {
        Some((_, instance)) => Leaver {
            member_id: String::new(),
            instance_id: Some(instance.into()),
        },
        None => Leaver {
            member_id: word.into(),
            instance_id: None,
        },
    }
}

/// `commit m1 gen=1 t=5`; `nobody` for one that is no member.
fn commit_request(words: &[&str], options: &Options<'_>) -> CommitRequest {
    let mut request = commit(context(words[0], options), "", 0);
    if words[0] == "nobody" {
        request.member.member_id.clear();
    }
    request.retention_ms = options.number("retention").unwrap_or(-1);
    let template = request.partitions.remove(0);
    let known = ["id", "instance", "gen", "retention", "metadata", "producer"];
    for (topic, offset) in options.0.iter().filter(|(key, _)| !known.contains(key)) {
        let mut partition = template.clone();
        partition.topic = topic.to_string();
        partition.offset = offset.parse().expect("an offset");
        let length = options.number("metadata").unwrap_or(0);
        partition.metadata = "x".repeat(length);
        request.partitions.push(partition);
    }
    request
}

fn names(errors: &Result<Vec<ErrorCode>, ErrorCode>) -> String {
    match errors {
        Ok(errors) => errors
            .iter()
            .map(|error| error.name())
            .collect::<Vec<_>>()
            .join(" "),
        Err(error) => format!("refused {}", error.name()),
    }
}

fn describe(reply: &Reply) -> String {
    match reply {
        Reply::Join(join) if join.error != ErrorCode::None => {
            let member = &join.member_id;
            format!("{} as '{member}'", join.error.name())
        }
        Reply::Join(join) => {
            let members: Vec<&str> = join
                .members
                .iter()
                .map(|member| member.member_id.as_str())
                .collect();
            let skip = if join.skip_assignment {
                " skips assignment"
            } else {
                ""
            };
            format!(
                "{} in generation {} of {}, led by {} [{}]{skip}",
                join.member_id,
                join.generation,
                join.protocol_name.as_deref().unwrap_or("no protocol"),
                join.leader,
                members.join(" ")
            )
        }
        Reply::Sync(sync) if sync.error != ErrorCode::None => sync.error.name().into(),
        Reply::Sync(sync) => format!("assigned {}", String::from_utf8_lossy(&sync.assignment)),
        Reply::Heartbeat(error) | Reply::DeleteGroup(error) => error.name().into(),
        Reply::Leave(errors)
        | Reply::Commit(errors)
        | Reply::CommitTransactional(errors)
        | Reply::DeleteOffsets(errors) => names(errors),
        Reply::FetchOffsets(Err(error)) => error.name().into(),
        Reply::FetchOffsets(Ok(offsets)) => {
            let each = |offset: &FetchedOffset| match offset.error {
                ErrorCode::None => format!("{}={}", offset.topic, offset.offset),
                error => format!("{}: {}", offset.topic, error.name()),
            };
            offsets.iter().map(each).collect::<Vec<_>>().join(" ")
        }
        Reply::ConsumerHeartbeat(Err(error)) | Reply::DescribeConsumers(Err(error)) => {
            error.name().into()
        }
        Reply::ConsumerHeartbeat(Ok(heard)) => {
            let assignment = heard.assignment.as_ref().map(partitions);
            let assignment = assignment.map_or_else(String::new, |it| format!(" has [{it}]"));
            format!(
                "{} in epoch {}{assignment}",
                heard.member_id, heard.member_epoch
            )
        }
        Reply::DescribeConsumers(Ok(group)) => {
            let each = |member: &DescribedConsumer| {
                let of = |it: &DescribedPartitions| {
                    let each = |it: &TopicPartitions| format!("{}{:?}", it.topic, it.partitions);
                    it.iter().map(each).collect::<Vec<_>>().join(" ")
                };
                let (has, gets) = (of(&member.assignment), of(&member.target));
                format!("{} {}: {has} -> {gets}", member.member_id, member.epoch)
            };
            let members: Vec<String> = group.members.iter().map(each).collect();
            format!(
                "{} epoch {}, targets {} by {} [{}]",
                group.state,
                group.epoch,
                group.assignment_epoch,
                group.assignor,
                members.join("; ")
            )
        }
        Reply::Describe(None) => "no such group".into(),
        Reply::Describe(Some(group)) => {
            let each = |member: &DescribedMember| {
                let assignment = String::from_utf8_lossy(&member.assignment);
                format!("{}:{assignment}", member.member_id)
            };
            let members: Vec<String> = group.members.iter().map(each).collect();
            format!(
                "{} '{}' [{}]",
                group.state,
                group.protocol_type,
                members.join(" ")
            )
        }
        Reply::List(groups) => {
            let each = |group: &ListedGroup| {
                let kind = group.kind.name();
                format!(
                    "{} {kind} {} '{}'",
                    group.group, group.state, group.protocol_type
                )
            };
            groups.iter().map(each).collect::<Vec<_>>().join(", ")
        }
        Reply::TopicDeleted => "done".into(),
    }
}

fn entry(entry: &Entry) -> String {
    match entry {
        Entry::Record(it) => record(it),
        Entry::Transactional {
            producer_id,
            record: it,
        } => format!("{} if {producer_id} commits", record(it)),
        Entry::Marker {
            producer_id,
            committed: true,
        } => format!("{producer_id} committed"),
        Entry::Marker { producer_id, .. } => format!("{producer_id} aborted"),
    }
}

fn record(record: &Record) -> String {
    let slot = |name: &str, value: Option<String>| match value {
        Some(value) => format!("{name} {value}"),
        None => format!("{name} deleted"),
    };
    match record {
        Record::Offset { topic, value, .. } => match value {
            Some(value) => format!("offset {topic}={}", value.offset),
            None => format!("offset {topic} deleted"),
        },
        Record::Group { value, .. } => slot("group", value.as_ref().map(classic)),
        Record::ConsumerGroup { value, .. } => {
            slot("epoch", value.map(|value| value.epoch.to_string()))
        }
        Record::TargetEpoch { value, .. } => slot("targets", value.map(|it| it.to_string())),
        Record::Subscription { member, value, .. } => {
            let wants = value
                .as_ref()
                .map(|value| format!("wants {:?}", value.topics));
            slot(member, wants)
        }
        Record::TargetAssignment { member, value, .. } => {
            slot(&format!("{member} target"), value.as_ref().map(partitions))
        }
        Record::CurrentAssignment { member, value, .. } => slot(
            member,
            value.as_ref().map(|it| {
                let has = partitions(&it.assigned);
                let revokes = partitions(&it.pending_revocation);
                format!(
                    "is {:?} in {} with [{has}], revokes [{revokes}]",
                    it.state, it.epoch
                )
            }),
        ),
    }
}

fn classic(group: &GroupMetadata) -> String {
    let each = |member: &MemberMetadata| member.member_id.clone();
    let members: Vec<String> = group.members.iter().map(each).collect();
    format!("in generation {} [{}]", group.generation, members.join(" "))
}

/// Topics have ids of one repeated byte, which stands for them.
fn partitions(partitions: &Partitions) -> String {
    let each = |(topic, partition): (Uuid, i32)| format!("{}-{partition}", topic.0[0]);
    consumer_group::each(partitions)
        .map(each)
        .collect::<Vec<_>>()
        .join(" ")
}

/// `1-0,1-2`; nothing is nothing.
fn owned(words: &[&str]) -> Partitions {
    let mut owned = Partitions::new();
    for word in words {
        let (topic, partition) = word.split_once('-').expect("topic-partition");
        let topic = Uuid([topic.parse().expect("a topic"); 16]);
        let of_topic = owned.entry(topic).or_default();
        of_topic.insert(partition.parse().expect("a partition"));
    }
    owned
}

/// `beat m1 epoch=0 topics=t`; an epoch of 0 sends all there is.
fn consumer_heartbeat(name: &str, options: &Options<'_>) -> ConsumerHeartbeatRequest {
    let epoch = options.number("epoch").expect("an epoch");
    let topics = options.0.contains_key("topics").then(|| {
        let topics = options.list("topics").into_iter();
        topics.map(ToString::to_string).collect()
    });
    let says = epoch == 0 || options.0.contains_key("owned");
    ConsumerHeartbeatRequest {
        group: "g".into(),
        member_id: name.into(),
        fresh_member_id: "fresh".into(),
        member_epoch: epoch,
        instance_id: options.text("instance"),
        rack_id: None,
        rebalance_timeout_ms: match options.number("rebalance") {
            Some(timeout) => timeout,
            None if epoch == 0 || options.0.contains_key("full") => 60_000,
            None => -1,
        },
        topics,
        server_assignor: options.text("assignor"),
        owned: says.then(|| owned(&options.list("owned"))),
        client_id: "c".into(),
        client_host: "/h".into(),
    }
}
