//! The second pair of eyes: checks every decision against the observation before it is carried out.
//!
//! It knows nothing of how a decision was made; its rules are written down again from the promises. It
//! may hold back what is risky. It never holds back what makes things safer: stopping, giving the key
//! up, calling off, answering, publishing.

mod sync;
#[cfg(test)]
mod tests;
mod works;

use std::fmt;

use pgherd_domain::{
    Action, Adjustment, ClusterSpec, ControlState, MemberName, Observation, Standing, WatchdogMode,
    Work, WorkKind,
};

/// A rule that an action breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The rule's id, such as `G-01`; shared with the documentation.
    pub rule: &'static str,
    /// What is wrong, with its inputs.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

/// Splits `actions` into what may be carried out, in order, and the notes on what is held back. A held
/// action holds back every risky one after it: the order of steps is part of the decision.
pub fn check(
    spec: &ClusterSpec,
    seen: &Observation,
    actions: Vec<Action>,
) -> (Vec<Action>, Vec<Note>) {
    let mut passed = Vec::new();
    let mut notes = Vec::new();
    for action in actions {
        match fault(spec, seen, &action, &passed) {
            Some(note) => notes.push(note),
            None if notes.is_empty() || makes_safer(&action) => passed.push(action),
            None => notes.push(Note {
                rule: "G-00",
                text: format!("held with what came before it: {}", name(&action)),
            }),
        }
    }
    (passed, notes)
}

/// What is carried out whatever else is wrong.
fn makes_safer(action: &Action) -> bool {
    match action {
        Action::PublishMember(_)
        | Action::ReleaseLeader { .. }
        | Action::ArmWatchdog
        | Action::CancelWork
        | Action::Answer { .. }
        | Action::Ask(_)
        | Action::Exit { .. }
        | Action::Begin(Work::Stop { .. }) => true,
        Action::AcquireLeader
        | Action::HandOver { .. }
        | Action::TakeInitialize
        | Action::WriteInitialize { .. }
        | Action::DeleteInitialize { .. }
        | Action::RestoreConfig { .. }
        | Action::WriteStatus(_)
        | Action::WriteSync { .. }
        | Action::DeleteSync { .. }
        | Action::WriteHistory(_)
        | Action::WriteFailsafe(_)
        | Action::DeleteFailsafe
        | Action::WriteFailover { .. }
        | Action::Adjust(_)
        | Action::Begin(_) => false,
    }
}

fn fault(
    spec: &ClusterSpec,
    seen: &Observation,
    action: &Action,
    before: &[Action],
) -> Option<Note> {
    if let Some(note) = promise_fault(spec, seen, action) {
        return Some(note);
    }
    if let Some(note) = fence_fault(spec, seen, action) {
        return Some(note);
    }
    if let Some(note) = watchdog_fault(spec, seen, action) {
        return Some(note);
    }
    if let Some(note) = vote_fault(seen, action) {
        return Some(note);
    }
    match action {
        // Stopping makes things safer whatever else goes on: it is never held back.
        Action::Begin(Work::Stop { .. }) => None,
        Action::Begin(work) => busy(seen, before).or_else(|| works::fault(spec, seen, work)),
        Action::HandOver { to, .. } => hand_over_fault(spec, seen, to),
        Action::AcquireLeader => acquire_fault(spec, seen),
        Action::WriteInitialize { system_id, .. } => initialize_fault(seen, system_id),
        Action::WriteSync { doc, .. } => sync::document_fault(spec, seen, doc),
        Action::Adjust(Adjustment::SetSynchronousStandbyNames(setting)) => {
            sync::setting_fault(spec, seen, setting.as_deref())
        }
        Action::Adjust(Adjustment::OpenEntry) => sync::opening_fault(spec, seen),
        Action::WriteStatus(_)
        | Action::WriteHistory(_)
        | Action::WriteFailsafe(_)
        | Action::DeleteFailsafe
        | Action::RestoreConfig { .. } => {
            let lease =
                seen.lease.is_mine(seen.now) || matches!(action, Action::RestoreConfig { .. });
            (!lease).then(|| note("G-10", "writes the leader's keys without the lease"))
        }
        Action::PublishMember(_)
        | Action::ReleaseLeader { .. }
        | Action::TakeInitialize
        | Action::DeleteInitialize { .. }
        | Action::DeleteSync { .. }
        | Action::WriteFailover { .. }
        | Action::Adjust(_)
        | Action::ArmWatchdog
        | Action::CancelWork
        | Action::Answer { .. }
        | Action::Ask(_)
        | Action::Exit { .. } => None,
    }
}

/// G-01: one long work at a time.
fn busy(seen: &Observation, before: &[Action]) -> Option<Note> {
    let cancelled = before.contains(&Action::CancelWork);
    let twice = before
        .iter()
        .any(|action| matches!(action, Action::Begin(_)));
    match &seen.work.running {
        Some((work, _, _)) if !cancelled => {
            Some(note("G-01", format!("{} is still running", work.kind())))
        }
        Some(_) | None => twice.then(|| note("G-01", "two works in one turn")),
    }
}

