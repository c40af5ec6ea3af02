//! Citus (contract §20): the nodes of a distributed database as the coordinator's catalogue lists them, and what a worker
//! says of a change of its primary.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::documents::MemberDoc;
use crate::{ClusterView, MemberName, PgRole};

/// The group of the coordinator; all others are workers.
pub const COORDINATOR_GROUP: u32 = 0;

/// Behind the host of a primary that is about to stop: no server has that name, so new connections wait for the transaction.
const DEMOTED: &str = "-demoted";

/// Where a node is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeAddress {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl NodeAddress {
    /// The name under which nobody is reached while the primary changes.
    #[must_use]
    pub fn demoted(&self) -> Self {
        Self {
            host: format!("{}{DEMOTED}", self.without_mark().host),
            port: self.port,
        }
    }

    /// The address that a demoted one had before.
    #[must_use]
    pub fn without_mark(&self) -> Self {
        let host = self.host.strip_suffix(DEMOTED).unwrap_or(&self.host);
        Self {
            host: host.to_owned(),
            port: self.port,
        }
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What a node is in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeRole {
    /// Takes writes.
    Primary,
    /// May be read from.
    Secondary,
}

impl NodeRole {
    /// As the catalogue writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }
}

/// A row of `pg_dist_node`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DistNode {
    /// Its id, which stays when the address changes.
    pub id: i64,
    /// The group.
    pub group: u32,
    /// What it is there.
    pub role: NodeRole,
    /// Where it is.
    pub address: NodeAddress,
}

/// One change of `pg_dist_node`: a call of one function of Citus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeChange {
    /// `citus_add_node`
    Add {
        /// The group.
        group: u32,
        /// What it is there.
        role: NodeRole,
        /// Where it is.
        address: NodeAddress,
    },
    /// `citus_update_node`
    Update {
        /// Which row.
        id: i64,
        /// Its new address.
        address: NodeAddress,
    },
    /// `citus_remove_node`
    Remove {
        /// Where it was.
        address: NodeAddress,
    },
}

impl fmt::Display for NodeChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add {
                group,
                role,
                address,
            } => write!(f, "add {} {address} of group {group}", role.as_str()),
            Self::Update { id, address } => write!(f, "node {id} is at {address}"),
            Self::Remove { address } => write!(f, "remove {address}"),
        }
    }
}

/// The servers of one group as they are to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupNodes {
    /// The server that takes writes.
    pub primary: NodeAddress,
    /// Those that may be read from.
    pub secondaries: BTreeSet<NodeAddress>,
}

impl GroupNodes {
    /// Those of a group as the DCS shows it: the leader when it runs as a primary, and replicas that run and are not
    /// `noloadbalance`. `None` while nobody leads: then what is listed stays.
    pub fn of(view: &ClusterView) -> Option<Self> {
        let leader = view.leader_member()?;
        let leads = leader.is_running() && leader.role == Some(PgRole::Primary);
        let primary = leads.then(|| address(leader)).flatten()?;
        let others = view.members.iter();
        let secondaries = others
            .filter(|(name, member)| Some(*name) != view.leader_name() && is_read_from(member))
            .filter_map(|(_, member)| address(member))
            .filter(|address| *address != primary)
            .collect();
        Some(Self {
            primary,
            secondaries,
        })
    }
}

/// Where a member's PostgreSQL is.
pub fn address(member: &MemberDoc) -> Option<NodeAddress> {
    let (host, port) = member.address()?;
    Some(NodeAddress { host, port })
}

fn is_read_from(member: &MemberDoc) -> bool {
    member.is_running() && member.role == Some(PgRole::Replica) && !member.tags().noloadbalance
}

/// At which point of a change of its primary a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CitusStep {
    /// The primary is about to stop.
    BeforeDemote,
    /// A server is about to become the primary.
    BeforePromote,
    /// The primary takes writes.
    AfterPromote,
}

impl CitusStep {
    /// As the message names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BeforeDemote => "before_demote",
            Self::BeforePromote => "before_promote",
            Self::AfterPromote => "after_promote",
        }
    }
}

/// What a worker's leader tells the coordinator's (`POST /citus`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CitusEvent {
    /// What happens.
    pub step: CitusStep,
    /// The worker's group.
    pub group: u32,
    /// Who tells it: the group's leader.
    pub leader: MemberName,
    /// For how long the change may be left open.
    pub timeout: Duration,
    /// How long statements that are in the way may go on before they are ended.
    pub cooldown: Duration,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{LeaderKey, PgState};

    fn member(host: &str, role: PgRole, state: PgState) -> MemberDoc {
        MemberDoc {
            conn_url: format!("postgres://{host}:5432/postgres"),
            role: Some(role),
            state: Some(state),
            ..MemberDoc::default()
        }
    }

    fn at(host: &str) -> NodeAddress {
        NodeAddress {
            host: host.to_owned(),
            port: 5432,
        }
    }

    #[test]
    fn a_group_lists_its_primary_and_the_replicas_that_run_and_are_read_from() {
        let mut apart = member("e", PgRole::Replica, PgState::Running);
        apart.tags = BTreeMap::from([("noloadbalance".to_owned(), true.into())]);
        let members = [
            ("a", member("a", PgRole::Primary, PgState::Running)),
            ("b", member("b", PgRole::Replica, PgState::Running)),
            ("c", member("c", PgRole::Replica, PgState::Starting)),
            ("d", member("d", PgRole::Primary, PgState::Running)),
            ("e", apart),
        ];
        let mut view = ClusterView {
            members: members
                .into_iter()
                .map(|(name, member)| (MemberName::new(name).unwrap(), member))
                .collect(),
            ..ClusterView::default()
        };
        assert_eq!(GroupNodes::of(&view), None, "nobody leads");
        view.leader = Some(LeaderKey {
            name: MemberName::new("a").unwrap(),
            revision: 1,
            on_my_lease: false,
        });
        let found = GroupNodes::of(&view).unwrap();
        assert_eq!(
            (found.primary, found.secondaries),
            (at("a"), [at("b")].into())
        );
        for doc in view.members.values_mut().take(1) {
            doc.role = Some(PgRole::Replica);
        }
        assert_eq!(
            GroupNodes::of(&view),
            None,
            "the leader is no primary (yet)"
        );
    }

    #[test]
    fn the_mark_of_a_demoted_primary_is_put_on_once_and_comes_off() {
        let marked = at("h").demoted();
        assert_eq!(marked.to_string(), "h-demoted:5432");
        assert_eq!(marked.demoted(), marked);
        assert_eq!(marked.without_mark(), at("h"));
        assert_eq!(at("h").without_mark(), at("h"));
    }
}
