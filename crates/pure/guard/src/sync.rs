//! Synchronous mode: `/sync` never names who may miss an acknowledged commit.

use pgherd_domain::documents::SyncDoc;
use pgherd_domain::{ClusterSpec, MemberName, NOBODY, Observation, PeerSeen, SyncMode};

use crate::{Note, note};

/// G-09: in synchronous mode `/sync` names the leader before it is promoted.
pub(crate) fn names_me(spec: &ClusterSpec, seen: &Observation) -> Option<Note> {
    if spec.synchronous_mode == SyncMode::Off {
        return None;
    }
    let sync = seen.dcs.known().and_then(|view| view.sync_state());
    let mine = sync.is_some_and(|sync| sync.leader.as_ref() == Some(&spec.me));
    (!mine).then(|| note("G-09", "promotes before /sync names it"))
}

/// G-20: nobody takes `/sync` over whom it does not name, or who has not the votes that it demands: it may lack what
/// was acknowledged. An operator's manual failover may have it so.
fn takeover_fault(spec: &ClusterSpec, seen: &Observation) -> Option<Note> {
    let view = seen.dcs.known()?;
    let sync = view.sync_state()?;
    let ordered = view.failover.as_ref().is_some_and(|order| {
        order.value.leader.is_none() && order.value.member.as_ref() == Some(&spec.me)
    });
    let replica = !seen.postgres.runs_as_primary();
    if sync.is_led_by(&spec.me) || !replica || ordered {
        return None;
    }
    let voter = sync.has_standby(&spec.me);
    if !voter && spec.synchronous_mode != SyncMode::Quorum {
        return Some(note("G-20", "takes /sync over, which does not name it"));
    }
    let mine = seen.postgres.live.known()?.position();
    let not_ahead = |name: &MemberName| match seen.peers.get(name) {
        Some(PeerSeen::Answered { status, .. }) => {
            !status.position.is_zero() && status.position <= mine
        }
        Some(PeerSeen::Asking { .. } | PeerSeen::Unreachable { .. }) | None => false,
    };
    let voters = sync.standbys.iter().chain(&sync.leader);
    let votes = voters
        .filter(|name| **name != spec.me && not_ahead(name))
        .count();
    let votes = u64::try_from(votes).unwrap_or(u64::MAX);
    let needed = sync.quorum.saturating_add(u64::from(!voter));
    (votes < needed).then(|| {
        let text = format!("takes /sync over with {votes} of {needed} votes");
        note("G-20", text)
    })
}

/// G-09, G-15: `/sync` is written in my name only, and takes in only whom commits wait for already.
pub(crate) fn document_fault(
    spec: &ClusterSpec,
    seen: &Observation,
    doc: &SyncDoc,
) -> Option<Note> {
    if doc.leader.as_ref() != Some(&spec.me) {
        return Some(note("G-09", "writes /sync in another member's name"));
    }
    if let Some(note) = takeover_fault(spec, seen) {
        return Some(note);
    }
    if doc.quorum > 0 {
        return quorum_fault(spec, seen, doc);
    }
    let known = seen
        .dcs
        .known()
        .and_then(|view| view.sync_state())
        .filter(|sync| sync.quorum == 0);
    let running = seen
        .postgres
        .live
        .known()
        .filter(|live| !live.in_recovery)
        .map(|live| live.synchronous_standby_names.as_str());
    let unproven = doc.standbys.iter().find(|name| {
        let was_there = known.is_some_and(|sync| sync.names(name));
        let waited_for = running.is_some_and(|setting| waits_for(setting, name));
        !was_there && !waited_for
    })?;
    Some(note(
        "G-15",
        format!("takes {unproven} into /sync while no commit waits for it"),
    ))
}

/// G-15 where votes are needed: as many of them as may win hold somebody of every group that acknowledges a commit,
/// |V and S| <= Q + N; and whoever takes over leaves out no former voter and lowers no quorum.
fn quorum_fault(spec: &ClusterSpec, seen: &Observation, doc: &SyncDoc) -> Option<Note> {
    let primary = seen.postgres.live.known().filter(|live| !live.in_recovery);
    if let Some(live) = primary {
        let fault = !meets(&live.synchronous_standby_names, doc);
        return fault.then(|| {
            note(
                "G-15",
                "needs fewer votes in /sync than its commits are waited for",
            )
        });
    }
    let former = seen.dcs.known().and_then(|view| view.sync_state())?;
    let is_me = |name: &MemberName| *name == spec.me;
    let mut gone = former.standbys.iter().chain(&former.leader);
    let left_out = gone.any(|name| !is_me(name) && !doc.has_standby(name));
    (left_out || doc.quorum < former.quorum)
        .then(|| note("G-15", "takes /sync over with fewer votes than it demanded"))
}

