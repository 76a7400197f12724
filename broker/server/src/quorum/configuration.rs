//! `kraft.version` and the voters, as they change (KIP-853).

use std::sync::atomic::Ordering;

use broker_core::Ticket;
use broker_core::raft::{self, Input, VoterSet};
use broker_env::DiskError;
use broker_protocol::ids::Offset;

use super::{Quorum, UpgradeSender};
use crate::observe::Observation;

impl Quorum {
    /// What snapshot and log say at the start.
    pub(super) fn configuration_known(&mut self) {
        let configuration = self.raft.configuration().clone();
        self.configuration_changed(configuration.kraft_version, &configuration.voters);
    }

    pub(super) fn configuration_changed(&mut self, kraft_version: i16, voters: &VoterSet) {
        tracing::info!(
            node = %self.node,
            kraft_version,
            voters = ?voters.iter().map(|voter| voter.id.0).collect::<Vec<_>>(),
            "quorum configuration"
        );
        self.peers.addresses().set_voters(voters);
        if let Some(controller) = &mut self.controller {
            controller.set_voters(voters.iter().map(|voter| voter.id).collect());
        }
        let status = &self.handle.status;
        status.kraft_version.store(kraft_version, Ordering::Relaxed);
        self.observer.observe(|| Observation::QuorumVoters {
            voters: voters.iter().map(|voter| voter.id).collect(),
        });
    }

    pub(super) async fn upgrade_kraft_version(
        &mut self,
        version: i16,
        validate_only: bool,
        reply: UpgradeSender,
    ) -> Result<(), DiskError> {
        let ticket = self.ticket();
        self.upgrading.insert(ticket, reply);
        let epoch = self.raft.epoch();
        self.step(Input::UpgradeKraftVersion {
            ticket,
            epoch,
            version,
            validate_only,
        })
        .await
    }

    pub(super) fn kraft_version_decided(
        &mut self,
        ticket: Ticket,
        result: Result<Option<Offset>, raft::Error>,
    ) {
        let reply = self.upgrading.remove(&ticket);
        let reply = reply.expect("the core answers each ticket once");
        match result {
            Ok(Some(end)) => self.upgraded.push((end, reply)),
            Ok(None) => drop(reply.send(Ok(()))),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Answers those whose `kraft.version` is committed now.
    pub(super) fn release_upgraded(&mut self, committed: Offset) {
        let waiting = std::mem::take(&mut self.upgraded);
        let (due, later): (Vec<_>, _) = waiting.into_iter().partition(|(end, _)| *end <= committed);
        self.upgraded = later;
        for (_, reply) in due {
            let _nobody_waits = reply.send(Ok(()));
        }
    }
}
