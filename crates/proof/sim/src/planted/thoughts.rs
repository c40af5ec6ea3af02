//! Bugs between what a turn sees and what it does. They come after the guard, so that what is found is found in
//! the world, and not by the guard.

use std::collections::BTreeSet;

use pgherd_agent::{Think, Thought, think};
use pgherd_domain::documents::SyncDoc;
use pgherd_domain::{
    Action, Adjustment, ClusterSpec, ClusterView, Entry, Fact, MemberName, Observation, PeerSeen,
    Question, StartAs, Work, WorkKind,
};

use super::Planted;
use crate::process::Process;

/// How an agent with this bug thinks.
pub(crate) fn in_thoughts(bug: Planted, process: &Process) -> Think {
    let process = process.clone();
    Box::new(move |spec, memory, seen| {
        let mut seen = seen.clone();
        see_wrongly(bug, spec, &mut seen, &process);
        let mut thought = think(spec, memory, &seen);
        do_wrongly(bug, spec, &seen, &mut thought);
        thought
    })
}

/// What a turn takes for true.
fn see_wrongly(bug: Planted, spec: &ClusterSpec, seen: &mut Observation, process: &Process) {
    match bug {
        Planted::LeaseFromAnswer => {
            let Process { world, me, .. } = process;
            let delay = world.look(|state| state.host(me).planted_delay);
            seen.lease.good_until = seen.lease.good_until.map(|until| until.plus(delay));
        }
        Planted::SyncIgnoredInRace => {
            let replica = !seen.postgres.runs_as_primary();
            if let Some(sync) = known(seen).and_then(|view| view.sync.as_mut())
                && replica
            {
                sync.value.standbys.insert(spec.me.clone());
            }
        }
        Planted::QuorumIgnored => {
            let replica = !seen.postgres.runs_as_primary();
            if let Some(sync) = known(seen).and_then(|view| view.sync.as_mut())
                && replica
            {
                sync.value.quorum = 0;
            }
        }
        Planted::TimelineIgnored => {
            if let Some(view) = known(seen) {
                view.history = None;
            }
            for peer in seen.peers.values_mut() {
                if let PeerSeen::Answered { status, .. } = peer {
                    status.timeline = None;
                }
            }
        }
        Planted::RaceWithoutAsking => {
            let asked = seen.now;
            let Process { world, me, .. } = process;
            let all: Vec<MemberName> = world.look(|state| state.hosts.keys().cloned().collect());
            let others = all.into_iter().filter(|name| name != me);
            seen.peers = others
                .map(|name| {
                    let why = "not asked".to_owned();
                    (name, PeerSeen::Unreachable { asked, why })
                })
                .collect();
        }
        _ => {}
    }
}

fn known(seen: &mut Observation) -> Option<&mut ClusterView> {
    match &mut seen.dcs {
        Fact::Seen { value, .. } => Some(value),
        Fact::Unknown { .. } => None,
    }
}

/// What a turn does beside or instead of what it decided.
fn do_wrongly(bug: Planted, spec: &ClusterSpec, seen: &Observation, thought: &mut Thought) {
    let actions = &mut thought.actions;
    match bug {
        Planted::PromoteBeforeKey if actions.contains(&Action::AcquireLeader) => {
            promote(spec, seen, actions);
        }
        Planted::PromoteWithoutSync if is_about_to_promote(seen) => {
            let before = actions.len();
            actions.retain(|action| !matches!(action, Action::WriteSync { .. }));
            if actions.len() < before {
                promote(spec, seen, actions);
            }
        }
        Planted::ReleaseBeforeStop => release_before_stop(spec, seen, actions),
        Planted::SilenceIsStopped
            if seen.lease.is_mine(seen.now) && seen.postgres.live.known().is_none() =>
        {
            actions.insert(0, Action::ReleaseLeader { optime: None });
        }
        Planted::StalePrimaryStarts if nobody_leads(seen) => {
            start_as_it_was(seen, actions);
        }
        Planted::NamesBeforeSync => names_before_sync(seen, actions),
        Planted::SyncBeforeNames => sync_before_names(spec, seen, actions, |_, _| 0),
        Planted::QuorumBeforeNames => {
            sync_before_names(spec, seen, actions, |count, names| {
                names.saturating_sub(count)
            });
        }
        Planted::RewindSkipped => skip_rewind(spec, actions),
        Planted::VotersStay => {
            for action in actions {
                if let Action::Ask(Question::Peer { vote_for, .. }) = action {
                    *vote_for = None;
                }
            }
        }
        Planted::OpensAtOnce => {
            let closed = seen.postgres.entry == Entry::Closed;
            if closed && seen.postgres.live.known().is_some() {
                actions.push(Action::Adjust(Adjustment::OpenEntry));
            }
        }
        Planted::OldDirectoryRemoved => {
            let copied = seen
                .work
                .ended
                .as_ref()
                .is_some_and(|end| end.work.kind() == WorkKind::Clone && end.result.is_ok());
            if copied {
                actions.push(Action::Adjust(Adjustment::ForgetOldDirectory));
            }
        }
        _ => {}
    }
}

