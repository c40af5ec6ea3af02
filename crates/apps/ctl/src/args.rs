//! What can be said on the command line (contract §18.1, §18.2).

use clap::{Args, Subcommand, ValueEnum};
use pgherd_api::table;

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
pub struct ClientArgs {
    /// The configuration file: the agent's own, or one with the DCS only. Without it
    /// PATRONICTL_CONFIG_FILE, then ~/.config/patroni/patronictl.yaml.
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config_file: Option<String>,
    /// The DCS instead of the one in the file: SCHEME://HOST:PORT/NAMESPACE.
    #[arg(short, long, alias = "dcs", global = true, value_name = "URL")]
    pub dcs_url: Option<String>,
    /// Do not check the certificates of the members' REST APIs.
    #[arg(short = 'k', long, global = true)]
    pub insecure: bool,
    /// A Citus group.
    #[arg(long, global = true, hide = true, value_name = "INT")]
    pub group: Option<u32>,
}

/// One command.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Shows the members of a cluster: role, state, timeline, lag.
    ///
    /// Example: `pgherd list`, or `pgherd list demo -e -W` to watch everything.
    List(List),
    /// Shows the members as a tree: who replicates from whom.
    ///
    /// Example: `pgherd topology demo`
    Topology(Topology),
    /// Shows the timelines that ended, why, and who led the next one.
    ///
    /// Example: `pgherd history -f json`
    History(History),
    /// Moves the leader to another member, in good order: no acknowledged commit is lost.
    ///
    /// Asks for what is not given; --force takes the defaults.
    /// Example: `pgherd switchover --candidate node2 --force`
    Switchover(Switchover),
    /// Makes a member the leader although the present one is in trouble or gone.
    ///
    /// Commits that the candidate has not received are lost; prefer `switchover` while the leader works.
    /// Example: `pgherd failover --candidate node2`
    Failover(Failover),
    /// Restarts PostgreSQL on members, now or later, if the conditions hold.
    ///
    /// Example: `pgherd restart demo --pending`, or
    /// `pgherd restart demo node2 --scheduled 2026-12-01T03:00 --force`
    Restart(Restart),
    /// Lets the agents of members read their configuration files again.
    ///
    /// Example: `pgherd reload demo`
    Reload(Reload),
    /// Makes a replica anew from a copy of another member.
    ///
    /// Its data directory is replaced. Example: `pgherd reinit demo node3 --wait`
    Reinit(Reinit),
    /// Forgets a planned restart or switchover.
    ///
    /// Example: `pgherd flush demo switchover`
    Flush(Flush),
    /// Stops all automatic actions: nothing is started, stopped, promoted or demoted by itself.
    ///
    /// For maintenance. Example: `pgherd pause --wait`
    Pause(Pause),
    /// Ends the pause.
    ///
    /// Example: `pgherd resume --wait`
    Resume(Pause),
    /// Shows the dynamic configuration of a cluster.
    ///
    /// Example: `pgherd show-config > demo.yml`
    ShowConfig(ShowConfig),
    /// Changes the dynamic configuration, after showing the difference.
    ///
    /// Without options an editor opens ($EDITOR).
    /// Example: `pgherd edit-config -s ttl=20 -p max_connections=200`
    EditConfig(EditConfig),
    /// Says of each member why it may or may not become primary, and what would have to change.
    ///
    /// Example: `pgherd explain demo`
    Explain(Explain),
    /// Shows the versions of this program, and of the members' agents and PostgreSQL.
    ///
    /// Example: `pgherd version demo`
    Version(Version),
}

/// How a table is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// In a frame, for people.
    Pretty,
    /// Tab-separated.
    Tsv,
    /// One line of JSON.
    Json,
    /// YAML.
    Yaml,
    /// YAML.
    #[value(hide = true)]
    Yml,
}

impl From<Format> for table::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Pretty => Self::Pretty,
            Format::Tsv => Self::Tsv,
            Format::Json => Self::Json,
            Format::Yaml | Format::Yml => Self::Yaml,
        }
    }
}

/// Which members are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Holds the leader key.
    Leader,
    /// Leads a normal cluster.
    Primary,
    /// Leads a standby cluster.
    StandbyLeader,
    /// Does not lead.
    Replica,
    /// Everybody but a primary.
    Standby,
    /// Everybody.
    Any,
}

/// Repeats a table until it is interrupted.
#[derive(Debug, Clone, Default, Args)]
pub struct Watch {
    /// Show it again every 2 seconds.
    #[arg(short = 'W')]
    pub every_two: bool,
    /// Show it again every so many seconds.
    #[arg(short = 'w', long = "watch", value_name = "SECONDS")]
    pub every: Option<f64>,
}

/// Arguments of `list`.
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Clusters; the one of the configuration file when none is named.
    #[arg(value_name = "CLUSTER")]
    pub clusters: Vec<String>,
    /// All columns, also empty ones.
    #[arg(short, long)]
    pub extended: bool,
    /// The time above the table.
    #[arg(short, long)]
    pub timestamp: bool,
    /// How to print it.
    #[arg(short, long, value_enum, default_value = "pretty")]
    pub format: Format,
    /// Repeating.
    #[command(flatten)]
    pub watch: Watch,
}

/// Arguments of `topology`.
#[derive(Debug, Clone, Args)]
pub struct Topology {
    /// Clusters; the one of the configuration file when none is named.
    #[arg(value_name = "CLUSTER")]
    pub clusters: Vec<String>,
    /// Repeating.
    #[command(flatten)]
    pub watch: Watch,
}

/// Arguments of `history`.
#[derive(Debug, Clone, Args)]
pub struct History {
    /// The cluster; the one of the configuration file when none is named.
    pub cluster: Option<String>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value = "pretty")]
    pub format: Format,
}

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
    /// When: `now`, or a time in ISO 8601; without an offset it is local.
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
    /// When: `now`, or a time in ISO 8601; without an offset it is local.
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

/// Arguments of `show-config`.
#[derive(Debug, Clone, Args)]
pub struct ShowConfig {
    /// The cluster; the one of the configuration file when none is named.
    pub cluster: Option<String>,
}

/// Arguments of `edit-config`.
#[derive(Debug, Clone, Args)]
pub struct EditConfig {
    /// The cluster; the one of the configuration file when none is named.
    pub cluster: Option<String>,
    /// Do not show the difference.
    #[arg(short, long)]
    pub quiet: bool,
    /// Set a value, such as `ttl=20`; `null` removes it. Can be given several times.
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Set a PostgreSQL parameter, such as `max_connections=200`. Can be given several times.
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub pg: Vec<String>,
    /// Patch the configuration with this YAML file; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub apply: Option<String>,
    /// Replace the configuration by this YAML file; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub replace: Option<String>,
    /// Ask nothing.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `explain`.
#[derive(Debug, Clone, Args)]
pub struct Explain {
    /// The cluster; the one of the configuration file when none is named.
    pub cluster: Option<String>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value = "pretty")]
    pub format: Format,
}

/// Arguments of `version`.
#[derive(Debug, Clone, Args)]
pub struct Version {
    /// The cluster whose members are asked; nobody is asked when none is named.
    pub cluster: Option<String>,
    /// Members; everybody when none is named.
    #[arg(value_name = "MEMBER")]
    pub members: Vec<String>,
}
