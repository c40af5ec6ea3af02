//! The commands, one file each.

mod config;
mod delayed;
mod dr;
mod dsn;
mod editor;
mod explain;
mod flush;
mod history;
mod list;
mod pause;
mod query;
mod reinit;
mod reload;
mod remove;
mod restart;
mod standby;
mod switch;
mod version;

#[cfg(test)]
pub(crate) use pause::wait as wait_for_pause;
#[cfg(test)]
pub(crate) use reinit::wait as wait_for_copies;

pub(crate) use version::own_version;

use std::time::Duration;

use pgherd_api::when::When;
use pgherd_peers::{Reply, SendError};

use crate::args::Command;
use crate::failure::Failure;
use crate::members::Member;
use crate::screen::Screen;
use crate::session::Session;

/// A member answers a small request within this.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Runs one command.
pub(crate) async fn run(
    command: Command,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    match command {
        Command::List(args) => list::list(&args, session, screen).await,
        Command::Topology(args) => list::topology(&args, session, screen).await,
        Command::History(args) => history::history(&args, session, screen).await,
        Command::Switchover(args) => switch::switchover(args, session, screen).await,
        Command::Failover(args) => switch::failover(args, session, screen).await,
        Command::Restart(args) => restart::restart(&args, session, screen).await,
        Command::Reload(args) => reload::reload(&args, session, screen).await,
        Command::Reinit(args) => reinit::reinit(&args, session, screen).await,
        Command::Delayed(args) => delayed::delayed(&args, session, screen).await,
        Command::Flush(args) => flush::flush(&args, session, screen).await,
        Command::Pause(args) => pause::pause(&args, true, session, screen).await,
        Command::Resume(args) => pause::pause(&args, false, session, screen).await,
        Command::ShowConfig(args) => config::show(&args, session, screen).await,
        Command::EditConfig(args) => config::edit(&args, session, screen).await,
        Command::Dsn(args) => dsn::dsn(&args, session, screen).await,
        Command::Query(args) => query::query(&args, session, screen).await,
        Command::Remove(args) => remove::remove(&args, session, screen).await,
        Command::DemoteCluster(args) => standby::demote(&args, session, screen).await,
        Command::PromoteCluster(args) => standby::promote(&args, session, screen).await,
        Command::Dr(args) => dr::dr(&args, session, screen).await,
        Command::Explain(args) => explain::explain(&args, session, screen).await,
        Command::Version(args) => version::version(&args, session, screen).await,
    }
}

/// What a member did with a request.
enum Said {
    /// It answered with this code and text.
    Answered(u16, String),
    /// It was not reached.
    Nothing,
}

/// Sorts an answer, and reports a member that was not reached.
fn sort(
    action: &str,
    (name, _): &Member,
    answer: Result<Reply, SendError>,
    screen: &mut Screen,
) -> Result<Said, Failure> {
    match answer {
        Ok(reply) => Ok(Said::Answered(reply.code, reply.text)),
        Err(error) => {
            screen.say(&format!(
                "Failed: {action} for member {name}, no answer ({error})"
            ))?;
            Ok(Said::Nothing)
        }
    }
}

/// The line for an answer that is no success.
fn failure(action: &str, (name, _): &Member, code: u16, text: &str) -> String {
    format!("Failed: {action} for member {name}, status code={code}, ({text})")
}

/// Asks whether these members are meant.
fn confirm(action: &str, names: &str, force: bool, screen: &mut Screen) -> Result<(), Failure> {
    if force
        || screen.confirm(&format!(
            "Are you sure you want to {action} members {names}?"
        ))?
    {
        Ok(())
    } else {
        Err(Failure::Refused(format!("Aborted {action}")))
    }
}

/// The planned moment: given, or asked for; `None` is now. Without an offset it is meant here, without a date today.
fn moment(
    given: Option<&str>,
    question: &str,
    force: bool,
    screen: &mut Screen,
) -> Result<Option<When>, Failure> {
    let text = match given {
        Some(text) => text.to_owned(),
        None if force => return Ok(None),
        None => {
            let hour = pgherd_domain::WallTime::from_micros(3_600_000_000).as_micros();
            let later = pgherd_ports::Clock::wall(&pgherd_ports::SystemClock).as_micros() + hour;
            let later = pgherd_domain::WallTime::from_micros(later);
            let example = screen.local(later, "%Y-%m-%dT%H:%M");
            screen.ask(&question.replace("{}", &example), Some("now"))?
        }
    };
    if text == "now" {
        return Ok(None);
    }
    let now = pgherd_ports::Clock::wall(&pgherd_ports::SystemClock);
    let when = When::parse_in(&text, &screen.zone, now);
    when.map(Some).map_err(|_| {
        Failure::Refused(format!(
            "Unable to parse scheduled timestamp ({text}). \
             It should be in an unambiguous format (e.g. ISO 8601)"
        ))
    })
}