/// Whether every group that wins by `doc` holds somebody of every group for which a commit waits.
fn meets(setting: &str, doc: &SyncDoc) -> bool {
    let (count, list) = match setting.split_once('(') {
        Some((head, list)) => (
            head.split_whitespace()
                .last()
                .and_then(|it| it.parse().ok()),
            list.trim_end().trim_end_matches(')'),
        ),
        None => (Some(1), setting),
    };
    let others: Vec<&str> = list
        .split(',')
        .filter(|it| !it.trim().is_empty())
        .filter(|it| !doc.standbys.iter().any(|name| is(it, name)))
        .collect();
    let count: u64 = if list.trim().is_empty() || list.contains('*') {
        0
    } else {
        count.unwrap_or(0)
    };
    let all = u64::try_from(doc.standbys.len() + others.len()).unwrap_or(u64::MAX);
    doc.standbys.is_empty() || all <= doc.quorum.saturating_add(count)
}

/// G-14: as long as `/sync` names a standby of mine, commits wait for it, or nobody acknowledges any.
pub(crate) fn setting_fault(
    spec: &ClusterSpec,
    seen: &Observation,
    setting: Option<&str>,
) -> Option<Note> {
    let sync = seen.dcs.known()?.sync_state()?;
    if sync.leader.as_ref() != Some(&spec.me) {
        return None;
    }
    let setting = setting.unwrap_or_default();
    if waits_for_nobody(setting) {
        return None;
    }
    if sync.quorum > 0 {
        return (!meets(setting, sync)).then(|| {
            let text = format!("waits by '{setting}', too little for the votes in /sync");
            note("G-14", text)
        });
    }
    let left = sync
        .standbys
        .iter()
        .find(|name| !waits_for(setting, name))?;
    Some(note(
        "G-14",
        format!("stops waiting for {left} while /sync names it"),
    ))
}

/// Whether no commit is acknowledged under this setting: it waits for nobody's name.
fn waits_for_nobody(setting: &str) -> bool {
    needs(setting, |other| other.trim() == NOBODY)
}

/// Whether commits wait for `name` under this setting.
fn waits_for(setting: &str, name: &MemberName) -> bool {
    needs(setting, |other| is(other, name))
}

/// Whether one that is meant is named, and all that are named are needed.
fn needs(setting: &str, is_meant: impl Fn(&str) -> bool) -> bool {
    let Some((count, rest)) = setting.split_once('(') else {
        return is_meant(setting);
    };
    let names: Vec<&str> = rest.trim_end().trim_end_matches(')').split(',').collect();
    let all = count
        .split_whitespace()
        .last()
        .and_then(|count| count.parse().ok())
        == Some(names.len());
    all && names.into_iter().any(is_meant)
}

fn is(text: &str, name: &MemberName) -> bool {
    name.same_as(&text.trim().trim_matches('"').replace("\"\"", "\""))
}

/// G-23: a closed primary lets no client in while somebody could be elected by members of `/sync` that do not stream from
/// it, and have not told how far they are. In pause an operator decides.
pub(crate) fn opening_fault(spec: &ClusterSpec, seen: &Observation) -> Option<Note> {
    let live = seen
        .postgres
        .live
        .known()
        .filter(|live| !live.in_recovery)?;
    let synchronous = spec.synchronous_mode != SyncMode::Off && spec.standby.is_none();
    if !synchronous || spec.pause || seen.shutdown {
        return None;
    }
    let view = seen.dcs.known().or_else(|| seen.dcs.last());
    let sync = view.and_then(|view| view.sync_state())?;
    let others = sync.standbys.iter().filter(|name| **name != spec.me);
    let told = |name: &&MemberName| live.senders_to(name).any(|sender| sender.flush.is_some());
    let missing = others.filter(|name| !told(name)).count();
    let missing = u64::try_from(missing).unwrap_or(u64::MAX);
    (missing > sync.quorum).then(|| {
        let text = format!("opens to clients while {missing} members of /sync do not stream");
        note("G-23", text)
    })
}
