//! What a follower tells its leader about itself: where it listens (UpdateVoter), or that it wants to be a
//! voter (KIP-853, `controller.quorum.auto.join.enable`).

use broker_probe::probe;

use super::reconfiguration::RECONFIGURATION_VERSION;
use super::{
    AddVoterRequest, EpochResponse, Error, Output, Raft, RemoveVoterRequest, Request, Role, Timer,
    UpdateVoterRequest, Voter,
};

impl Raft {
    pub(super) fn own_voter(&self) -> Voter {
        Voter {
            key: self.config.me,
            endpoints: self.config.endpoints.clone(),
            kraft_versions: self.config.kraft_versions,
        }
    }

    pub(super) fn tells_about_itself(&self) -> bool {
        let nameable = !self.config.me.directory_id.is_zero() && !self.config.endpoints.is_empty();
        nameable && self.config.is_controller
    }

    /// A few fetches first: the log may know already.
    pub(super) fn arm_update_voter(&self, out: &mut Vec<Output>) {
        if self.tells_about_itself() {
            let ms = self.config.fetch_timeout_ms;
            out.push(Output::Arm {
                timer: Timer::UpdateVoter,
                min_ms: ms,
                max_ms: ms,
            });
        }
    }

    pub(super) fn on_update_voter_timer(&mut self, out: &mut Vec<Output>) {
        let Role::Follower { leader: to, .. } = self.role else {
            return;
        };
        if let Some(request) = self.due_request() {
            self.say(Output::Send { to, request }, out);
        }
        self.arm_update_voter(out);
    }

    fn due_request(&self) -> Option<Request> {
        let reconfigurable = self.configuration().kraft_version >= RECONFIGURATION_VERSION;
        let own = self.own_voter();
        if self.is_voter() {
            let recorded = self.voters().voter(own.key.id) == Some(&own);
            let up_to_date = if reconfigurable {
                recorded
            } else {
                self.told_leader
            };
            return (!up_to_date).then(|| self.update_voter_request(own));
        }
        if !reconfigurable || !self.config.auto_join {
            return None;
        }
        // Under this id with another directory it was a voter before its disk was replaced.
        Some(match self.voters().get(own.key.id) {
            Some(voter) => {
                probe!("raft: a node with a new disk removes its former self");
                Request::RemoveVoter(RemoveVoterRequest { voter })
            }
            None => Request::AddVoter(AddVoterRequest {
                voter: own.key,
                endpoints: own.endpoints,
                ack_when_committed: false,
            }),
        })
    }

    fn update_voter_request(&self, own: Voter) -> Request {
        Request::UpdateVoter(UpdateVoterRequest {
            current_leader_epoch: self.epoch,
            voter: own.key,
            endpoints: own.endpoints,
            kraft_versions: own.kraft_versions,
        })
    }

    pub(super) fn on_update_voter_response(
        &mut self,
        response: EpochResponse,
        out: &mut Vec<Output>,
    ) {
        let told = (response.leader, response.leader_epoch);
        let counts = self.observe_response(response.error, told, out);
        if counts && response.error == Error::None && matches!(self.role, Role::Follower { .. }) {
            self.told_leader = true;
        }
    }
}
