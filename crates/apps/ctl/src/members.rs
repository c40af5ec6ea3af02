//! Whom a command means, and what each of them answers.

use pgherd_api::listing::{self, Style};
use pgherd_api::role::ClusterRole;
use pgherd_api::table::Format;
use pgherd_api::wanted::Wanted;
use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{ClusterView, MemberName};

use crate::args::Role;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::Cluster;

/// A member with its document.
pub(crate) type Member = (MemberName, MemberDoc);

impl Role {
    /// The word on the command line.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Primary => "primary",
            Self::StandbyLeader => "standby-leader",
            Self::Replica => "replica",
            Self::Standby => "standby",
            Self::Any => "any",
        }
    }

    const fn fits(self, role: ClusterRole) -> bool {
        match self {
            Self::Any => true,
            Self::Leader => role.leads(),
            Self::Primary => matches!(role, ClusterRole::Leader),
            Self::StandbyLeader => matches!(role, ClusterRole::StandbyLeader),
            Self::Replica => !role.leads(),
            Self::Standby => !matches!(role, ClusterRole::Leader),
        }
    }
}

/// Shows a cluster and gives the members in a role; of these the named ones when some are named. There must be
/// somebody; a name that is nobody's is told and passed over.
pub(crate) fn choose(
    cluster: &Cluster,
    view: &ClusterView,
    role: Role,
    names: &[String],
    screen: &mut Screen,
) -> Result<Vec<Member>, Failure> {
    if in_role(view, role).is_empty() {
        return Err(Failure::Refused(format!(
            "{cluster} cluster doesn't have any members"
        )));
    }
    show(cluster, view, screen)?;
    select(view, role, names, screen)
}

/// Prints the table of a cluster.
pub(crate) fn show(
    cluster: &Cluster,
    view: &ClusterView,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let style = Style {
        group: cluster.group,
        ..Style::default()
    };
    screen.print(&listing::members(
        &cluster.name,
        view,
        style,
        Format::Pretty,
    ))
}

/// The members in a role; of these the named ones when some are named.
pub(crate) fn select(
    view: &ClusterView,
    role: Role,
    names: &[String],
    screen: &mut Screen,
) -> Result<Vec<Member>, Failure> {
    let fitting = in_role(view, role);
    let chosen: Vec<Member> = fitting
        .iter()
        .filter(|(name, _)| names.is_empty() || names.iter().any(|given| given == name.as_str()))
        .cloned()
        .collect();
    if chosen.is_empty() {
        let word = role.word();
        return Err(Failure::Refused(format!(
            "No '{word}' among provided members"
        )));
    }
    let is_chosen = |given: &String| chosen.iter().any(|(name, _)| name.as_str() == given);
    for stranger in names.iter().filter(|given| !is_chosen(given)) {
        screen.warn(&format!("{stranger} is not a member in this role"));
    }
    Ok(chosen)
}

/// All members in a role, by name.
pub(crate) fn in_role(view: &ClusterView, role: Role) -> Vec<Member> {
    let wanted = Wanted::of(view);
    view.members
        .iter()
        .filter(|(name, _)| role.fits(ClusterRole::of(name, view, &wanted)))
        .map(|(name, doc)| (name.clone(), doc.clone()))
        .collect()
}

/// Who holds the leader key, when it is a member that shows itself.
pub(crate) fn leader(view: &ClusterView) -> Option<Member> {
    let name = view.leader_name()?;
    view.members
        .get(name)
        .map(|doc| (name.clone(), doc.clone()))
}

/// The names of members, as sentences list them.
pub(crate) fn names(members: &[Member]) -> String {
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    names.join(", ")
}
