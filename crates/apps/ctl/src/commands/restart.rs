//! `restart`.

use std::time::Duration;

use pgherd_api::orders::version_num;
use pgherd_api::wanted::Wanted;
use pgherd_api::when::When;
use pgherd_peers::Method;
use serde_json::{Map, Value};

use super::{ANSWER_MAX, Said, confirm, failure, moment, sort};
use crate::args::Restart;
use crate::failure::Failure;
use crate::members::{Member, choose, names};
use crate::screen::Screen;
use crate::session::Session;

/// A restart answers when it is done, which may take as long as recovery does.
const RESTART_MAX: Duration = Duration::from_secs(24 * 3600);

/// `restart`
pub(super) async fn restart(
    args: &Restart,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let looked = session.look(Some(&args.cluster)).await?;
    let mut chosen = choose(&looked, args.role, &args.members, screen)?;
    let question = "When should the restart take place (e.g. {}) ";
    let when = moment(args.scheduled.as_deref(), question, args.force, screen)?;
    let mut views = looked.views().iter();
    if when.is_some() && views.any(|(_, view)| Wanted::of(view).pause) {
        return Err(Failure::refused(
            "Can't schedule restart in the paused state",
        ));
    }
    // a planned restart looks at what is pending when its time has come
    if args.pending && when.is_none() {
        chosen.retain(|(_, doc)| doc.pending_restart);
    }
    if args.any {
        chosen.truncate(1);
    }
    if chosen.is_empty() {
        return Ok(());
    }
    agree(args, when.as_ref(), &chosen, screen)?;
    let version = match &args.pg_version {
        Some(version) => version.clone(),
        None if args.force => String::new(),
        None => screen.ask(
            "Restart if the PostgreSQL version is less than provided (e.g. 9.5.2) ",
            Some(""),
        )?,
    };
    if !version.is_empty() {
        version_num(&version).map_err(Failure::Refused)?;
    }
    let body = body(args, when.as_ref(), &version);
    let mut all_reached = true;
    for member in &chosen {
        all_reached &= one(member, &body, args.force, session, screen).await?;
    }
    if all_reached {
        Ok(())
    } else {
        Err(Failure::Said)
    }
}

fn agree(
    args: &Restart,
    when: Option<&When>,
    chosen: &[Member],
    screen: &mut Screen,
) -> Result<(), Failure> {
    let names = names(chosen);
    let Some(when) = when else {
        return confirm("restart", &names, args.force, screen);
    };
    let at = when.sentence();
    let question = if args.pending {
        "The nodes needing a restart will be identified at the scheduled time, and might be different \
         from the ones showing pending restart right now. Is this fine?"
            .to_owned()
    } else {
        format!("Are you sure you want to schedule restart of members {names} at {at}?")
    };
    if args.force || screen.confirm(&question)? {
        Ok(())
    } else {
        Err(Failure::refused("Aborted scheduled restart"))
    }
}

fn body(args: &Restart, when: Option<&When>, version: &str) -> Value {
    let mut body = Map::new();
    if let Some(when) = when {
        body.insert("schedule".into(), when.iso().into());
    }
    if !version.is_empty() {
        body.insert("postgres_version".into(), version.into());
    }
    if args.pending {
        body.insert("restart_pending".into(), true.into());
    }
    if let Some(timeout) = &args.timeout {
        body.insert("timeout".into(), timeout.clone().into());
    }
    body.into()
}

/// Restarts one member, and says whether it was reached.
async fn one(
    member: &Member,
    body: &Value,
    force: bool,
    session: &Session,
    screen: &mut Screen,
) -> Result<bool, Failure> {
    let (name, doc) = member;
    if force && body.get("schedule").is_some() {
        // a plan that is there already gives way; that there is none is no failure
        session
            .ask(Method::DELETE, &doc.api_url, "restart", None, ANSWER_MAX)
            .await
            .ok();
    }
    let answer = session
        .ask(
            Method::POST,
            &doc.api_url,
            "restart",
            Some(body),
            RESTART_MAX,
        )
        .await;
    let line = match sort("restart", member, answer, screen)? {
        Said::Answered(200, _) => format!("Success: restart on member {name}"),
        Said::Answered(202, _) => format!("Success: restart scheduled on member {name}"),
        Said::Answered(409, _) => {
            format!("Failed: another restart is already scheduled on member {name}")
        }
        Said::Answered(code, text) => failure("restart", member, code, &text),
        Said::Nothing => return Ok(false),
    };
    screen.say(&line)?;
    Ok(true)
}
