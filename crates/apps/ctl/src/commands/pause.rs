//! `pause` and `resume`.

use std::time::Duration;

use pgherd_api::wanted::Wanted;
use pgherd_domain::ClusterView;
use pgherd_peers::Method;
use serde_json::json;

use super::{ANSWER_MAX, failure};
use crate::args::{Pause, Role};
use crate::failure::Failure;
use crate::members;
use crate::screen::Screen;
use crate::session::{Cluster, Session};

/// How often members are looked at while they notice.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// `pause` (`on`) and `resume`.
pub(super) async fn pause(
    args: &Pause,
    on: bool,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let cluster = session.own_cluster(args.cluster.as_deref())?;
    let view = cluster.load().await?;
    let wanted = Wanted::of(&view);
    if wanted.pause == on {
        let state = if on { "already paused" } else { "not paused" };
        return Err(Failure::Refused(format!("Cluster is {state}")));
    }
    send(on, &view, session, screen).await?;
    let state = if on { "paused" } else { "resumed" };
    if args.wait {
        let request = if on { "pause" } else { "resume" };
        screen.say(&format!(
            "'{request}' request sent, waiting until it is recognized by all nodes"
        ))?;
        wait(on, &cluster, wanted.loop_wait).await?;
    }
    screen.say(&format!("Success: cluster management is {state}"))
}

/// Over the leader, else over any member that answers.
async fn send(
    on: bool,
    view: &ClusterView,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let body = if on {
        json!({"pause": true})
    } else {
        json!({"pause": null})
    };
    let mut order = members::in_role(view, Role::Leader);
    order.extend(members::in_role(view, Role::Replica));
    for member in &order {
        let (name, doc) = member;
        let answer = session
            .ask(
                Method::PATCH,
                &doc.api_url,
                "config",
                Some(&body),
                ANSWER_MAX,
            )
            .await;
        match answer {
            Ok(reply) if reply.code == 200 => return Ok(()),
            Ok(reply) => {
                let action = if on { "pause" } else { "resume" };
                return Err(Failure::Refused(failure(
                    action,
                    member,
                    reply.code,
                    &reply.text,
                )));
            }
            Err(error) => screen.warn(&format!("Member {name} is not accessible: {error}")),
        }
    }
    Err(Failure::refused("Can not find accessible cluster member"))
}

/// Waits until every member shows it, for twice `loop_wait` at most.
pub(crate) async fn wait(on: bool, cluster: &Cluster, loop_wait: Duration) -> Result<(), Failure> {
    let limit = loop_wait.max(Duration::from_secs(1)) * 2;
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        let view = cluster.load().await?;
        let late: Vec<String> = view
            .members
            .iter()
            .filter(|(_, doc)| doc.pause != on)
            .map(|(name, _)| name.to_string())
            .collect();
        if late.is_empty() {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            let word = if on { "pause" } else { "resume" };
            return Err(Failure::Refused(format!(
                "{} members didn't recognized {word} state after {} seconds",
                late.join(", "),
                limit.as_secs()
            )));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
