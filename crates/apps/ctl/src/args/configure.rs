//! Arguments of the commands that change the dynamic configuration.

use clap::Args;

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

/// Arguments of `demote-cluster`.
#[derive(Debug, Clone, Args)]
pub struct DemoteCluster {
    /// The cluster; the one of the configuration file when none is named.
    pub cluster: Option<String>,
    /// Ask nothing.
    #[arg(long)]
    pub force: bool,
    /// Host of the server to follow.
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Its port.
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// The command that fetches WAL from the other cluster's archive.
    #[arg(long, value_name = "COMMAND")]
    pub restore_command: Option<String>,
    /// The replication slot on that server.
    #[arg(long, value_name = "NAME")]
    pub primary_slot_name: Option<String>,
}

/// Arguments of `promote-cluster`.
#[derive(Debug, Clone, Args)]
pub struct PromoteCluster {
    /// The cluster; the one of the configuration file when none is named.
    pub cluster: Option<String>,
    /// Ask nothing.
    #[arg(long)]
    pub force: bool,
}
