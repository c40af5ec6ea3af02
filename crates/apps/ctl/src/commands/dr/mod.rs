//! `dr`: two regions, of which one is the primary and the other its standby. Each step is checked on both sides
//! before the next, and each stop says what to do.

mod failover;
mod record;
mod region;
mod switchover;
#[cfg(test)]
mod tests;

use pgherd_api::wanted::Wanted;
use pgherd_domain::ClusterView;

use crate::args::{ClientArgs, Dr, DrStatus, Other};
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::Session;

use region::{Kind, Region, kind, position, stand, writes};

/// `dr`
pub(super) async fn dr(args: &Dr, session: &Session, screen: &mut Screen) -> Result<(), Failure> {
    match args {
        Dr::Status(args) => Box::pin(status(args, session, screen)).await,
        Dr::Switchover(args) => Box::pin(switchover::switchover(args, session, screen)).await,
        Dr::Failover(args) => Box::pin(failover::failover(args, session, screen)).await,
    }
}

/// The session of the other region.
fn other_session(regions: &Other, session: &Session) -> Result<Session, Failure> {
    let Some(file) = &regions.other else {
        return Err(Failure::Usage(
            "--other FILE is needed: a configuration of the other region".to_owned(),
        ));
    };
    let args = ClientArgs {
        config_file: Some(file.clone()),
        ..ClientArgs::default()
    };
    // What the environment says of the DCS is about the region here.
    let mut env = session.env.clone();
    env.retain(|name, _| !name.starts_with("PATRONI_") && name != "DCS_URL");
    Session::open(&args, &env, session.program)
}

/// `dr status`
async fn status(args: &DrStatus, session: &Session, screen: &mut Screen) -> Result<(), Failure> {
    let other = other_session(&args.regions, session)?;
    let here = Region::open("here", session, args.regions.cluster.as_deref())?;
    let there = Region::open("there", &other, args.regions.other_cluster.as_deref())?;
    let mut views = Vec::new();
    for region in [&here, &there] {
        match region.load().await {
            Ok(view) => {
                screen.say(&format!("{}: {}", region.title(), stand(&view)))?;
                for entry in record::entries(&view) {
                    screen.say(&format!("  {}", entry.line()))?;
                }
                views.push(view);
            }
            Err(error) => screen.say(&format!("{}: not reached: {error}", region.title()))?,
        }
    }
    let [a, b] = views.as_slice() else {
        return screen
            .say("Only one region is reached: `pgherd dr failover` is for a lost primary region");
    };
    screen.say(&verdict(a, b))
}

/// What stands in the way of a switchover, or what to do.
fn verdict(a: &ClusterView, b: &ClusterView) -> String {
    if writes(a) && writes(b) {
        return TWO_PRIMARIES.to_owned();
    }
    if record::open(a).or_else(|| record::open(b)).is_some() {
        return "A switchover was interrupted: `pgherd dr switchover` resumes it, with --undo it is taken back"
            .to_owned();
    }
    let ways = match (kind(a), kind(b)) {
        (Kind::Primary, _) => against(a, b),
        (_, Kind::Primary) => against(b, a),
        _ => vec!["no region is the primary one".to_owned()],
    };
    if ways.is_empty() {
        "Ready for `pgherd dr switchover`".to_owned()
    } else {
        format!("No switchover now: {}", ways.join("; "))
    }
}

/// What is said when both regions accept writes.
const TWO_PRIMARIES: &str = "BOTH regions accept writes. Decide which one stays, and make the other its standby at once: \
     `pgherd demote-cluster --host HOST-OF-THE-ONE-THAT-STAYS`. What only the demoted one has is lost then";

/// Everything against making `to` the primary region instead of `from`.
fn against(from: &ClusterView, to: &ClusterView) -> Vec<String> {
    let mut ways = Vec::new();
    if kind(from) != Kind::Primary {
        ways.push(format!("the primary region is not ready: {}", stand(from)));
    }
    if kind(to) != Kind::Standby {
        ways.push(format!("the other region is not ready: {}", stand(to)));
    }
    for (word, view) in [("primary", from), ("standby", to)] {
        if Wanted::of(view).pause {
            ways.push(format!(
                "the {word} region is paused; `pgherd resume` first"
            ));
        }
        if view.failover.is_some() {
            ways.push(format!(
                "a switchover is ordered inside the {word} region; wait, or `pgherd flush switchover`"
            ));
        }
    }
    match (from.system_id(), to.system_id()) {
        (Some(a), Some(b)) if a != b => ways.push(format!(
            "they are different clusters: system identifiers {a} and {b}"
        )),
        (Some(_), Some(_)) => {}
        (_, _) => ways.push("a region has no valid `initialize` key".to_owned()),
    }
    let streams = crate::members::leader(to)
        .and_then(|(_, doc)| doc.replication_state)
        .is_some_and(|state| state == "streaming");
    if kind(to) == Kind::Standby && !streams {
        ways.push("the standby leader does not stream from the primary region".to_owned());
    }
    if let (Some(mine), Some(theirs)) = (position(from), position(to)) {
        let lag = theirs.lsn.behind(mine.lsn);
        let limit = Wanted::of(from).maximum_lag_on_failover;
        if theirs.timeline != mine.timeline {
            ways.push(format!(
                "the standby region is on timeline {}, the primary one on {}",
                theirs.timeline, mine.timeline
            ));
        } else if lag > limit {
            ways.push(format!(
                "the standby region is {lag} bytes behind, more than maximum_lag_on_failover ({limit})"
            ));
        }
    }
    ways
}
