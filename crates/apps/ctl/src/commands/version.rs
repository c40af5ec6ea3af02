//! `version`.

use pgherd_api::COMPATIBLE_VERSION;
use pgherd_domain::ServerVersion;
use pgherd_peers::Method;
use serde_json::Value;

use super::ANSWER_MAX;
use crate::Program;
use crate::args::{Role, Version};
use crate::failure::Failure;
use crate::members::Member;
use crate::screen::Screen;
use crate::session::Session;

/// `version`
pub(super) async fn version(
    args: &Version,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    own_version(session.program, screen)?;
    let Some(name) = &args.cluster else {
        return Ok(());
    };
    screen.say("")?;
    let looked = session.look(Some(name)).await?;
    let is_meant = |name: &str| args.members.is_empty() || args.members.iter().any(|n| n == name);
    let all = looked.in_role(Role::Any);
    for member in all.iter().filter(|(name, _)| is_meant(name.as_str())) {
        let line = match ask(session, member).await {
            Ok(versions) => format!("{}: {versions}", member.0),
            Err(why) => format!("{}: failed to get version: {why}", member.0),
        };
        screen.say(&line)?;
    }
    Ok(())
}

/// The version of this program, and that of the Patroni whose manners it has.
pub(crate) fn own_version(program: Program, screen: &mut Screen) -> Result<(), Failure> {
    let own = match program {
        Program::Pgherd => concat!(" (pgherd ", env!("CARGO_PKG_VERSION"), ")"),
        Program::Patronictl => "",
    };
    screen.say(&format!("patronictl version {COMPATIBLE_VERSION}{own}"))
}

async fn ask(session: &Session, (_, doc): &Member) -> Result<String, String> {
    let reply = session
        .ask(Method::GET, &doc.api_url, "patroni", None, ANSWER_MAX)
        .await
        .map_err(|error| error.to_string())?;
    let doc: Value = serde_json::from_str(&reply.text)
        .map_err(|_| format!("the answer (status code {}) is not JSON", reply.code))?;
    let agent = doc.pointer("/patroni/version").and_then(Value::as_str);
    let server = doc.get("server_version").and_then(Value::as_u64);
    let server = server.and_then(|number| u32::try_from(number).ok());
    let server = server.map(|number| format!(" PostgreSQL {}", ServerVersion(number)));
    Ok(format!(
        "Patroni {}{}",
        agent.unwrap_or("unknown"),
        server.unwrap_or_default()
    ))
}
