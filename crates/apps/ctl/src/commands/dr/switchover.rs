//! `dr switchover`: the primary region stops writing, the other one is seen to have its last record, and only then is
//! that one promoted. Until then every failure goes back to the old primary region.

use std::time::Duration;

use pgherd_domain::{ClusterView, PgRole};
use serde_json::{Map, Value};

use super::record::{self, Entry};
use super::region::{Kind, Position, Region, kind, position, stand, writes};
use super::{TWO_PRIMARIES, against, other_session};
use crate::args::DrSwitchover;
use crate::failure::Failure;
use crate::members::{self, Member};
use crate::screen::Screen;
use crate::session::Session;

/// A stop that has begun is waited for before its server is the primary again, whatever a step may take: PostgreSQL
/// waits up to `wal_sender_timeout` (60 s) for a standby that stands still.
const STOP_MAX: Duration = Duration::from_secs(90);

/// Which region becomes which.
struct Change<'a> {
    from: &'a Region<'a>,
    to: &'a Region<'a>,
    entry: Entry,
    args: &'a DrSwitchover,
}

/// `dr switchover`
pub(super) async fn switchover(
    args: &DrSwitchover,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let other = other_session(&args.regions, session)?;
    let here = Region::open("here", session, args.regions.cluster.as_deref())?;
    let there = Region::open("there", &other, args.regions.other_cluster.as_deref())?;
    let (a, b) = (here.load().await?, there.load().await?);
    if writes(&a) && writes(&b) {
        return Err(Failure::refused(TWO_PRIMARIES));
    }
    here.show(&a, screen)?;
    there.show(&b, screen)?;
    if let Some(entry) = record::open(&a).or_else(|| record::open(&b)) {
        let from_here = record::open(&a).or_else(|| record::open(&b).map(turned));
        let from_here = from_here.is_some_and(|entry| entry.text("side") == "from");
        let (from, to) = if from_here {
            (&here, &there)
        } else {
            (&there, &here)
        };
        let change = Change {
            from,
            to,
            entry,
            args,
        };
        return change.resume(screen).await;
    }
    if args.undo {
        return Err(Failure::refused(
            "no switchover was interrupted: there is nothing to take back",
        ));
    }
    let (from, to) = if kind(&b) == Kind::Primary {
        (&there, &here)
    } else {
        (&here, &there)
    };
    let (old, new) = if kind(&b) == Kind::Primary {
        (&b, &a)
    } else {
        (&a, &b)
    };
    let ways = against(old, new);
    if !ways.is_empty() {
        return Err(Failure::Refused(format!(
            "no switchover of the regions: {}",
            ways.join("; ")
        )));
    }
    let question = format!(
        "Clients of {} lose their primary until {} is promoted. Make {} the primary region?",
        from.title(),
        to.title(),
        to.title()
    );
    if !args.force && !screen.confirm(&question)? {
        return Err(Failure::refused("Aborted switchover of the regions"));
    }
    let began = screen.stamp("%Y-%m-%dT%H:%M:%S%:z");
    let change = Change {
        from,
        to,
        entry: Entry::new("switchover", &began),
        args,
    };
    change.begin(old, new, screen).await
}

/// The same entry as the other region keeps it.
fn turned(entry: Entry) -> Entry {
    let side = if entry.text("side") == "from" {
        "to"
    } else {
        "from"
    };
    entry.with("side", side)
}

