//! `reinit`.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::{MemberName, PgState};
use pgherd_peers::Method;
use serde_json::json;

use super::{ANSWER_MAX, Said, confirm, failure, sort};
use crate::args::{Reinit, Role};
use crate::failure::Failure;
use crate::members::{Member, names};
use crate::screen::Screen;
use crate::session::{Cluster, Session};

/// How often members are looked at while they are copied.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A member that runs and never showed a copy within this many looks is done with it.
const LOOKS_BEFORE_DONE: u32 = 5;

/// `reinit`
pub(super) async fn reinit(
    args: &Reinit,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let looked = session.look(Some(&args.cluster)).await?;
    let replicas = looked.in_role(Role::Replica);
    if replicas.is_empty() {
        return Err(Failure::Refused(format!(
            "{} cluster doesn't have any members",
            args.cluster
        )));
    }
    looked.show(screen)?;
    let mut given = args.members.clone();
    if given.is_empty() {
        let question = format!(
            "Which member do you want to reinitialize [{}]?",
            names(&replicas)
        );
        let answer = screen.ask(&question, Some(""))?;
        if !replicas.iter().any(|(name, _)| name.as_str() == answer) {
            return Err(Failure::Refused(format!(
                "{answer} is not a member of cluster"
            )));
        }
        given.push(answer);
    }
    let chosen: Vec<Member> = replicas
        .into_iter()
        .filter(|(name, _)| given.iter().any(|given| given == name.as_str()))
        .collect();
    if chosen.is_empty() {
        return Err(Failure::refused("No replica among provided members"));
    }
    confirm("reinitialize", &names(&chosen), args.force, screen)?;
    let mut begun = Vec::new();
    let mut all_reached = true;
    for member in &chosen {
        match one(member, args, session, screen).await? {
            Began::Yes => begun.push(member.0.clone()),
            Began::No => {}
            Began::Unknown => all_reached = false,
        }
    }
    if args.wait && !begun.is_empty() {
        for (cluster, view) in looked.views() {
            let here = begun.iter().filter(|name| view.members.contains_key(*name));
            let here: Vec<MemberName> = here.cloned().collect();
            if !here.is_empty() {
                wait(here, cluster, screen).await?;
            }
        }
    }
    if all_reached {
        Ok(())
    } else {
        Err(Failure::Said)
    }
}

enum Began {
    Yes,
    No,
    Unknown,
}

async fn one(
    member: &Member,
    args: &Reinit,
    session: &Session,
    screen: &mut Screen,
) -> Result<Began, Failure> {
    let (name, doc) = member;
    let mut force = args.force;
    loop {
        let body = json!({"force": force, "from_leader": args.from_leader});
        let answer = session
            .ask(
                Method::POST,
                &doc.api_url,
                "reinitialize",
                Some(&body),
                ANSWER_MAX,
            )
            .await;
        match sort("reinitialize", member, answer, screen)? {
            Said::Answered(200, _) => {
                screen.say(&format!("Success: reinitialize for member {name}"))?;
                return Ok(Began::Yes);
            }
            Said::Answered(code, text) => {
                screen.say(&failure("reinitialize", member, code, &text))?;
                let is_busy = text.ends_with(" already in progress");
                let question = "Do you want to cancel it and reinitialize anyway?";
                if force || !is_busy || !screen.confirm(question)? {
                    return Ok(Began::No);
                }
                force = true;
            }
            Said::Nothing => return Ok(Began::Unknown),
        }
    }
}

/// Looks until every copy is done, and shows how far each is.
pub(crate) async fn wait(
    names: Vec<MemberName>,
    cluster: &Cluster,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let list: Vec<&str> = names.iter().map(MemberName::as_str).collect();
    screen.say(&format!(
        "Waiting for reinitialize to complete on: {}",
        list.join(", ")
    ))?;
    let mut open: BTreeMap<MemberName, (bool, Option<String>)> = names
        .into_iter()
        .map(|name| (name, (false, None)))
        .collect();
    let mut looks = 0_u32;
    while !open.is_empty() {
        tokio::time::sleep(LOOK_EVERY).await;
        looks += 1;
        let view = cluster.load().await?;
        let mut done = Vec::new();
        for (name, (copying, said)) in &mut open {
            let Some(doc) = view.members.get(name) else {
                continue;
            };
            if doc.progress.is_some() && doc.progress != *said {
                said.clone_from(&doc.progress);
                screen.complain(&format!("{name}: {}", said.as_deref().unwrap_or_default()));
            }
            if doc.state == Some(PgState::CreatingReplica) {
                *copying = true;
            } else if doc.is_running() && (*copying || looks >= LOOKS_BEFORE_DONE) {
                done.push(name.clone());
            }
        }
        for name in done {
            open.remove(&name);
            screen.say(&format!("Reinitialize is completed on: {name}"))?;
        }
    }
    Ok(())
}
