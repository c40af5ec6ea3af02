//! `POST /switchover` and `POST /failover`: what is ordered, whether it can be, and what came of it.

use std::fmt;

use pgherd_domain::documents::{FailoverDoc, SyncDoc};
use pgherd_domain::{ClusterView, MemberName, SyncMode, Tags, WallTime};
use serde_json::{Map, Value};

use super::{Rejection, planned};
use crate::wanted::Wanted;
use crate::when::When;

/// A change of the leader: from a healthy one, or whatever state the leader is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwitchKind {
    /// The leader steps down.
    Switchover,
    /// The candidate takes over.
    Failover,
}

impl fmt::Display for SwitchKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Switchover => "switchover",
            Self::Failover => "failover",
        })
    }
}

/// An order that may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchOrder {
    /// Which of the two it is in the end: a failover from a named leader is a switchover.
    pub kind: SwitchKind,
    /// What is written to `/failover`.
    pub doc: FailoverDoc,
    /// Who leads now.
    pub from: Option<MemberName>,
    /// Whom to ask before it is written, with their `api_url`: one of them must be fit. Empty for a
    /// planned order, which is checked when its time has come.
    pub ask: Vec<(MemberName, String)>,
}

/// What came of an order so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody else leads now.
    Done(String),
    /// The order is gone and the leader is who it was.
    Failed(String),
    /// Neither yet.
    Open,
}

impl SwitchOrder {
    /// Reads and checks an order to `path` (`Switchover` or `Failover`).
    ///
    /// # Errors
    /// The codes and texts of contract §16.7.
    pub fn check(
        path: SwitchKind,
        body: &Map<String, Value>,
        view: &ClusterView,
        wanted: &Wanted,
        now: WallTime,
    ) -> Result<Self, Rejection> {
        let asked = Asked::read(path, body)?;
        let when = asked.moment(wanted, now)?;
        asked.may_be(view, wanted)?;
        let candidates = asked.candidates(view, wanted)?;
        let ask = if when.is_some() {
            Vec::new()
        } else {
            candidates
        };
        Ok(Self {
            kind: asked.kind,
            doc: FailoverDoc {
                leader: asked.leader,
                member: asked.candidate,
                scheduled_at: when.map(|when| when.schedule()),
            },
            from: view.leader_name().cloned(),
            ask,
        })
    }

    /// The answer when none of the candidates is fit.
    pub fn no_candidates(&self) -> Rejection {
        let kind = self.kind;
        Rejection::text(
            412,
            format!("{kind} is not possible: no good candidates have been found"),
        )
    }
}

/// Compares the cluster with what it was when the order was written.
pub fn judge(order: &SwitchOrder, view: &ClusterView) -> Outcome {
    let (did, began, noun) = match order.kind {
        SwitchKind::Switchover => ("switched over", "Switched over", "Switchover"),
        SwitchKind::Failover => ("failed over", "Failed over", "Failover"),
    };
    match (view.leader_name(), &order.doc.member) {
        (Some(leader), Some(wanted)) if order.from.as_ref() != Some(leader) && wanted != leader => {
            Outcome::Done(format!("{began} to \"{leader}\" instead of \"{wanted}\""))
        }
        (Some(leader), _) if order.from.as_ref() != Some(leader) => {
            Outcome::Done(format!("Successfully {did} to \"{leader}\""))
        }
        (Some(_), _) if view.failover.is_none() => Outcome::Failed(format!("{noun} failed")),
        // between two leaders the order may be gone already; the next view tells
        (Some(_) | None, _) => Outcome::Open,
    }
}

/// One value of a body. What is no text must not count as not given: an order with a moment or a candidate that
/// was not understood would be carried out now, or to another member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given<'a> {
    /// Not there, null, or empty.
    Nothing,
    Text(&'a str),
    /// A number, a list or the like.
    Other,
}

impl<'a> Given<'a> {
    fn of(value: Option<&'a Value>) -> Self {
        match value {
            None | Some(Value::Null) => Self::Nothing,
            Some(Value::String(text)) if text.is_empty() => Self::Nothing,
            Some(Value::String(text)) => Self::Text(text),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Self::Other
            }
        }
    }

    fn name(self, refusal: &str) -> Result<Option<MemberName>, Rejection> {
        let no_member = || Rejection::text(412, refusal);
        match self {
            Self::Nothing => Ok(None),
            Self::Text(text) => MemberName::new(text).map(Some).map_err(|_| no_member()),
            Self::Other => Err(no_member()),
        }
    }

    /// As it is read for a moment: what is no text is none that anybody understands.
    fn moment(self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Text(text) => Some(text.to_owned()),
            Self::Other => Some(String::new()),
        }
    }
}

