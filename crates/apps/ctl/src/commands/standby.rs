//! `demote-cluster` and `promote-cluster`: a cluster begins or ends to follow another one (contract §14).

use std::time::Duration;

use pgherd_api::wanted::Wanted;
use pgherd_domain::{ClusterView, MemberName, PgRole, Upstream};
use pgherd_peers::Method;
use serde_json::{Map, Value, json};

use super::{ANSWER_MAX, failure};
use crate::args::{DemoteCluster, PromoteCluster};
use crate::failure::Failure;
use crate::members::{self, Member};
use crate::screen::Screen;
use crate::session::{Cluster, Session};

/// How often the cluster is looked at while it changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Which way it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Demote,
    Promote,
}

impl Way {
    const fn verb(self) -> &'static str {
        match self {
            Self::Demote => "demote",
            Self::Promote => "promote",
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Demote => "demotion",
            Self::Promote => "promotion",
        }
    }

    /// What the leader is to be in the end.
    const fn role(self) -> PgRole {
        match self {
            Self::Demote => PgRole::StandbyLeader,
            Self::Promote => PgRole::Primary,
        }
    }
}

/// `demote-cluster`
pub(super) async fn demote(
    args: &DemoteCluster,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    if args.host.is_none() && args.port.is_none() && args.restore_command.is_none() {
        return Err(Failure::refused(
            "At least --host, --port or --restore-command should be specified",
        ));
    }
    let mut section = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            section.insert(key.to_owned(), value);
        }
    };
    put("host", args.host.clone().map(Value::from));
    put("port", args.port.map(Value::from));
    put(
        "primary_slot_name",
        args.primary_slot_name.clone().map(Value::from),
    );
    put(
        "restore_command",
        args.restore_command.clone().map(Value::from),
    );
    let cluster = session.own_cluster(args.cluster.as_deref())?;
    let change = Change {
        way: Way::Demote,
        section: section.into(),
        force: args.force,
    };
    turn(&cluster, &change, session, screen).await
}

/// `promote-cluster`
pub(super) async fn promote(
    args: &PromoteCluster,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let cluster = session.own_cluster(args.cluster.as_deref())?;
    let change = Change {
        way: Way::Promote,
        section: Value::Null,
        force: args.force,
    };
    turn(&cluster, &change, session, screen).await
}

struct Change {
    way: Way,
    /// What `standby_cluster` becomes.
    section: Value,
    force: bool,
}

async fn turn(
    cluster: &Cluster,
    change: &Change,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let view = cluster.load().await?;
    let way = change.way;
    let Some(leader) = members::leader(&view) else {
        return Err(Failure::Refused(format!(
            "Cluster has no leader, {} is not possible",
            way.noun()
        )));
    };
    if Wanted::of(&view).standby_cluster == (way == Way::Demote) {
        return Err(Failure::refused("Cluster is already in the required state"));
    }
    screen.say("Current cluster topology")?;
    members::show(cluster, &view, screen)?;
    let question = format!("Are you sure you want to {} {cluster} cluster?", way.verb());
    if !change.force && !screen.confirm(&question)? {
        return Err(Failure::Refused(format!("Aborted cluster {}", way.noun())));
    }
    if way == Way::Demote {
        refuse_itself(&view, &change.section)?;
    }
    let action = format!("{} cluster", change.way.verb());
    send(&leader, &change.section, &action, session).await?;
    wait(cluster, way, &leader.0, screen).await
}

/// A cluster can not follow itself: nobody would be a primary any more.
pub(super) fn refuse_itself(view: &ClusterView, section: &Value) -> Result<(), Failure> {
    let text = |key: &str| match section.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) | None => String::new(),
    };
    let named = Upstream::elsewhere(&text("host"), &text("port"), None);
    let is_named = |(host, at): (String, u16)| named.ends().any(|end| end == (&*host, at));
    let mut members = view.members.iter();
    match members.find(|(_, doc)| doc.address().is_some_and(is_named)) {
        Some((name, _)) => Err(Failure::Refused(format!(
            "standby_cluster would point to this cluster itself: {named} is its member {name}. \
             Name the servers of the other cluster"
        ))),
        None => Ok(()),
    }
}

/// Sets `standby_cluster` over the leader, which looks at the change at once.
pub(super) async fn send(
    leader: &Member,
    section: &Value,
    action: &str,
    session: &Session,
) -> Result<(), Failure> {
    let body = json!({"standby_cluster": section});
    let answer = session
        .ask(
            Method::PATCH,
            &leader.1.api_url,
            "config",
            Some(&body),
            ANSWER_MAX,
        )
        .await;
    match answer {
        Ok(reply) if reply.code == 200 => Ok(()),
        Ok(reply) => Err(Failure::Refused(failure(
            action,
            leader,
            reply.code,
            &reply.text,
        ))),
        Err(error) => Err(Failure::Refused(format!(
            "Failed: {action} for member {}, no answer ({error})",
            leader.0
        ))),
    }
}

/// Tells each second how far it is. There is no limit: to follow another cluster may take a new copy, and whoever
/// has seen enough interrupts it; the change stays.
async fn wait(
    cluster: &Cluster,
    way: Way,
    before: &MemberName,
    screen: &mut Screen,
) -> Result<(), Failure> {
    loop {
        let view = cluster.load().await?;
        let stamp = screen.stamp("%Y-%m-%d %H:%M:%S");
        if is_done(&view, way, before) {
            let done = format!("{stamp} cluster is successfully {}d", way.verb());
            screen.say(&done)?;
            return members::show(cluster, &view, screen);
        }
        screen.say(&format!("{stamp} {}", progress(&view, before)))?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The leader is what it is to be, and who led before runs again.
fn is_done(view: &ClusterView, way: Way, before: &MemberName) -> bool {
    let Some((name, doc)) = members::leader(view) else {
        return false;
    };
    let led_before = view.members.get(before);
    doc.is_running()
        && doc.role == Some(way.role())
        && (name == *before || led_before.is_none_or(|doc| doc.is_running()))
}

fn progress(view: &ClusterView, before: &MemberName) -> String {
    let leader = members::leader(view);
    let is_unlocked = if leader.is_some() { "False" } else { "True" };
    let role = leader.as_ref().and_then(|(_, doc)| doc.role);
    let role = role.map_or("None", PgRole::text);
    let state = leader.as_ref().and_then(|(_, doc)| doc.state.as_ref());
    let state = state.map_or("None", |state| state.text());
    let mut text =
        format!("cluster is unlocked: {is_unlocked}, leader role: {role}, leader state: {state}");
    let has_moved = leader.is_none_or(|(name, _)| name != *before);
    if has_moved && let Some(state) = view.members.get(before).and_then(|doc| doc.state.as_ref()) {
        text.push_str(&format!(", previous leader state: '{}'", state.text()));
    }
    text
}
