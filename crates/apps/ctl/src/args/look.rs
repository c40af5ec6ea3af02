//! Arguments of the commands that only look.

use clap::Args;

use super::{Format, Role, Watch};

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

/// Arguments of `dsn`.
#[derive(Debug, Clone, Args)]
pub struct Dsn {
    /// The cluster; the one of the configuration file when none is named.
    pub cluster: Option<String>,
    /// Any member in this role; the leader when neither role nor member is given.
    #[arg(short, long, value_enum)]
    pub role: Option<Role>,
    /// This member.
    #[arg(short, long, value_name = "NAME")]
    pub member: Option<String>,
    /// Only host and port of one member, as patronictl prints them.
    #[arg(long)]
    pub one: bool,
    /// The database in the address.
    #[arg(short, long, value_name = "NAME")]
    pub dbname: Option<String>,
    /// The user in the address.
    #[arg(short = 'U', long, value_name = "NAME")]
    pub username: Option<String>,
}

/// Arguments of `query`.
#[derive(Debug, Clone, Args)]
pub struct Query {
    /// The cluster; the one of the configuration file when none is named.
    pub cluster: Option<String>,
    /// How to print it.
    #[arg(long, value_enum, default_value = "tsv")]
    pub format: Format,
    /// Run the SQL of this file; `-` is standard input.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<String>,
    /// Ask for the password.
    #[arg(long)]
    pub password: bool,
    /// The database user; else PGUSER, else the operator's own name.
    #[arg(short = 'U', long, value_name = "NAME")]
    pub username: Option<String>,
    /// Repeating.
    #[command(flatten)]
    pub watch: Watch,
    /// Any member in this role; the leader when neither role nor member is given.
    #[arg(short, long, value_enum)]
    pub role: Option<Role>,
    /// This member.
    #[arg(short, long, value_name = "NAME")]
    pub member: Option<String>,
    /// What stands between columns of the format `tsv`; a tab when not given.
    #[arg(long, value_name = "TEXT")]
    pub delimiter: Option<String>,
    /// Run this SQL; the rows of its first statement are shown.
    #[arg(short, long, value_name = "SQL")]
    pub command: Option<String>,
    /// The database; else PGDATABASE, else one named as the user.
    #[arg(short, long, value_name = "NAME")]
    pub dbname: Option<String>,
}
