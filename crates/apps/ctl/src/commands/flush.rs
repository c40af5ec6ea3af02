//! `flush`: forgets what is planned.

use pgherd_domain::ClusterView;
use pgherd_peers::Method;
use pgherd_ports::{Condition, Key, Written};

use super::{ANSWER_MAX, Said, confirm, failure, sort};
use crate::args::Flush;
use crate::failure::Failure;
use crate::members::{choose, names};
use crate::screen::Screen;
use crate::session::{Cluster, Session};

/// `flush`
pub(super) async fn flush(
    args: &Flush,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    match args.members_and_target.split_last() {
        Some((target, members)) if target == "restart" => {
            restart(args, members, session, screen).await
        }
        Some((target, _)) if target == "switchover" => {
            let cluster = session.own_cluster(Some(&args.cluster))?;
            let view = cluster.load().await?;
            switchover(&cluster, &view, session, screen).await
        }
        Some((strange, _)) => Err(Failure::Usage(format!(
            "Invalid value for '{{restart|switchover}}': '{strange}' is not one of 'restart', 'switchover'."
        ))),
        None => Err(Failure::Usage(
            "Missing argument '{restart|switchover}'.".into(),
        )),
    }
}

async fn restart(
    args: &Flush,
    names_given: &[String],
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let looked = session.look(Some(&args.cluster)).await?;
    let chosen = choose(&looked, args.role, names_given, screen)?;
    confirm("flush", &names(&chosen), args.force, screen)?;
    let mut all_reached = true;
    for member in &chosen {
        let (name, doc) = member;
        if doc.scheduled_restart.is_none() {
            screen.say(&format!("No scheduled restart for member {name}"))?;
            continue;
        }
        let answer = session
            .ask(Method::DELETE, &doc.api_url, "restart", None, ANSWER_MAX)
            .await;
        let line = match sort("flush scheduled restart", member, answer, screen)? {
            Said::Answered(200 | 404, _) => {
                format!("Success: flush scheduled restart for member {name}")
            }
            Said::Answered(code, text) => failure("flush scheduled restart", member, code, &text),
            Said::Nothing => {
                all_reached = false;
                continue;
            }
        };
        screen.say(&line)?;
    }
    if all_reached {
        Ok(())
    } else {
        Err(Failure::Said)
    }
}

/// Over any member that answers; in the DCS itself when none does.
async fn switchover(
    cluster: &Cluster,
    view: &ClusterView,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let is_planned = view
        .failover
        .as_ref()
        .is_some_and(|order| order.value.scheduled_at.is_some());
    if !is_planned {
        return screen.say("No pending scheduled switchover");
    }
    for doc in view.members.values() {
        let answer = session
            .ask(Method::DELETE, &doc.api_url, "switchover", None, ANSWER_MAX)
            .await;
        match answer {
            Ok(reply) if matches!(reply.code, 200 | 404) => {
                return screen.say(&format!("Success: {}", reply.text));
            }
            Ok(reply) => {
                return screen.say(&format!(
                    "Failed: flush scheduled switchover, status code={}, ({})",
                    reply.code, reply.text
                ));
            }
            Err(_) => {}
        }
    }
    screen.warn("Failed to delete the scheduled switchover over REST, falling back to DCS");
    let condition = Condition::unchanged(view.failover_revision);
    match cluster.dcs.put(&Key::Failover, "{}", condition).await {
        Ok(Written::Done(_)) => screen.say("Success: scheduled switchover deleted"),
        Ok(Written::Refused) => Err(Failure::refused(
            "the order has changed meanwhile; look again",
        )),
        Err(source) => Err(Failure::Dcs {
            what: "clear the planned switchover",
            source,
        }),
    }
}
