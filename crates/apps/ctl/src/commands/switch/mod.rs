//! `switchover` and `failover`: the dialogue, the order over REST, and the DCS when REST does not answer.

mod dialogue;

use std::time::Duration;

use pgherd_api::wanted::Wanted;
use pgherd_domain::ClusterView;
use pgherd_peers::{Method, Reply, SendError};
use pgherd_ports::{Condition, Key, Written};

use dialogue::{Dialogue, Order};

use crate::args::{Failover, Switchover};
use crate::failure::Failure;
use crate::members;
use crate::screen::Screen;
use crate::session::{Cluster, Session};

/// The member has this long beyond its own limit to answer.
const SLACK: Duration = Duration::from_secs(10);

/// What the operator wants.
#[derive(Debug, Clone)]
struct Wish {
    leader: Option<String>,
    candidate: Option<String>,
    scheduled: Option<String>,
    force: bool,
    is_failover: bool,
}

/// `switchover`
pub(super) async fn switchover(
    args: Switchover,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let Switchover {
        cluster,
        leader,
        candidate,
        scheduled,
        force,
    } = args;
    let wish = Wish {
        leader,
        candidate,
        scheduled,
        force,
        is_failover: false,
    };
    switch(cluster.as_deref(), wish, session, screen).await
}

/// `failover`
pub(super) async fn failover(
    args: Failover,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let Failover {
        cluster,
        candidate,
        force,
    } = args;
    let wish = Wish {
        leader: None,
        candidate,
        scheduled: None,
        force,
        is_failover: true,
    };
    switch(cluster.as_deref(), wish, session, screen).await
}

/// The group of a Citus cluster that is meant; asked for where nobody said it, and somebody is there to be asked.
fn ask_group(
    name: Option<&str>,
    force: bool,
    session: &Session,
    screen: &mut Screen,
) -> Result<Cluster, Failure> {
    if force || !session.needs_group() {
        return session.exact_cluster(name);
    }
    loop {
        let answer = screen.ask("Citus group", None)?;
        match answer.trim().parse() {
            Ok(group) => return session.group_of(name, group),
            Err(_) => screen.say(&format!("Error: '{answer}' is not a valid integer."))?,
        }
    }
}

async fn switch(
    name: Option<&str>,
    wish: Wish,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let looked = session.look(name).await?;
    screen.say("Current cluster topology")?;
    looked.show(screen)?;
    let cluster = ask_group(name, wish.force, session, screen)?;
    let cluster = &cluster;
    let view = match looked.views() {
        [(_, view)] if !session.needs_group() => view.clone(),
        _ => cluster.load().await?,
    };
    let dialogue = Dialogue {
        cluster,
        view: &view,
        wanted: Wanted::of(&view),
        wish,
    };
    let order = dialogue.hold(screen)?;
    let verb = dialogue.verb();
    let Some(api_url) = dialogue.whom_to_ask(&order) else {
        return fall_back(cluster, &view, &order, verb, screen).await;
    };
    let patience = 2 * dialogue.wanted.loop_wait.max(Duration::from_secs(10)) + SLACK;
    match send(session, &api_url, verb, &order, patience).await {
        Ok(reply) if matches!(reply.code, 200 | 202) => {
            let stamp = now(screen);
            screen.say(&format!("{stamp} {}", reply.text))?;
            members::show(cluster, &cluster.load().await?, screen)
        }
        Ok(Reply { code, text, .. }) => {
            let what = if text.contains("status unknown") {
                "result unknown"
            } else {
                "failed"
            };
            screen.say(&format!("{} {what}, details: {code}, {text}", noun(verb)))
        }
        Err(SendError::Unreachable(why)) => {
            screen.warn(&why);
            fall_back(cluster, &view, &order, verb, screen).await
        }
        // it may have been taken in: a second order could undo it
        Err(SendError::Unanswered(why)) => {
            screen.say(&format!("{} result unknown, details: {why}", noun(verb)))
        }
    }
}

/// Sends the order. Servers before 2.0 know it under the one name only.
async fn send(
    session: &Session,
    api_url: &str,
    verb: &str,
    order: &Order,
    patience: Duration,
) -> Result<Reply, SendError> {
    let body = order.body();
    let reply = session
        .ask(Method::POST, api_url, verb, Some(&body), patience)
        .await?;
    if reply.code == 501 && verb == "switchover" {
        return session
            .ask(Method::POST, api_url, "failover", Some(&body), patience)
            .await;
    }
    Ok(reply)
}

/// Writes the order into the DCS, where the leader finds it.
async fn fall_back(
    cluster: &Cluster,
    view: &ClusterView,
    order: &Order,
    verb: &str,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let stamp = now(screen);
    screen.say(&format!(
        "{stamp} Could not {verb} using Patroni api, falling back to DCS"
    ))?;
    let condition = Condition::unchanged(view.failover_revision);
    match cluster
        .dcs
        .put(&Key::Failover, &order.doc().render(), condition)
        .await
    {
        Ok(Written::Done(_)) => members::show(cluster, &cluster.load().await?, screen),
        Ok(Written::Refused) => Err(Failure::refused(
            "somebody else has given an order meanwhile; look again",
        )),
        Err(source) => Err(Failure::Dcs {
            what: "write the order to the DCS",
            source,
        }),
    }
}

fn now(screen: &Screen) -> String {
    screen.stamp("%Y-%m-%d %H:%M:%S%.5f")
}

fn noun(verb: &str) -> &'static str {
    if verb == "failover" {
        "Failover"
    } else {
        "Switchover"
    }
}
