//! Clients stay out of a server that may show them commits which can vanish yet: a primary that is started again, until
//! the standbys of `/sync` have what its WAL held; a former primary that comes back as a replica, until it streams.
//!
//! PostgreSQL shows a commit that waits for a standby as soon as it is started anew, whether or not a standby has it.
//! `docs/decisions/2026-11-26-closed-until-confirmed.md` says why and how.

use std::time::Duration;

use pgherd_domain::documents::SyncDoc;
use pgherd_domain::{
    Action, Adjustment, Entry, LiveSeen, Lsn, MemberName, Moment, Notice, PgRole, Reason, SyncMode,
    WorkKind,
};

use crate::turn::Turn;

/// So long a closed primary waits for the members of `/sync` that run to come back, before it lets go of them as of
/// any standby that does not stream: `wal_retrieve_retry_interval`, for those that nobody tells, and a second.
const RETURN: Duration = Duration::from_secs(6);

/// From one look for the upstream to the next, while PostgreSQL would wait for longer.
const SEEKING: Duration = Duration::from_secs(1);
/// After so long PostgreSQL is left to its own pace.
const SEEKING_MAX: Duration = Duration::from_secs(30);

/// A primary that runs closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClosedPrimary {
    /// `pg_postmaster_start_time()`: of which server this is.
    pub started: String,
    /// Where its WAL ended when it was first seen: what it held at its start lies before.
    pub end: Lsn,
    /// When that was.
    pub since: Moment,
}