fn nobody_leads(seen: &Observation) -> bool {
    seen.dcs.known().is_some_and(|view| view.leader.is_none())
}

/// A replica holds the key.
fn is_about_to_promote(seen: &Observation) -> bool {
    let mine = seen.lease.is_mine(seen.now);
    mine && !seen.postgres.runs_as_primary()
}

fn promote(spec: &ClusterSpec, seen: &Observation, actions: &mut Vec<Action>) {
    let replica = seen.postgres.live.known().is_some_and(|it| it.in_recovery);
    if replica && seen.work.running.is_none() {
        let valid_until = seen.now.plus(spec.ttl);
        actions.push(Action::Begin(Work::promote(valid_until)));
    }
}

fn release_before_stop(spec: &ClusterSpec, seen: &Observation, actions: &mut Vec<Action>) {
    let stop = actions
        .iter()
        .position(|action| matches!(action, Action::Begin(Work::Stop { .. })));
    if let Some(stop) = stop
        && seen.lease.is_mine(seen.now)
        && !spec.pause
    {
        actions.insert(stop, Action::ReleaseLeader { optime: None });
    }
}

/// As an init system does, or a container that is started again.
fn start_as_it_was(seen: &Observation, actions: &mut [Action]) {
    let control = seen.postgres.control();
    let was_primary = control.is_some_and(|control| control.state.was_primary());
    for action in actions {
        if let Action::Begin(Work::Start { start_as, .. }) = action
            && was_primary
            && !seen.postgres.standby_signal
        {
            *start_as = StartAs::Primary { valid_until: None };
        }
    }
}

/// Before `/sync` shrinks, and in the same turn.
fn names_before_sync(seen: &Observation, actions: &mut Vec<Action>) {
    let was = seen.dcs.known().and_then(|view| view.sync_state());
    let shrinks = actions.iter().position(|action| match (action, was) {
        (Action::WriteSync { doc, .. }, Some(was)) => !was.standbys.is_subset(&doc.standbys),
        (_, _) => false,
    });
    let Some(at) = shrinks else { return };
    let Some(Action::WriteSync { doc, .. }) = actions.get(at) else {
        return;
    };
    let names: Vec<&str> = doc.standbys.iter().map(MemberName::as_str).collect();
    let setting = match names.len() {
        0 | 1 => names.concat(),
        many => format!("{many} ({})", names.join(",")),
    };
    if seen.postgres.runs_as_primary() {
        let change = Adjustment::SetSynchronousStandbyNames(Some(setting));
        actions.insert(at, Action::Adjust(change));
    }
}

/// With the setting, and not when the standby has caught up with what was there before it.
fn sync_before_names(
    spec: &ClusterSpec,
    seen: &Observation,
    actions: &mut Vec<Action>,
    quorum: impl Fn(usize, usize) -> usize,
) {
    let Some(sync) = seen.dcs.known().and_then(|view| view.sync.as_ref()) else {
        return;
    };
    let set = actions.iter().position(|action| {
        matches!(
            action,
            Action::Adjust(Adjustment::SetSynchronousStandbyNames(Some(_)))
        )
    });
    let Some(at) = set.filter(|_| sync.value.leader.as_ref() == Some(&spec.me)) else {
        return;
    };
    let Some(Action::Adjust(Adjustment::SetSynchronousStandbyNames(Some(setting)))) =
        actions.get(at)
    else {
        return;
    };
    let list = setting.split_once('(').map_or(setting.as_str(), |it| it.1);
    let standbys: BTreeSet<MemberName> = list
        .trim_end_matches(')')
        .split(',')
        .filter_map(|name| MemberName::new(name.trim().trim_matches('"')).ok())
        .filter(|name| name.as_str() != "*")
        .collect();
    let count = setting.split_once('(').and_then(|(head, _)| {
        let count = head.split_whitespace().last();
        count.and_then(|count| count.parse().ok())
    });
    let quorum = quorum(count.unwrap_or(1), standbys.len());
    let doc = SyncDoc {
        leader: Some(spec.me.clone()),
        quorum: u64::try_from(quorum).unwrap_or(0),
        standbys,
    };
    let expected = Some(sync.revision);
    actions.insert(at, Action::WriteSync { doc, expected });
}

fn skip_rewind(spec: &ClusterSpec, actions: &mut [Action]) {
    for action in actions {
        if let Action::Begin(Work::Rewind { source }) = action {
            let upstream = Some(source.clone());
            *action = Action::Begin(Work::Start {
                start_as: StartAs::Replica { upstream },
                timeout: spec.primary_start_timeout,
            });
        }
    }
}
