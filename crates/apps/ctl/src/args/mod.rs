//! What can be said on the command line (contract §18.1, §18.2).

mod act;
mod configure;
mod dr;
mod look;

use clap::{Args, Subcommand, ValueEnum};
use pgherd_api::table;

pub use act::{Delayed, Failover, Flush, Pause, Reinit, Reload, Remove, Restart, Switchover};
pub use configure::{DemoteCluster, EditConfig, PromoteCluster, ShowConfig};
pub use dr::{Dr, DrFailover, DrStatus, DrSwitchover, Other};
pub use look::{Dsn, Explain, History, List, Query, Topology, Version};

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
pub struct ClientArgs {
    /// The configuration: the agent's own file or folder, or a file with the DCS only. Without it
    /// PATRONICTL_CONFIG_FILE, then ~/.config/patroni/patronictl.yaml.
    #[arg(short, long, value_name = "FILE", overrides_with = "config_file")]
    pub config_file: Option<String>,
    /// The DCS instead of the one in the file: SCHEME://HOST:PORT/NAMESPACE.
    #[arg(
        short,
        long,
        visible_alias = "dcs",
        value_name = "URL",
        overrides_with = "dcs_url"
    )]
    pub dcs_url: Option<String>,
    /// Do not check the certificates of the members' REST APIs.
    #[arg(short = 'k', long, global = true)]
    pub insecure: bool,
    /// One group of a Citus cluster.
    #[arg(long, global = true, value_name = "INT")]
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
    /// Prints an address for libpq that names all members and finds the leader among them, also after a failover.
    ///
    /// With --role replica a standby is preferred. As patronictl, or with --one: host and port of one member.
    /// Example: `psql "$(pgherd dsn -d app -U app)"`
    Dsn(Dsn),
    /// Runs SQL on a member, the leader unless another is asked for.
    ///
    /// Users, passwords and certificates are libpq's: PGUSER, PGPASSWORD, ~/.pgpass and the like.
    /// Example: `pgherd query -r replica -U postgres -c 'SELECT pg_is_in_recovery()'`
    Query(Query),
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
    /// Shows a delayed standby, or stops its replay before a given time so that one can read from it.
    ///
    /// For what was dropped or changed by mistake: what the delay still holds back can be read there.
    /// Example: `pgherd delayed demo node3 --stop-before '2026-11-26 14:03'`, then `pgherd query`, `pg_dump`,
    /// then `pgherd delayed demo node3 --resume`
    Delayed(Delayed),
    /// Forgets a planned restart or switchover.
    ///
    /// Example: `pgherd flush demo switchover`
    Flush(Flush),
    /// Removes everything about a cluster from the DCS, after asking three times.
    ///
    /// For clusters that are gone: members that still run lose their leader, and stop it.
    /// Example: `pgherd remove old-cluster`
    Remove(Remove),
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
    /// Makes this cluster a standby of another one, and waits until it is.
    ///
    /// Example: `pgherd demote-cluster --host 10.0.2.1 --port 5432 --primary-slot-name herd`
    DemoteCluster(DemoteCluster),
    /// Makes a standby cluster one of its own, and waits until it is.
    ///
    /// Example: `pgherd promote-cluster --force`
    PromoteCluster(PromoteCluster),
    /// Works with two regions: a primary one and its standby.
    ///
    /// Example: `pgherd dr status --other /etc/pgherd/paris.yml`
    #[command(subcommand)]
    Dr(Dr),
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
