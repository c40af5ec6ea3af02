//! `dsn`: how to connect to a member.

use crate::args::{Dsn, Role};
use crate::failure::Failure;
use crate::members::{self, Member};
use crate::screen::Screen;
use crate::session::Session;

/// `dsn`
pub(super) async fn dsn(args: &Dsn, session: &Session, screen: &mut Screen) -> Result<(), Failure> {
    refuse_both(args.role, args.member.as_deref())?;
    let view = session.cluster(args.cluster.as_deref())?.load().await?;
    let found = candidates(&view, args.role, args.member.as_deref())
        .into_iter()
        .find_map(|(_, doc)| doc.address());
    match found {
        Some((host, port)) => screen.say(&format!("host={host} port={port}")),
        None => Err(Failure::refused("Can not find a suitable member")),
    }
}

/// One way to name a member is enough.
pub(super) fn refuse_both(role: Option<Role>, member: Option<&str>) -> Result<(), Failure> {
    if role.is_some() && member.is_some() {
        return Err(Failure::refused(
            "--role and --member are mutually exclusive options",
        ));
    }
    Ok(())
}

/// The members meant, by name: the one named, else those in the role, else the leader.
pub(super) fn candidates(
    view: &pgherd_domain::ClusterView,
    role: Option<Role>,
    member: Option<&str>,
) -> Vec<Member> {
    let mut found = members::in_role(view, role.unwrap_or(Role::Any));
    match (role, member) {
        (_, Some(member)) => found.retain(|(name, _)| name.as_str() == member),
        (None, None) => found = members::in_role(view, Role::Leader),
        (Some(_), None) => {}
    }
    found
}
