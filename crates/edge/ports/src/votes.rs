//! The book of votes: whom this member has let count its WAL in an election of quorum mode (contract §5.4, step 10).
//!
//! Votes prove that nobody has more WAL than the one who is to lead. That holds only while no former primary can get more
//! confirmed: one on a host that was suspended wakes up, writes for a moment before anything can stop it, and any voter that
//! still streams from it would confirm that. So who votes leaves its upstream first, and follows nobody else until the DCS,
//! read anew, says who leads. `docs/decisions/2026-11-27-voters-leave.md` tells the whole story.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgherd_domain::{Adjustment, Fact, LiveSeen, MemberName, Moment, PostgresSeen};
use tokio::sync::Mutex as AsyncMutex;

use crate::{Clock, LocalPostgres};

/// How long the WAL receiver may take to end.
const LEAVE_MAX: Duration = Duration::from_secs(2);
/// From one look whether it has to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Why a member does not vote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VoteRefused {
    /// The agent is only starting.
    #[error("the agent is only starting")]
    Starting,
    /// It holds the leader key itself, or runs as a primary, or is the one that asks.
    #[error("Running as a leader")]
    Leads,
    /// PostgreSQL does not answer, or something is being done to it.
    #[error("PostgreSQL is not ready to tell how far its WAL reaches: {0}")]
    NotReady(String),
    /// It could not be taken away from its upstream.
    #[error("PostgreSQL does not leave its upstream: {0}")]
    Stays(String),
}

/// The votes of one member. Cheap to clone; all clones are one book.
#[derive(Debug, Clone, Default)]
pub struct VoteBook {
    page: Arc<Mutex<Page>>,
    /// Held by whoever changes the upstream: who votes, and the agent that follows.
    upstream: Arc<AsyncMutex<()>>,
}

#[derive(Debug, Default)]
struct Page {
    /// For whom, and when.
    last: Option<(MemberName, Moment)>,
    /// A long work runs: it has an upstream that was decided before.
    is_busy: bool,
}

impl VoteBook {
    /// For whom this member has voted since `read`, when the DCS was last asked who leads; `None`: it never was.
    pub fn since(&self, read: Option<Moment>) -> Option<MemberName> {
        let page = self.page();
        let (to, at) = page.last.as_ref()?;
        read.is_none_or(|read| *at >= read).then(|| to.clone())
    }

    /// Says whether a long work runs: there is no vote meanwhile.
    pub fn note_busy(&self, is_busy: bool) {
        self.page().is_busy = is_busy;
    }

    /// Waits for a vote that is being cast; none is cast before the guard is dropped.
    pub async fn hold(&self) -> impl Drop + Send + '_ {
        self.upstream.lock().await
    }

    /// Votes for `to`: notes it, leaves whomever the server streams from, and says how far its WAL reaches then.
    ///
    /// # Errors
    /// Why `to` must not count it. The note stays: it does no harm.
    pub async fn cast(
        &self,
        to: &MemberName,
        postgres: &dyn LocalPostgres,
        clock: &dyn Clock,
    ) -> Result<LiveSeen, VoteRefused> {
        let _held = self.upstream.lock().await;
        if self.page().is_busy {
            let text = "a long work runs".to_owned();
            return Err(VoteRefused::NotReady(text));
        }
        let live = replica(postgres.observe().await)?;
        self.page().last = Some((to.clone(), clock.now()));
        if live.receiver.is_none() && live.configured_upstream.is_none() {
            return Ok(live);
        }
        let leave = Adjustment::Follow { upstream: None };
        postgres
            .adjust(&leave)
            .await
            .map_err(|error| VoteRefused::Stays(error.to_string()))?;
        let deadline = clock.now().plus(LEAVE_MAX);
        loop {
            let live = replica(postgres.observe().await)?;
            if live.receiver.is_none() {
                return Ok(live);
            }
            if clock.now() >= deadline {
                let text = format!("its WAL receiver still runs after {LEAVE_MAX:?}");
                return Err(VoteRefused::Stays(text));
            }
            clock.sleep(LOOK_AGAIN).await;
        }
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a replica that answers has said.
fn replica(seen: PostgresSeen) -> Result<LiveSeen, VoteRefused> {
    match seen.live {
        Fact::Seen { value, .. } if value.in_recovery => Ok(value),
        Fact::Seen { .. } => Err(VoteRefused::Leads),
        Fact::Unknown { why, .. } => Err(VoteRefused::NotReady(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vote_counts_until_the_dcs_was_asked_again() {
        let book = VoteBook::default();
        let at = Moment::from_millis;
        assert_eq!(book.since(None), None);
        let b = MemberName::new("b").unwrap();
        book.page().last = Some((b.clone(), at(100)));
        assert_eq!(book.since(None), Some(b.clone()), "it was never read");
        assert_eq!(book.since(Some(at(100))), Some(b), "the read may be older");
        assert_eq!(book.since(Some(at(101))), None);
    }
}
