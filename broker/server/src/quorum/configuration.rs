//! `kraft.version` and the voters, as they change (KIP-853).

use std::sync::atomic::Ordering;

use broker_core::metadata::{self, ApiError, KRAFT_VERSION_FEATURE};
use broker_core::raft::{self, Input, VoterSet};
use broker_env::DiskError;

use super::Quorum;
use crate::api::raft_wire;
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
        let is_voter = self.raft.is_voter();
        status.is_voter.store(is_voter, Ordering::Relaxed);
        self.observer.observe(|| Observation::QuorumVoters {
            voters: voters.iter().map(|voter| voter.id).collect(),
        });
    }

    /// Tells a request what the quorum knows: `kraft.version` in force, and whether it would finalize the one
    /// asked for.
    pub(super) async fn complete(
        &mut self,
        input: metadata::Input,
    ) -> Result<metadata::Input, DiskError> {
        let metadata::Input::UpdateFeatures(ticket, mut request) = input else {
            return Ok(input);
        };
        request.kraft_version = self.raft.configuration().kraft_version;
        let mut updates = request.updates.iter();
        let asked = updates.find(|it| it.name == KRAFT_VERSION_FEATURE);
        if let Some(level) = asked.map(|it| it.level)
            && level > request.kraft_version
        {
            let refused = self.upgrade_kraft_version(level, true).await?.err();
            request.kraft_refusal = refused.map(|error| refusal(level, error));
        }
        Ok(metadata::Input::UpdateFeatures(ticket, request))
    }

    /// Writes the records that finalize `kraft.version`; what follows comes behind them.
    pub(super) async fn finalize_kraft_version(&mut self, version: i16) -> Result<(), DiskError> {
        let finalized = self.upgrade_kraft_version(version, false).await?;
        assert_eq!(
            finalized,
            Ok(()),
            "the quorum would have finalized kraft.version {version} in the same step"
        );
        Ok(())
    }

    async fn upgrade_kraft_version(
        &mut self,
        version: i16,
        validate_only: bool,
    ) -> Result<Result<(), raft::Error>, DiskError> {
        let (ticket, epoch) = (self.ticket(), self.raft.epoch());
        // Boxed: a step may lead to a decision, and that to this.
        Box::pin(self.step(Input::UpgradeKraftVersion {
            ticket,
            epoch,
            version,
            validate_only,
        }))
        .await?;
        let decision = self.kraft_decision.take();
        let (answered, result) = decision.expect("the core answers within the step");
        assert_eq!(
            answered, ticket,
            "the answer is to the kraft.version just asked for"
        );
        Ok(result)
    }
}

fn refusal(level: i16, error: raft::Error) -> ApiError {
    let message = format!(
        "Invalid update version {level} for feature {KRAFT_VERSION_FEATURE}. The quorum refuses it: {error:?}."
    );
    ApiError::new(raft_wire::error_code(error), message)
}
