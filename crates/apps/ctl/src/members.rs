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

/// A cluster as it was looked at: one prefix, or in a Citus cluster of which no group was named each group's.
#[derive(Debug)]
pub(crate) struct Looked {
    /// The cluster, whose name is said.
    cluster: Cluster,
    /// Each prefix with what it holds.
    views: Vec<(Cluster, ClusterView)>,
    /// What is seen of a cluster without groups.
    nothing: ClusterView,
    /// The views are groups, of which none was named.
    in_groups: bool,
}

impl Looked {
    /// One prefix.
    pub(crate) fn one(cluster: Cluster, view: ClusterView) -> Self {
        Self {
            cluster: cluster.clone(),
            views: vec![(cluster, view)],
            nothing: ClusterView::default(),
            in_groups: false,
        }
    }

    /// All groups of `cluster`.
    pub(crate) fn groups(cluster: Cluster, views: Vec<(Cluster, ClusterView)>) -> Self {
        Self {
            cluster,
            views,
            nothing: ClusterView::default(),
            in_groups: true,
        }
    }

    /// Each prefix with what it holds.
    pub(crate) fn views(&self) -> &[(Cluster, ClusterView)] {
        &self.views
    }

    /// The members in a role, by group and name.
    pub(crate) fn in_role(&self, role: Role) -> Vec<Member> {
        let views = self.views.iter();
        views.flat_map(|(_, view)| in_role(view, role)).collect()
    }

    /// The first group in which somebody is meant; the first of all where nobody is.
    pub(crate) fn in_which(&self, is_meant: impl Fn(&ClusterView) -> bool) -> &ClusterView {
        let found = self.views.iter().find(|(_, view)| is_meant(view));
        let found = found.or_else(|| self.views.first());
        found.map_or(&self.nothing, |(_, view)| view)
    }

    /// Prints it as a table.
    pub(crate) fn show(&self, screen: &mut Screen) -> Result<(), Failure> {
        screen.print(&self.table())
    }

    fn table(&self) -> String {
        let (name, format) = (&self.cluster.name, Format::Pretty);
        match &*self.views {
            [(cluster, view)] if !self.in_groups => table(cluster, view),
            views => {
                let of_group =
                    |(cluster, view): &(Cluster, ClusterView)| Some((cluster.group?, view.clone()));
                let groups: Vec<_> = views.iter().filter_map(of_group).collect();
                listing::groups(name, &groups, Style::default(), format)
            }
        }
    }
}

/// Shows a cluster and gives the members in a role; of these the named ones when some are named. There must be
/// somebody; a name that is nobody's is told and passed over.
pub(crate) fn choose(
    looked: &Looked,
    role: Role,
    names: &[String],
    screen: &mut Screen,
) -> Result<Vec<Member>, Failure> {
    let fitting = looked.in_role(role);
    if fitting.is_empty() {
        return Err(Failure::Refused(format!(
            "{} cluster doesn't have any members",
            looked.cluster
        )));
    }
    looked.show(screen)?;
    select(&fitting, role, names, screen)
}

/// Prints the table of a cluster.
pub(crate) fn show(
    cluster: &Cluster,
    view: &ClusterView,
    screen: &mut Screen,
) -> Result<(), Failure> {
    screen.print(&table(cluster, view))
}

fn table(cluster: &Cluster, view: &ClusterView) -> String {
    let style = Style {
        group: cluster.group,
        ..Style::default()
    };
    listing::members(&cluster.name, view, style, Format::Pretty)
}

/// Of the members in a role the named ones, when some are named.
pub(crate) fn select(
    fitting: &[Member],
    role: Role,
    names: &[String],
    screen: &mut Screen,
) -> Result<Vec<Member>, Failure> {
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