impl Turn<'_> {
    /// Before a start: clients are kept out of a server that may hold commits which they must not see yet. A primary
    /// holds what waited for standbys when it ended.
    pub(crate) fn close_if_unconfirmed(&mut self) {
        if self.pg().entry == Entry::Open && self.may_hold_unconfirmed() {
            self.actions.push(Action::Adjust(Adjustment::CloseEntry));
        }
    }

    fn may_hold_unconfirmed(&self) -> bool {
        // A start as a replica that failed has left its signal file.
        let was_primary = self.pg().runs_as_primary()
            || (!self.memory.is_theirs
                && self
                    .control()
                    .is_some_and(|control| control.state.was_primary()));
        let strict = self.spec.synchronous_mode_strict;
        let others = |sync: &SyncDoc| {
            strict || sync.leader.as_ref() != Some(&self.spec.me) || self.demanded(sync) > 0
        };
        let named = match self.last_sync() {
            Some(sync) => others(sync),
            None => self.has_read_nothing(),
        };
        was_primary && self.is_synchronous() && named
    }

    /// Whether a synchronous mode is in force, as far as it is known: until the store was read once, and where nothing was
    /// kept of its configuration, it may be.
    fn is_synchronous(&self) -> bool {
        let unknown = self.has_read_nothing() && !self.spec.knows_config;
        (unknown || self.spec.synchronous_mode != SyncMode::Off) && !self.is_standby_cluster()
    }

    fn has_read_nothing(&self) -> bool {
        self.view().is_none() && self.seen.dcs.last().is_none()
    }

    /// At the end of every turn: opens what need not be closed any more, and says what is waited for.
    pub(crate) fn keep_entry(&mut self) {
        self.tell_unclosable();
        let busy = self
            .seen
            .work
            .kind()
            .is_some_and(|kind| kind != WorkKind::Checkpoint);
        if self.pg().entry != Entry::Closed {
            self.memory.closed = None;
            return;
        }
        if self.pg().is_running() && !self.pg().accepting
            || self.seen.work.kind() == Some(WorkKind::Start)
        {
            // Shown before it is up: nobody is to be sent to it in between.
            self.closed = Some("closed to clients until it is known what it holds".into());
        }
        if busy || self.begins_work() {
            return;
        }
        let exits = |action: &Action| matches!(action, Action::Exit { .. });
        if let Some(exit) = self.actions.iter().position(exits) {
            // Whoever comes after this agent must not find a closed server, or a closed file.
            return self
                .actions
                .insert(exit, Action::Adjust(Adjustment::OpenEntry));
        }
        if !self.pg().is_running() || !self.pg().accepting {
            return;
        }
        match self.why_closed() {
            None => {
                self.memory.closed = None;
                self.say(Reason::Note("opening PostgreSQL to clients".into()));
                self.actions.push(Action::Adjust(Adjustment::OpenEntry));
            }
            Some(why) => {
                self.say(Reason::Note(why.clone()));
                self.closed = Some(why);
            }
        }
    }

    fn tell_unclosable(&mut self) {
        if let Entry::Unclosable { why } = &self.pg().entry
            && self.spec.synchronous_mode != SyncMode::Off
        {
            self.notice(Notice::warn(format!(
                "PostgreSQL can not be closed to clients when it is started again: {why}. After a crash they may see \
                 commits that no standby has yet"
            )));
        }
    }

    fn why_closed(&mut self) -> Option<String> {
        if !self.is_synchronous() {
            return None;
        }
        let Some(live) = self.live() else {
            return Some("closed to clients while PostgreSQL does not answer".into());
        };
        if live.in_recovery {
            return self.why_replica_is_closed(live);
        }
        if !self.seen.lease.is_mine(self.now()) {
            let why = "closed to clients until the leader key is this member's";
            return (!self.spec.pause).then(|| why.into());
        }
        let end = self.note_end(live);
        let sync = self.last_sync();
        let Some(sync) = sync.filter(|sync| sync.leader.as_ref() == Some(&self.spec.me)) else {
            return Some("closed to clients until /sync is this member's".into());
        };
        let (demanded, confirmed) = (self.demanded(sync), self.confirmations(sync, live, end));
        // Strict mode: what clients see is never on one server only.
        let alone = self.spec.synchronous_mode_strict && !self.somebody_has(live, end);
        if confirmed >= demanded && !alone {
            return None;
        }
        let connected = !live.replication.is_empty();
        let names: Vec<&str> = self.voters(sync).map(MemberName::as_str).collect();
        let whom = match names.as_slice() {
            [] => "a standby".to_owned(),
            [one] => (*one).to_owned(),
            several => format!("{demanded} of {}", several.join(", ")),
        };
        self.wake_in(Duration::from_millis(if connected { 50 } else { 500 }));
        Some(format!(
            "closed to clients until {whom} has the WAL up to {end}: it may hold commits that no standby has"
        ))
    }

    /// Streaming alone proves nothing: a standby that is told to follow a member which is still to be promoted streams from
    /// it, whatever it has beyond that one's WAL. On the timeline of a primary its WAL was found to be a part of that
    /// one's history.
    fn why_replica_is_closed(&self, live: &LiveSeen) -> Option<String> {
        let leader = self.view().and_then(|view| view.leader_member());
        let leader = leader.filter(|leader| leader.role == Some(PgRole::Primary));
        let streams = live.receiver.as_ref().is_some_and(|receiver| {
            let its_timeline =
                leader.is_some_and(|leader| leader.timeline == Some(receiver.timeline));
            receiver.streaming && its_timeline && live.replayed <= receiver.latest_end
        });
        let why = "closed to clients until it streams from a primary: it was one, and may hold commits that nobody else has";
        (!streams && !self.spec.tags.nostream).then(|| why.into())
    }

    /// Where the WAL of this very server ended when it was first seen to be closed.
    fn note_end(&mut self, live: &LiveSeen) -> Lsn {
        let known = self.memory.closed.take();
        let since = self.now();
        let closed = known
            .filter(|closed| closed.started == live.started_at)
            .unwrap_or_else(|| ClosedPrimary {
                started: live.started_at.clone(),
                end: live.flushed,
                since,
            });
        self.memory.closed.insert(closed).end
    }

    /// `/sync` as last read. Only the leader changes it, so while I lead it is what I wrote.
    fn last_sync(&self) -> Option<&SyncDoc> {
        let view = self.view().or_else(|| self.seen.dcs.last());
        view?.sync_state()
    }

    fn voters<'s>(&'s self, sync: &'s SyncDoc) -> impl Iterator<Item = &'s MemberName> {
        let me = self.spec.me.as_str();
        sync.standbys.iter().filter(move |name| !name.same_as(me))
    }

    /// So many of `/sync` must have a record before nobody can lead without it: all of them, or in quorum mode all but
    /// the votes that an election takes.
    fn demanded(&self, sync: &SyncDoc) -> usize {
        let votes = usize::try_from(sync.quorum).unwrap_or(usize::MAX);
        self.voters(sync).count().saturating_sub(votes)
    }

    fn somebody_has(&self, live: &LiveSeen, end: Lsn) -> bool {
        self.view().is_some_and(|view| {
            view.members.keys().any(|name| {
                live.senders_to(name)
                    .any(|sender| sender.flush >= Some(end))
            })
        })
    }

    fn confirmations(&self, sync: &SyncDoc, live: &LiveSeen, end: Lsn) -> usize {
        let has = |name: &&MemberName| {
            live.senders_to(name)
                .any(|sender| sender.flush >= Some(end))
        };
        self.voters(sync).filter(has).count()
    }

    /// Whether `/sync` stays as it is for a moment: the server is closed, and its standbys are about to come back.
    /// Without that it would let go of all of them in the first turn, and nobody could take over before they are back.
    pub(crate) fn awaits_standbys(&mut self, sync: &SyncDoc, live: &LiveSeen) -> bool {
        let now = self.now();
        if self.pg().entry != Entry::Closed {
            return false;
        }
        let end = self.note_end(live);
        let since = self.memory.closed.as_ref().map_or(now, |it| it.since);
        let back = self.confirmations(sync, live, end) > 0;
        let expected = self.voters(sync).any(|name| self.may_connect(name));
        let waits = !back && expected && now.since(since) < RETURN;
        if waits {
            self.wake_at(since.plus(RETURN));
        }
        waits
    }

    /// A standby whose leader was away and is back looks for it at once. A commit, and a leader that is closed to
    /// clients, may be waiting for it.
    pub(crate) fn seek(&mut self, leader: &MemberName) {
        let now = self.now();
        let member = self.view().and_then(|view| view.members.get(leader));
        let is_up = member
            .is_some_and(|member| member.is_running() && member.role == Some(PgRole::Primary));
        let receives = self.live().is_none_or(|live| live.receiver.is_some());
        if !is_up || receives || self.spec.synchronous_mode == SyncMode::Off {
            return;
        }
        if let Some((first, last)) = self.memory.sought
            && (now.since(first) > SEEKING_MAX || now.since(last) < SEEKING)
        {
            return;
        }
        let (first, _) = self.memory.sought.unwrap_or((now, now));
        self.memory.sought = Some((first, now));
        self.actions.push(Action::Adjust(Adjustment::SeekUpstream));
        self.wake_in(SEEKING);
    }
}
