//! Synchronous mode: `/sync` never names who may miss an acknowledged commit.

use pgherd_domain::documents::SyncDoc;
use pgherd_domain::{ClusterSpec, MemberName, Observation, SyncMode};

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

/// G-20: nobody takes `/sync` over whom it does not name: it may lack what was acknowledged. An operator's manual
/// failover may have it so.
fn takeover_fault(spec: &ClusterSpec, seen: &Observation) -> Option<Note> {
    let view = seen.dcs.known()?;
    let ordered = view.failover.as_ref().is_some_and(|order| {
        order.value.leader.is_none() && order.value.member.as_ref() == Some(&spec.me)
    });
    let replica = !seen.postgres.runs_as_primary();
    let unnamed = view.sync_state().is_some_and(|sync| !sync.names(&spec.me));
    (unnamed && replica && !ordered)
        .then(|| note("G-20", "takes /sync over, which does not name it"))
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

/// G-14: as long as `/sync` names a standby of mine, commits wait for it.
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
    let left = sync
        .standbys
        .iter()
        .find(|name| !waits_for(setting, name))?;
    Some(note(
        "G-14",
        format!("stops waiting for {left} while /sync names it"),
    ))
}

/// Whether commits wait for `name` under this setting: it is named, and all that are named are needed.
fn waits_for(setting: &str, name: &MemberName) -> bool {
    let Some((count, rest)) = setting.split_once('(') else {
        return is(setting, name);
    };
    let names: Vec<&str> = rest.trim_end().trim_end_matches(')').split(',').collect();
    let all = count
        .split_whitespace()
        .last()
        .and_then(|count| count.parse().ok())
        == Some(names.len());
    all && names.iter().any(|other| is(other, name))
}

fn is(text: &str, name: &MemberName) -> bool {
    name.same_as(&text.trim().trim_matches('"').replace("\"\"", "\""))
}
