//! One region: its cluster as it is now, and what can be told it.

use std::time::Duration;

use pgherd_api::wanted::Wanted;
use pgherd_domain::{ClusterView, Lsn, PgRole, TimelineId};
use serde_json::Value;

use crate::commands::standby;
use crate::failure::Failure;
use crate::members::{self, Member};
use crate::screen::Screen;
use crate::session::{Cluster, Session};

/// How often a region is looked at while it changes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// One of the two regions.
pub(super) struct Region<'a> {
    /// How people call it: `here` or `there`.
    pub(super) word: &'static str,
    pub(super) cluster: Cluster,
    session: &'a Session,
}

/// What a region is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It has a primary that runs.
    Primary,
    /// It follows, and its standby leader runs.
    Standby,
    /// It follows, and nobody leads it.
    StandbyWithoutLeader,
    /// It follows nobody, and has no primary.
    Down,
    /// It is on the way from one to the other.
    Between,
}

/// How far a leader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) timeline: TimelineId,
    pub(super) lsn: Lsn,
}

impl<'a> Region<'a> {
    pub(super) fn open(
        word: &'static str,
        session: &'a Session,
        name: Option<&str>,
    ) -> Result<Self, Failure> {
        let cluster = session.own_cluster(name)?;
        Ok(Self {
            word,
            cluster,
            session,
        })
    }

    /// Its name for people.
    pub(super) fn title(&self) -> String {
        format!("{} ({})", self.cluster, self.word)
    }

    pub(super) async fn load(&self) -> Result<ClusterView, Failure> {
        self.cluster.load().await
    }

    pub(super) fn show(&self, view: &ClusterView, screen: &mut Screen) -> Result<(), Failure> {
        screen.say(&format!("Region {}", self.title()))?;
        members::show(&self.cluster, view, screen)
    }

    /// Sets `standby_cluster` over the leader, which looks at the change at once.
    pub(super) async fn set_section(&self, leader: &Member, section: Value) -> Result<(), Failure> {
        let action = match section {
            Value::Null => "promote region",
            _ => "demote region",
        };
        standby::send(leader, &section, action, self.session).await
    }

    /// Waits until `reached` gives something; tells each change of how far it is.
    pub(super) async fn wait<T>(
        &self,
        what: &str,
        patience: Duration,
        screen: &mut Screen,
        reached: impl Fn(&ClusterView) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let began = tokio::time::Instant::now();
        let mut told = String::new();
        loop {
            // A store that is away for a moment is no reason to leave a switchover half done.
            let line = match self.load().await {
                Ok(view) => {
                    if let Some(found) = reached(&view) {
                        return Ok(Some(found));
                    }
                    stand(&view)
                }
                Err(error) => error.to_string(),
            };
            if began.elapsed() >= patience {
                return Ok(None);
            }
            if line != told {
                let stamp = screen.stamp("%Y-%m-%d %H:%M:%S");
                screen.say(&format!("{stamp} {}: {what}: {line}", self.title()))?;
                told = line;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// What a cluster is.
pub(super) fn kind(view: &ClusterView) -> Kind {
    let leader = members::leader(view).filter(|(_, doc)| doc.is_running());
    let role = leader.and_then(|(_, doc)| doc.role);
    match (Wanted::of(view).standby_cluster, role) {
        (false, Some(PgRole::Primary)) => Kind::Primary,
        (true, Some(PgRole::StandbyLeader)) => Kind::Standby,
        (true, None) => Kind::StandbyWithoutLeader,
        (false, None) => Kind::Down,
        (_, Some(_)) => Kind::Between,
    }
}

/// Whether somebody in it says that it accepts writes.
pub(super) fn writes(view: &ClusterView) -> bool {
    let mut members = view.members.values();
    members.any(|doc| doc.role == Some(PgRole::Primary) && doc.is_running())
}

/// How far its leader is.
pub(super) fn position(view: &ClusterView) -> Option<Position> {
    let (_, doc) = members::leader(view)?;
    Some(Position {
        timeline: doc.timeline?,
        lsn: doc.xlog_location?,
    })
}

/// One line about a cluster.
pub(super) fn stand(view: &ClusterView) -> String {
    let what = match kind(view) {
        Kind::Primary => "primary region",
        Kind::Standby => "standby region",
        Kind::StandbyWithoutLeader => "standby region without a leader",
        Kind::Down => "no primary",
        Kind::Between => "changing",
    };
    let Some((name, doc)) = members::leader(view) else {
        return what.to_owned();
    };
    let role = doc.role.map_or("unknown", PgRole::text);
    let state = doc.state.as_ref().map_or("unknown", |state| state.text());
    let mut text = format!("{what}, leader {name} ({role}, {state}");
    if let Some(streams) = &doc.replication_state {
        text.push_str(&format!(", {streams}"));
    }
    text.push(')');
    if let Some(at) = position(view) {
        text.push_str(&format!(", timeline {}, WAL at {}", at.timeline, at.lsn));
    }
    text
}
