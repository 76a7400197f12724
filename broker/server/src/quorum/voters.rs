//! The voter set between the core and Kafka's VotersRecord.

use broker_core::raft::{Endpoint, VersionRange, Voter, VoterSet};
use broker_protocol::ids::{NodeId, ReplicaKey};
use broker_protocol::record::{self as wire, VotersRecord};

pub fn from_record(record: &VotersRecord) -> VoterSet {
    let endpoint = |endpoint: &wire::VoterEndpoint| Endpoint {
        name: endpoint.name.to_ascii_uppercase(),
        host: endpoint.host.clone(),
        port: endpoint.port,
    };
    VoterSet::of(record.voters.iter().map(|voter| Voter {
        key: ReplicaKey {
            id: NodeId(voter.voter_id),
            directory_id: voter.voter_directory_id,
        },
        endpoints: voter.endpoints.iter().map(endpoint).collect(),
        kraft_versions: VersionRange {
            min: voter.k_raft_version_feature.min_supported_version,
            max: voter.k_raft_version_feature.max_supported_version,
        },
    }))
}

pub fn to_record(voters: &VoterSet) -> VotersRecord {
    let endpoint = |endpoint: &Endpoint| wire::VoterEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        ..Default::default()
    };
    let voter = |voter: &Voter| wire::Voter {
        voter_id: voter.key.id.0,
        voter_directory_id: voter.key.directory_id,
        endpoints: voter.endpoints.iter().map(endpoint).collect(),
        k_raft_version_feature: wire::KRaftVersionFeature {
            min_supported_version: voter.kraft_versions.min,
            max_supported_version: voter.kraft_versions.max,
            ..Default::default()
        },
        ..Default::default()
    };
    VotersRecord {
        voters: voters.voters().map(voter).collect(),
        ..Default::default()
    }
}
