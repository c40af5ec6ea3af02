//! What a turn shows to the REST server.

use std::sync::Arc;

use pgherd_decide::Decision;
use pgherd_domain::{
    ClusterSpec, ClusterView, HooksSeen, Moment, Observation, WallTime, WatchdogMode,
};
use pgherd_ports::Shown;
use pgherd_settings::Settings;

/// What of `decision` and `seen` the outside may know; how hooks went is for the caller to add.
pub(crate) fn of_turn(
    spec: &Arc<ClusterSpec>,
    settings: &Arc<Settings>,
    seen: &Observation,
    decision: &Decision,
    cluster: Option<(Arc<ClusterView>, Moment, WallTime)>,
) -> Shown {
    Shown {
        at: seen.now,
        spec: Arc::clone(spec),
        settings: Arc::clone(settings),
        state: decision.state,
        role: decision.role,
        live: seen.postgres.live.known().cloned(),
        system_id: seen
            .postgres
            .control()
            .map(|control| control.system_id.clone()),
        cluster,
        dcs_answers: seen.dcs.known().is_some(),
        member: decision.member.clone(),
        line: decision.line(),
        unfenced: seen.unfenced.clone(),
        hooks: HooksSeen::default(),
        watchdog_failed: spec.watchdog == WatchdogMode::Required
            && !spec.pause
            && seen.watchdog.trouble().is_some(),
        failsafe_active: seen.failsafe.confirmed || seen.failsafe.bound_to(seen.now).is_some(),
        running: seen.postgres.is_running() && seen.postgres.accepting,
    }
}