/// G-11: the key goes to somebody else only from a server that has stopped in good order, or has written its
/// last record: it was open, is being stopped, and the control file says that it has shut down.
fn hand_over_fault(spec: &ClusterSpec, seen: &Observation, to: &MemberName) -> Option<Note> {
    let postgres = &seen.postgres;
    let waits = seen.work.kind() == Some(WorkKind::Stop)
        && !postgres.accepting
        && postgres.live.last().is_some();
    let stopped = (!postgres.is_running() || waits)
        && seen
            .postgres
            .control()
            .is_some_and(|control| control.state == ControlState::ShutDown);
    // The leader of a standby cluster writes nothing that a successor could lack.
    let replica =
        spec.standby.is_some() && postgres.live.known().is_some_and(|live| live.in_recovery);
    if !stopped && !replica {
        return Some(note(
            "G-11",
            "hands the key over before PostgreSQL has stopped in good order",
        ));
    }
    (*to == spec.me).then(|| note("G-11", "hands the key over to itself"))
}

/// G-12: a key whose loss was proven is not taken back by a server that still runs as the old primary.
fn acquire_fault(spec: &ClusterSpec, seen: &Observation) -> Option<Note> {
    let stale =
        seen.lease.standing == Standing::Lost && seen.postgres.runs_as_primary() && !spec.pause;
    if stale {
        return Some(note(
            "G-12",
            "takes a lost key back under a running primary",
        ));
    }
    let other = seen
        .dcs
        .known()
        .and_then(|view| view.leader_name())
        .filter(|name| **name != spec.me);
    other.map(|name| note("G-12", format!("takes the key while {name} holds it")))
}

/// G-17: whoever promised a leader not to race neither takes the key nor becomes a primary under it.
fn promise_fault(spec: &ClusterSpec, seen: &Observation, action: &Action) -> Option<Note> {
    let promise = seen.failsafe.promised.as_ref()?;
    let leads = matches!(
        action,
        Action::AcquireLeader | Action::Begin(Work::Promote { .. })
    ) || works::needs_the_lease(action);
    let breaks = leads && seen.now < promise.until && !spec.pause;
    let text = format!("takes the lead, though it promised {} not to", promise.to);
    breaks.then(|| note("G-17", text))
}

/// G-24: whoever has voted confirms nothing to a former primary: it follows nobody else before the DCS was read anew.
fn vote_fault(seen: &Observation, action: &Action) -> Option<Note> {
    let to = seen.voted.as_ref()?;
    let upstream = match action {
        Action::Adjust(Adjustment::Follow { upstream }) => upstream.as_ref(),
        Action::Begin(work) => work.upstream(),
        _ => None,
    }?;
    let text = format!("follows {upstream}, though it has voted for {to}");
    (upstream.name.as_ref() != Some(to)).then(|| note("G-24", text))
}

/// G-18: nobody becomes a primary whom nothing but its agent would stop. One that runs goes on.
fn fence_fault(spec: &ClusterSpec, seen: &Observation, action: &Action) -> Option<Note> {
    let why = seen.unfenced.as_ref().filter(|_| !spec.pause)?;
    let begins = matches!(
        action,
        Action::AcquireLeader | Action::Begin(Work::Promote { .. } | Work::Bootstrap)
    ) || works::needs_the_lease(action);
    let goes_on = seen.postgres.runs_as_primary();
    (begins && !goes_on).then(|| note("G-18", format!("begins to lead without a fence: {why}")))
}

/// G-19: where a watchdog is required it counts before there is a primary, and whoever has none that works does
/// not even take the key. A primary that runs is not the guard's to judge.
fn watchdog_fault(spec: &ClusterSpec, seen: &Observation, action: &Action) -> Option<Note> {
    let required = spec.watchdog == WatchdogMode::Required && !spec.pause;
    if !required || seen.postgres.runs_as_primary() {
        return None;
    }
    let why = seen.watchdog.trouble().unwrap_or("it does not count");
    let becomes_primary =
        matches!(action, Action::Begin(Work::Promote { .. })) || works::needs_the_lease(action);
    let begins = matches!(
        action,
        Action::AcquireLeader | Action::Begin(Work::Bootstrap)
    );
    let held = (becomes_primary && !seen.watchdog.counts())
        || (begins && seen.watchdog.trouble().is_some());
    held.then(|| {
        note(
            "G-19",
            format!("begins to lead without its watchdog: {why}"),
        )
    })
}

/// G-13: a cluster's identity is never replaced by another.
fn initialize_fault(seen: &Observation, system_id: &str) -> Option<Note> {
    let known = seen.dcs.known()?.system_id()?;
    (known != system_id).then(|| {
        note(
            "G-13",
            format!("replaces the identity {known} by {system_id}"),
        )
    })
}

fn note(rule: &'static str, text: impl Into<String>) -> Note {
    Note {
        rule,
        text: text.into(),
    }
}

fn name(action: &Action) -> String {
    let debug = format!("{action:?}");
    debug
        .split([' ', '(', '{'])
        .next()
        .unwrap_or_default()
        .to_owned()
}
