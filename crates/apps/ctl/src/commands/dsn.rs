//! `dsn`: how to connect. As `pgherd`, an address of all members from which libpq picks the right one, also after a
//! failover; as `patronictl`, host and port of one.

use std::fmt::Write as _;

use pgherd_api::wanted::Wanted;
use pgherd_domain::ClusterView;

use crate::Program;
use crate::args::{Dsn, Role};
use crate::failure::Failure;
use crate::members::{self, Member};
use crate::screen::Screen;
use crate::session::Session;

/// `dsn`
pub(super) async fn dsn(args: &Dsn, session: &Session, screen: &mut Screen) -> Result<(), Failure> {
    refuse_both(args.role, args.member.as_deref())?;
    let looked = session.look(args.cluster.as_deref()).await?;
    let meant = |view: &ClusterView| candidates(view, args.role, args.member.as_deref());
    let view = looked.in_which(|view| !meant(view).is_empty());
    let found = meant(view);
    let one = args.one || session.program == Program::Patronictl;
    if !one {
        return match address(args, view, &found) {
            Some(address) => screen.say(&address),
            None => Err(Failure::refused("Can not find a suitable member")),
        };
    }
    match found.into_iter().find_map(|(_, doc)| doc.address()) {
        Some((host, port)) => screen.say(&format!("host={host} port={port}")),
        None => Err(Failure::refused("Can not find a suitable member")),
    }
}

/// An address with the members meant first and all others behind them: whichever of them has the role when a client
/// connects is found by `target_session_attrs`.
fn address(args: &Dsn, view: &ClusterView, first: &[Member]) -> Option<String> {
    let mut hosts: Vec<String> = first.iter().filter_map(host).collect();
    if args.member.is_some() && hosts.is_empty() {
        return None;
    }
    let wanted = session(args, view);
    if args.member.is_none() {
        let rest: Vec<Member> = members::in_role(view, Role::Any);
        for host in rest.iter().filter_map(host) {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
    }
    if hosts.is_empty() {
        return None;
    }
    let user = args
        .username
        .as_deref()
        .map(|user| format!("{}@", escaped(user)));
    let database = args.dbname.as_deref().map(escaped);
    Some(format!(
        "postgresql://{}{}/{}?target_session_attrs={wanted}",
        user.unwrap_or_default(),
        hosts.join(","),
        database.unwrap_or_default()
    ))
}

/// The session that is wanted. `read-write` is known to every libpq since 10, `prefer-standby` since 14.
fn session(args: &Dsn, view: &ClusterView) -> &'static str {
    match args.role {
        _ if args.member.is_some() => "any",
        Some(Role::Replica | Role::Standby) => "prefer-standby",
        Some(Role::Any | Role::StandbyLeader) => "any",
        // Nobody in a standby cluster takes writes.
        None | Some(Role::Leader) if Wanted::of(view).standby_cluster => "any",
        None | Some(Role::Leader | Role::Primary) => "read-write",
    }
}

fn host((_, doc): &Member) -> Option<String> {
    let (host, port) = doc.address()?;
    Some(if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    })
}

/// As an address writes what is no letter, digit or one of `-._~`.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string can not fail.
            write!(escaped, "%{byte:02X}").ok();
        }
    }
    escaped
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
    view: &ClusterView,
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
