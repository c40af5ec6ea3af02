//! Long works: what may be started, made a primary, copied over or wound back.

use pgherd_domain::{
    Action, ClusterSpec, DataDirectory, MemberName, Moment, Observation, StartAs, Upstream, Work,
};

use crate::{Note, note, sync};

/// What speaks against beginning `work` now.
pub(crate) fn fault(spec: &ClusterSpec, seen: &Observation, work: &Work) -> Option<Note> {
    match work {
        Work::Promote { valid_until, .. } => promotion_fault(spec, seen, *valid_until),
        Work::Start {
            start_as: StartAs::Primary { valid_until },
            ..
        } => {
            if !lasts(seen, *valid_until) {
                return Some(note("G-03", "starts a primary without the lease"));
            }
            if let Some(name) = other_leader(spec, seen) {
                return Some(note("G-03", format!("starts a primary while {name} leads")));
            }
            same_cluster(seen)
        }
        Work::Restart {
            start_as: StartAs::Primary { valid_until },
            ..
        } => {
            let good = lasts(seen, *valid_until) || spec.pause;
            (!good).then(|| note("G-03", "restarts a primary without the lease"))
        }
        Work::Clone { source, .. } => not_running("G-04", "copies over", seen)
            .or_else(|| not_from_me(spec, source.name.as_ref()))
            .or_else(|| {
                if makes_standby_cluster(spec, seen, source) {
                    return None;
                }
                leader_is_known("G-06", seen)
            }),
        Work::Rewind { source } => not_running("G-04", "winds back", seen)
            .or_else(|| not_from_me(spec, source.name.as_ref()))
            .or_else(|| {
                if is_remote(spec, source) {
                    return leader_is_known("G-07", seen);
                }
                rewind_source(seen, source.name.as_ref())
            }),
        Work::CrashRecovery => not_running("G-04", "recovers in single-user mode", seen),
        Work::Bootstrap => {
            let empty = seen.postgres.data == DataDirectory::Empty;
            (!empty).then(|| note("G-05", "bootstraps into a directory that is not empty"))
        }
        Work::Restore => {
            let empty = seen.postgres.data == DataDirectory::Empty;
            (!empty).then(|| note("G-05", "restores into a directory that is not empty"))
        }
        Work::CopySlots { .. } | Work::StopBefore { .. } => {
            let primary = seen.postgres.runs_as_primary();
            primary.then(|| note("G-22", "stops a primary to start it as a replica"))
        }
        Work::Start {
            start_as: StartAs::Replica { .. },
            ..
        }
        | Work::Restart {
            start_as: StartAs::Replica { .. },
            ..
        }
        | Work::Stop { .. }
        | Work::PrePromote
        | Work::Checkpoint => None,
    }
}

/// G-02, G-21, and what else a promotion must not break: a cluster that follows another one has no primary.
fn promotion_fault(spec: &ClusterSpec, seen: &Observation, valid_until: Moment) -> Option<Note> {
    if !lasts(seen, Some(valid_until)) {
        return Some(note("G-02", "promotes without the lease"));
    }
    if spec.standby.is_some() {
        return Some(note(
            "G-21",
            "promotes while the cluster follows another one",
        ));
    }
    if let Some(name) = other_leader(spec, seen) {
        return Some(note("G-02", format!("promotes while {name} leads")));
    }
    same_cluster(seen).or_else(|| sync::names_me(spec, seen))
}

/// The lease is mine, and what is to be done under it ends with it.
fn lasts(seen: &Observation, valid_until: Option<Moment>) -> bool {
    seen.lease.is_mine(seen.now) && valid_until.is_some() && valid_until <= seen.lease.good_until
}

/// Whether a server is to accept writes for as long as a lease lasts.
pub(crate) const fn needs_the_lease(action: &Action) -> bool {
    matches!(
        action,
        Action::Begin(
            Work::Start {
                start_as: StartAs::Primary {
                    valid_until: Some(_)
                },
                ..
            } | Work::Restart {
                start_as: StartAs::Primary {
                    valid_until: Some(_)
                },
                ..
            }
        )
    )
}

fn not_running(rule: &'static str, does: &str, seen: &Observation) -> Option<Note> {
    seen.postgres
        .is_running()
        .then(|| note(rule, format!("{does} the directory of a running server")))
}

fn not_from_me(spec: &ClusterSpec, source: Option<&MemberName>) -> Option<Note> {
    (source == Some(&spec.me)).then(|| note("G-06", "takes itself as the source"))
}

/// The first member of a standby cluster copies the cluster that is followed, into an empty directory.
fn makes_standby_cluster(spec: &ClusterSpec, seen: &Observation, source: &Upstream) -> bool {
    is_remote(spec, source) && seen.postgres.data == DataDirectory::Empty
}

/// Whether `source` is the cluster that this standby cluster follows.
fn is_remote(spec: &ClusterSpec, source: &Upstream) -> bool {
    let remote = spec.standby.as_ref();
    source.name.is_none() && remote.and_then(|remote| remote.upstream.as_ref()) == Some(source)
}

/// G-06: data are only replaced while the store says, now, who leads.
fn leader_is_known(rule: &'static str, seen: &Observation) -> Option<Note> {
    let known = seen.dcs.known().is_some_and(|view| view.leader.is_some());
    (!known).then(|| note(rule, "replaces data without knowing who leads"))
}

/// G-07: only the leader of now is a source for pg_rewind, and only when it has checkpointed.
fn rewind_source(seen: &Observation, source: Option<&MemberName>) -> Option<Note> {
    let view = seen.dcs.known();
    let leads = view.is_some_and(|view| view.leader_name() == source && source.is_some());
    let ready = view
        .and_then(|view| view.leader_member())
        .is_some_and(|member| !member.checkpoint_pending);
    (!leads || !ready).then(|| {
        note(
            "G-07",
            "rewinds from somebody who is not a leader ready for it",
        )
    })
}

/// G-08: a server of another cluster never takes part.
fn same_cluster(seen: &Observation) -> Option<Note> {
    let cluster = seen
        .dcs
        .known()
        .or_else(|| seen.dcs.last())
        .and_then(|view| view.system_id())?;
    let mine = seen
        .postgres
        .control()
        .map(|control| control.system_id.as_str());
    (mine != Some(cluster)).then(|| note("G-08", "the data directory is another cluster's"))
}

/// Who leads, when the store says now that it is somebody else.
fn other_leader<'a>(spec: &ClusterSpec, seen: &'a Observation) -> Option<&'a MemberName> {
    let leader = seen.dcs.known()?.leader_name()?;
    (*leader != spec.me).then_some(leader)
}
