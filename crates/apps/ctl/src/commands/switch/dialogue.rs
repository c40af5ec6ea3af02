//! The dialogue before a switchover or failover: what is not given is asked for, and what can not be is
//! refused before anything is sent.

use pgherd_api::role::ClusterRole;
use pgherd_api::wanted::Wanted;
use pgherd_api::when::When;
use pgherd_domain::documents::FailoverDoc;
use pgherd_domain::{ClusterView, MemberName, Tags};
use serde_json::{Map, Value};

use super::Wish;
use crate::commands::moment;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::Cluster;

/// Everything that is decided.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) leader: Option<MemberName>,
    pub(super) candidate: Option<MemberName>,
    pub(super) when: Option<When>,
}

impl Order {
    pub(super) fn body(&self) -> Value {
        let mut body = Map::new();
        let mut put = |key: &str, text: Option<String>| {
            if let Some(text) = text {
                body.insert(key.to_owned(), text.into());
            }
        };
        put("leader", self.leader.as_ref().map(ToString::to_string));
        put(
            "candidate",
            self.candidate.as_ref().map(ToString::to_string),
        );
        put("scheduled_at", self.when.map(|when| when.iso()));
        body.into()
    }

    pub(super) fn doc(&self) -> FailoverDoc {
        FailoverDoc {
            leader: self.leader.clone(),
            member: self.candidate.clone(),
            scheduled_at: self.when.map(|when| when.schedule()),
        }
    }
}

/// The questions, and the checks that need no member.
pub(super) struct Dialogue<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) view: &'a ClusterView,
    pub(super) wanted: Wanted,
    pub(super) wish: Wish,
}

impl Dialogue<'_> {
    pub(super) const fn verb(&self) -> &'static str {
        if self.wish.is_failover {
            "failover"
        } else {
            "switchover"
        }
    }

    pub(super) fn hold(&self, screen: &mut Screen) -> Result<Order, Failure> {
        let leader = if self.wish.is_failover {
            None
        } else {
            Some(self.leader(screen)?)
        };
        let candidate = self.candidate(screen)?;
        if self.wish.is_failover {
            self.agree_to_lose(candidate.as_ref(), screen)?;
        }
        let when = if self.wish.is_failover {
            None
        } else {
            self.when(screen)?
        };
        self.agree(when.as_ref(), screen)?;
        Ok(Order {
            leader,
            candidate,
            when,
        })
    }

    fn leader(&self, screen: &mut Screen) -> Result<MemberName, Failure> {
        let Some(leader) = self.view.leader_name() else {
            return Err(Failure::refused("This cluster has no leader"));
        };
        let given = match &self.wish.leader {
            Some(given) => given.clone(),
            None if self.wish.force => leader.to_string(),
            None => {
                let title = if self.wanted.standby_cluster {
                    "Standby Leader"
                } else {
                    "Primary"
                };
                screen.ask(title, Some(leader.as_str()))?
            }
        };
        if given == leader.as_str() {
            Ok(leader.clone())
        } else {
            let cluster = &self.cluster.name;
            Err(Failure::Refused(format!(
                "Member {given} is not the leader of cluster {cluster}"
            )))
        }
    }

    fn candidate(&self, screen: &mut Screen) -> Result<Option<MemberName>, Failure> {
        let leader = self.view.leader_name();
        let willing: Vec<&str> = self
            .view
            .members
            .iter()
            .filter(|(name, doc)| {
                leader != Some(name) && !Tags::from_published(&doc.tags).nofailover
            })
            .map(|(name, _)| name.as_str())
            .collect();
        if willing.is_empty() {
            return Err(Failure::Refused(format!(
                "No candidates found to {} to",
                self.verb()
            )));
        }
        let given = match &self.wish.candidate {
            Some(given) => given.clone(),
            None if self.wish.force => String::new(),
            None => {
                let list: Vec<String> = willing.iter().map(|name| format!("'{name}'")).collect();
                screen.ask(&format!("Candidate [{}]", list.join(", ")), Some(""))?
            }
        };
        if given.is_empty() {
            return if self.wish.is_failover {
                Err(Failure::refused(
                    "Failover could be performed only to a specific candidate",
                ))
            } else {
                Ok(None)
            };
        }
        let cluster = &self.cluster.name;
        if leader.is_some_and(|leader| leader.as_str() == given) {
            return Err(Failure::Refused(format!(
                "Member {given} is already the leader of cluster {cluster}"
            )));
        }
        MemberName::new(&given)
            .ok()
            .filter(|name| willing.contains(&name.as_str()))
            .map(Some)
            .ok_or_else(|| {
                Failure::Refused(format!(
                    "Member {given} does not exist in cluster {cluster} or is tagged as nofailover"
                ))
            })
    }

    /// A member that is not synchronous may lack commits that were acknowledged.
    fn agree_to_lose(
        &self,
        candidate: Option<&MemberName>,
        screen: &mut Screen,
    ) -> Result<(), Failure> {
        let Some(candidate) = candidate else {
            return Ok(());
        };
        let is_safe = match ClusterRole::of(candidate, self.view, &self.wanted) {
            ClusterRole::Replica => self.view.sync_state().is_none(),
            ClusterRole::Leader
            | ClusterRole::StandbyLeader
            | ClusterRole::SyncStandby
            | ClusterRole::QuorumStandby => true,
        };
        let question =
            format!("Are you sure you want to failover to the asynchronous node {candidate}?");
        if is_safe || self.wish.force || screen.confirm(&question)? {
            Ok(())
        } else {
            Err(Failure::refused("Aborting failover"))
        }
    }

    fn when(&self, screen: &mut Screen) -> Result<Option<When>, Failure> {
        let question = "When should the switchover take place (e.g. {} ) ";
        let when = moment(
            self.wish.scheduled.as_deref(),
            question,
            self.wish.force,
            screen,
        )?;
        if when.is_some() && self.wanted.pause {
            return Err(Failure::refused(
                "Can't schedule switchover in the paused state",
            ));
        }
        Ok(when)
    }

    fn agree(&self, when: Option<&When>, screen: &mut Screen) -> Result<(), Failure> {
        if self.wish.force {
            return Ok(());
        }
        let (verb, cluster) = (self.verb(), &self.cluster.name);
        let demoting = self.view.leader_name().map_or_else(String::new, |leader| {
            format!(", demoting current leader {leader}")
        });
        let (question, aborting) = match when {
            Some(when) => (
                format!(
                    "Are you sure you want to schedule {verb} of cluster {cluster} at {}{demoting}?",
                    when.iso()
                ),
                format!("Aborting scheduled {verb}"),
            ),
            None => (
                format!("Are you sure you want to {verb} cluster {cluster}{demoting}?"),
                format!("Aborting {verb}"),
            ),
        };
        if screen.confirm(&question)? {
            Ok(())
        } else {
            Err(Failure::Refused(aborting))
        }
    }

    /// The leader; without one the candidate.
    pub(super) fn whom_to_ask(&self, order: &Order) -> Option<String> {
        let candidate = order
            .candidate
            .as_ref()
            .and_then(|name| self.view.members.get(name));
        let doc = self.view.leader_member().or(candidate)?;
        Some(doc.api_url.clone()).filter(|url| !url.is_empty())
    }
}
