//! Arguments of the commands that act on members.

use clap::Args;

use super::{Format, Role};

/// Arguments of `switchover`.
#[derive(Debug, Clone, Args)]
pub struct Switchover {
    /// The cluster; the one of the configuration file when none is named.
    pub cluster: Option<String>,
    /// The present leader, as a check that it is the one you think.
    #[arg(long, visible_alias = "primary", alias = "master", value_name = "NAME")]
    pub leader: Option<String>,
    /// The member that takes over; the best one when none is named.
    #[arg(long, value_name = "NAME")]
    pub candidate: Option<String>,
    /// When: `now`, or a time in ISO 8601; without an offset it is local, without a date it is today.
    #[arg(long, value_name = "TIME")]
    pub scheduled: Option<String>,
    /// Ask nothing.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `failover`.
#[derive(Debug, Clone, Args)]
pub struct Failover {
    /// The cluster; the one of the configuration file when none is named.
    pub cluster: Option<String>,
    /// The member that takes over.
    #[arg(long, value_name = "NAME")]
    pub candidate: Option<String>,
    /// Ask nothing.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `restart`.
#[derive(Debug, Clone, Args)]
pub struct Restart {
    /// The cluster.
    pub cluster: String,
    /// Members; everybody when none is named.
    #[arg(value_name = "MEMBER")]
    pub members: Vec<String>,
    /// Only members in this role.
    #[arg(short, long, value_enum, default_value = "any")]
    pub role: Role,
    /// A single one of them.
    #[arg(long)]
    pub any: bool,
    /// When: `now`, or a time in ISO 8601; without an offset it is local, without a date it is today.
    #[arg(long, value_name = "TIME")]
    pub scheduled: Option<String>,
    /// Only where PostgreSQL is older than this, such as 15.9.
    #[arg(long, value_name = "VERSION")]
    pub pg_version: Option<String>,
    /// Only where a restart is pending.
    #[arg(long)]
    pub pending: bool,
    /// How long the start may take, in seconds, before it counts as failed.
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<String>,
    /// Ask nothing.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `reload`.
#[derive(Debug, Clone, Args)]
pub struct Reload {
    /// The cluster.
    pub cluster: String,
    /// Members; everybody when none is named.
    #[arg(value_name = "MEMBER")]
    pub members: Vec<String>,
    /// Only members in this role.
    #[arg(short, long, value_enum, default_value = "any")]
    pub role: Role,
    /// Ask nothing.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `reinit`.
#[derive(Debug, Clone, Args)]
pub struct Reinit {
    /// The cluster.
    pub cluster: String,
    /// Replicas.
    #[arg(value_name = "MEMBER")]
    pub members: Vec<String>,
    /// Ask nothing, and cancel what the member is busy with.
    #[arg(long)]
    pub force: bool,
    /// Copy from the leader, not from a replica.
    #[arg(long)]
    pub from_leader: bool,
    /// Wait until it is done, and show how far it is.
    #[arg(long)]
    pub wait: bool,
}

/// Arguments of `delayed`.
#[derive(Debug, Clone, Args)]
pub struct Delayed {
    /// The cluster.
    pub cluster: String,
    /// The delayed standby.
    pub member: String,
    /// Replay goes on to the last commit before this time, and waits there: ISO 8601; without an offset it is
    /// local.
    #[arg(long, value_name = "TIME", conflicts_with = "resume")]
    pub stop_before: Option<String>,
    /// Replay goes on, with its delay.
    #[arg(long)]
    pub resume: bool,
}

/// Arguments of `flush`.
#[derive(Debug, Clone, Args)]
pub struct Flush {
    /// The cluster.
    pub cluster: String,
    /// Members, then `restart` or `switchover`.
    #[arg(value_name = "MEMBER", required = true)]
    pub members_and_target: Vec<String>,
    /// Only members in this role.
    #[arg(short, long, value_enum, default_value = "any")]
    pub role: Role,
    /// Ask nothing.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `pause` and `resume`.
#[derive(Debug, Clone, Args)]
pub struct Pause {
    /// The cluster; the one of the configuration file when none is named.
    pub cluster: Option<String>,
    /// Wait until every member has noticed.
    #[arg(long)]
    pub wait: bool,
}

/// Arguments of `remove`.
#[derive(Debug, Clone, Args)]
pub struct Remove {
    /// The cluster.
    pub cluster: String,
    /// How to print its members.
    #[arg(short, long, value_enum, default_value = "pretty")]
    pub format: Format,
}