/// The parts of a body.
struct Asked {
    kind: SwitchKind,
    leader: Option<MemberName>,
    candidate: Option<MemberName>,
    scheduled_at: Option<String>,
}

impl Asked {
    fn read(path: SwitchKind, body: &Map<String, Value>) -> Result<Self, Rejection> {
        let given = |name: &str| Given::of(body.get(name));
        let candidate = match given("candidate") {
            Given::Nothing => given("member"),
            candidate @ (Given::Text(_) | Given::Other) => candidate,
        };
        let leader = given("leader").name("leader name does not match")?;
        if path == SwitchKind::Failover && candidate == Given::Nothing {
            return Err(Rejection::text(
                400,
                "Failover could be performed only to a specific candidate",
            ));
        }
        if path == SwitchKind::Switchover && leader.is_none() {
            return Err(Rejection::text(
                400,
                "Switchover could be performed only from a specific leader",
            ));
        }
        let kind = if leader.is_some() {
            SwitchKind::Switchover
        } else {
            SwitchKind::Failover
        };
        let scheduled_at = given("scheduled_at");
        if path == SwitchKind::Failover && scheduled_at != Given::Nothing {
            return Err(Rejection::text(400, "Failover can't be scheduled"));
        }
        Ok(Self {
            kind,
            leader,
            candidate: candidate.name("candidate does not exists")?,
            scheduled_at: scheduled_at.moment(),
        })
    }

    fn moment(&self, wanted: &Wanted, now: WallTime) -> Result<Option<When>, Rejection> {
        match &self.scheduled_at {
            None => Ok(None),
            Some(_) if wanted.pause => Err(Rejection::text(
                400,
                "Can't schedule switchover in the paused state",
            )),
            Some(text) => planned(text, "switchover", now).map(Some),
        }
    }

    fn may_be(&self, view: &ClusterView, wanted: &Wanted) -> Result<(), Rejection> {
        if self.kind == SwitchKind::Failover {
            return Ok(());
        }
        if wanted.pause && self.candidate.is_none() {
            return Err(Rejection::text(
                400,
                "Switchover is possible only to a specific candidate in a paused state",
            ));
        }
        if self.candidate.is_some() && self.candidate == self.leader {
            return Err(Rejection::text(
                400,
                "Switchover target and source are the same",
            ));
        }
        if view.leader_name() != self.leader.as_ref() {
            return Err(Rejection::text(412, "leader name does not match"));
        }
        Ok(())
    }

    /// Who may take over, as far as the DCS tells.
    fn candidates(
        &self,
        view: &ClusterView,
        wanted: &Wanted,
    ) -> Result<Vec<(MemberName, String)>, Rejection> {
        let empty = SyncDoc::default();
        // a failover is for bad times: it may go to a member that is not synchronous
        let sync = match (wanted.sync_mode, self.kind) {
            (SyncMode::On | SyncMode::Quorum, SwitchKind::Switchover) => {
                Some(view.sync_state().unwrap_or(&empty))
            }
            (SyncMode::Off, _) | (_, SwitchKind::Failover) => None,
        };
        if let Some(candidate) = &self.candidate {
            if sync.is_some_and(|sync| !sync.has_standby(candidate)) {
                return Err(Rejection::text(
                    412,
                    "candidate name does not match with sync_standby",
                ));
            }
            let doc = view
                .members
                .get(candidate)
                .ok_or_else(|| Rejection::text(412, "candidate does not exists"))?;
            return Ok(vec![(candidate.clone(), doc.api_url.clone())]);
        }
        let others: Vec<_> = view
            .members
            .iter()
            .filter(|(name, _)| view.leader_name() != Some(name))
            .filter(|(name, _)| sync.is_none_or(|sync| sync.has_standby(name)))
            .map(|(name, doc)| (name.clone(), doc))
            .collect();
        if others.is_empty() {
            let why = match sync {
                Some(_) => "can not find sync_standby",
                None => "cluster does not have members except leader",
            };
            return Err(Rejection::text(
                412,
                format!("{} is not possible: {why}", self.kind),
            ));
        }
        let willing = others
            .into_iter()
            .filter(|(_, doc)| !Tags::from_published(&doc.tags).nofailover);
        Ok(willing
            .map(|(name, doc)| (name, doc.api_url.clone()))
            .collect())
    }
}
