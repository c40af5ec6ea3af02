//! The peers port: what other members' REST APIs say.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::{Accepted, CitusEvent, MemberName, PeerStatus, Plea};
use pgherd_settings::Settings;

/// A peer that gave no usable answer. For decisions it is unreachable, whatever the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// No connection, or no answer in time.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// An answer without what a race needs (contract §16.5: no `xlog` counts as unreachable).
    #[error("not a usable answer: {0}")]
    NotUsable(String),
}

/// Asks other members.
#[async_trait]
pub trait Peers: Send + Sync + fmt::Debug {
    /// `GET api_url`, once, within `patience`.
    async fn status(&self, api_url: &str, patience: Duration) -> Result<PeerStatus, PeerError>;

    /// Asks for a vote for `candidate`, once, within `patience`: a member of ours leaves whomever it streams from before it says
    /// how far its WAL reaches (`POST /vote`). A member of Patroni's knows no such question, and is asked as by [`Self::status`].
    async fn vote(
        &self,
        api_url: &str,
        candidate: &MemberName,
        patience: Duration,
    ) -> Result<PeerStatus, PeerError>;

    /// Whether anything answers HTTP at the `/liveness` of `api_url` (contract §1.5, step 3).
    async fn is_alive(&self, api_url: &str, patience: Duration) -> bool;

    /// `POST /failsafe` at `api_url`, once, within `patience`: asks it not to race for a while (contract §12).
    /// Everything but an acceptance is an error.
    async fn plead(
        &self,
        api_url: &str,
        plea: &Plea,
        patience: Duration,
    ) -> Result<Accepted, PeerError>;

    /// `POST /citus` at `api_url`, once, within `patience`: tells the coordinator's leader of a change of this group's primary
    /// (contract §20). Returns when it has done what the change needs.
    async fn tell_coordinator(
        &self,
        api_url: &str,
        _event: &CitusEvent,
        _patience: Duration,
    ) -> Result<(), PeerError> {
        Err(PeerError::Unreachable(api_url.to_owned()))
    }

    /// Takes changed settings in force: whose certificates are believed, and which one is shown. What can
    /// not be used is told in the log, and the old settings stay.
    fn configure(&self, settings: &Settings);
}