impl Change<'_> {
    /// Writes down on both sides how far it is: first where it is decided whether that may still be.
    async fn note(&mut self, state: &str, at: Option<Position>) -> Result<(), Failure> {
        let mut entry = self.entry.clone().with("state", state);
        if at.is_some() {
            entry = entry.at("last record", at);
        }
        self.entry = entry.clone();
        record::claim(self.to, &entry.clone().with("side", "to")).await?;
        record::write(self.from, &entry.with("side", "from")).await
    }

    async fn begin(
        mut self,
        old: &ClusterView,
        new: &ClusterView,
        screen: &mut Screen,
    ) -> Result<(), Failure> {
        let leader = the_leader(old)?;
        let section = self.section(new)?;
        self.note("begun", None).await?;
        self.from.set_section(&leader, section).await?;
        self.hand_over(screen).await
    }

    /// It was interrupted: goes on from where both regions are, or goes back.
    async fn resume(mut self, screen: &mut Screen) -> Result<(), Failure> {
        let (old, new) = (self.from.load().await?, self.to.load().await?);
        if let Some(entry) = record::open(&new) {
            self.entry = entry;
        }
        screen.say(&format!(
            "A switchover from {} to {} was interrupted: {}",
            self.from.title(),
            self.to.title(),
            self.entry.line()
        ))?;
        if kind(&new) == Kind::Primary {
            return self.finish(screen).await;
        }
        if self.args.undo || self.entry.text("state") == "undoing" {
            return self.undo(screen).await;
        }
        if kind(&old) == Kind::Primary {
            // The order never reached it.
            self.note("undone", None).await?;
            return screen.say("Nothing was changed yet. Call it again to begin anew");
        }
        if !self.args.force && !screen.confirm("Go on with it?")? {
            return Err(Failure::refused(
                "Aborted; nobody is the primary region now. Call it again to go on, or with --undo to go back",
            ));
        }
        self.hand_over(screen).await
    }

    /// The old region has been told. Nothing is promoted before the last record is there.
    async fn hand_over(mut self, screen: &mut Screen) -> Result<(), Failure> {
        let patience = self.args.patience();
        let stopped = self
            .from
            .wait("becoming a standby", patience, screen, |view| {
                let follows = kind(view) == Kind::Standby && !writes(view);
                position(view).filter(|_| follows)
            })
            .await?;
        let Some(last) = stopped else {
            return self
                .give_up(
                    "the old primary region did not become a standby in time",
                    screen,
                )
                .await;
        };
        if self.entry.text("state") != "promoting" {
            self.note("stopped", Some(last)).await?;
        }
        screen.say(&format!(
            "{} writes no more; its last record ends at {} on timeline {}",
            self.from.title(),
            last.lsn,
            last.timeline
        ))?;
        let ready = self
            .to
            .wait("receiving the last record", patience, screen, |view| {
                let at = position(view)?;
                let has = at.timeline == last.timeline && at.lsn >= last.lsn;
                (has && kind(view) == Kind::Standby).then_some(())
            })
            .await?;
        if ready.is_none() {
            return self
                .give_up(
                    "the other region did not receive the last record in time",
                    screen,
                )
                .await;
        }
        let new = self.to.load().await?;
        let leader = the_leader(&new)?;
        self.note("promoting", Some(last)).await?;
        self.to.set_section(&leader, Value::Null).await?;
        let promoted = self
            .to
            .wait("being promoted", patience, screen, |view| {
                (kind(view) == Kind::Primary).then_some(())
            })
            .await?;
        if promoted.is_none() {
            return Err(Failure::Refused(format!(
                "{} was told to become the primary region and is not yet: look at `pgherd list` there. Call the \
                 command again to see it through. Do not take it back: it may be promoted any moment",
                self.to.title()
            )));
        }
        self.finish(screen).await
    }

    /// The new region is the primary one; the old one is seen to follow it.
    async fn finish(mut self, screen: &mut Screen) -> Result<(), Failure> {
        let new = self.to.load().await?;
        let timeline = position(&new).map(|at| at.timeline);
        let follows = self
            .from
            .wait(
                "following the new primary region",
                self.args.patience(),
                screen,
                |view| {
                    let (_, doc) = members::leader(view)?;
                    let streams = doc.replication_state.as_deref() == Some("streaming");
                    let fits = kind(view) == Kind::Standby && streams && doc.timeline >= timeline;
                    fits.then_some(())
                },
            )
            .await?;
        self.note("done", None).await?;
        let stamp = screen.stamp("%Y-%m-%d %H:%M:%S");
        screen.say(&format!(
            "{stamp} Successfully switched over to the region {}",
            self.to.title()
        ))?;
        for region in [self.from, self.to] {
            let view = region.load().await?;
            region.show(&view, screen)?;
        }
        match follows {
            Some(()) => Ok(()),
            None => Err(Failure::Refused(format!(
                "{} does not follow yet. Nothing is lost; look at `pgherd list` and the log of its leader there",
                self.from.title()
            ))),
        }
    }

    /// Before the promotion everything goes back.
    async fn give_up(self, why: &str, screen: &mut Screen) -> Result<(), Failure> {
        let question = format!("{why}. Make the old region the primary one again?");
        if !self.args.force && !screen.confirm(&question)? {
            return Err(Failure::Refused(format!(
                "{why}. Nobody is the primary region now. Call the command again to go on, or with --undo to go back"
            )));
        }
        self.undo(screen).await?;
        Err(Failure::Refused(format!("taken back: {why}")))
    }

    /// The region that was the primary one becomes it again, unless the other one already is.
    async fn undo(mut self, screen: &mut Screen) -> Result<(), Failure> {
        let new = self.to.load().await?;
        if !matches!(kind(&new), Kind::Standby | Kind::StandbyWithoutLeader) || writes(&new) {
            return Err(Failure::Refused(format!(
                "{} may be promoted any moment ({}): taking the switchover back now would make two primaries. \
                 Call it again without --undo",
                self.to.title(),
                stand(&new)
            )));
        }
        let old = self.from.load().await?;
        self.note("undoing", None).await?;
        if kind(&old) != Kind::Primary {
            let leader = the_leader(&old)?;
            self.from.set_section(&leader, Value::Null).await?;
        }
        let back = self
            .from
            .wait(
                "becoming the primary region again",
                self.args.patience().max(STOP_MAX),
                screen,
                |view| (kind(view) == Kind::Primary).then_some(()),
            )
            .await?;
        if back.is_none() {
            return Err(Failure::Refused(format!(
                "{} does not become the primary region again: look at `pgherd list` there, then call this again",
                self.from.title()
            )));
        }
        self.note("undone", None).await?;
        screen.say(&format!(
            "{} is the primary region again",
            self.from.title()
        ))
    }

    /// What the old region is to follow: the members of the new one, its leader first.
    fn section(&self, new: &ClusterView) -> Result<Value, Failure> {
        let (leader, doc) = the_leader(new)?;
        let Some((first, port)) = doc.address() else {
            return Err(Failure::Refused(format!("{leader} tells no address")));
        };
        let mut hosts = vec![first];
        for (name, doc) in &new.members {
            if *name != leader
                && let Some((host, _)) = doc.address().filter(|(_, other)| *other == port)
            {
                hosts.push(host);
            }
        }
        let mut section = Map::new();
        let host = self.args.host.clone().unwrap_or_else(|| hosts.join(","));
        section.insert("host".into(), host.into());
        section.insert("port".into(), self.args.port.unwrap_or(port).into());
        Ok(section.into())
    }
}

fn the_leader(view: &ClusterView) -> Result<Member, Failure> {
    let leader = members::leader(view).filter(|(_, doc)| doc.role != Some(PgRole::Uninitialized));
    leader.ok_or_else(|| {
        Failure::refused("a region has no leader now; wait until it has one, then call this again")
    })
}
