//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

/// Keeps a herd of PostgreSQL servers available.
///
/// `pgherd agent` runs beside each server; all other commands look at a cluster or tell it what to do.
/// They read the same YAML file as the agent: `pgherd -c /etc/patroni/patroni.yml list`.
#[derive(Debug, Parser)]
#[command(
    name = "pgherd",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub client: pgherd_ctl::ClientArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the agent of one member: guards its PostgreSQL and takes part in electing the primary.
    ///
    /// Stopping it with SIGTERM stops PostgreSQL too, unless the cluster is paused; SIGHUP reads the file
    /// again. Example: `pgherd agent /etc/patroni/node1.yml`
    Agent(AgentArgs),
    /// Stops a primary whose lease ends, should the agent not be able to. The agent starts it.
    ///
    /// It runs beside PostgreSQL as a process of its own, outlives a killed agent, is taken over by the next
    /// one, and ends when an agent stops in order. One runs for each data directory; a second ends at once.
    #[command(hide = true)]
    Fence(FenceArgs),
    /// Starts a PostgreSQL and is its parent: when it dies, PostgreSQL ends. The agent starts it.
    ///
    /// It stops a primary whose lease ends when neither the agent nor the fence is left to do it, and ends with
    /// PostgreSQL.
    #[command(hide = true)]
    Tether(TetherArgs),
    /// Becomes the PostgreSQL of a tether.
    #[command(hide = true)]
    Tethered(TetheredArgs),
    #[command(flatten)]
    Verb(pgherd_ctl::Command),
    /// Prints what a shell needs to complete commands and options.
    ///
    /// Example: `pgherd completions bash > /etc/bash_completion.d/pgherd`
    Completions(CompletionsArgs),
    /// Writes the manual pages into a folder.
    ///
    /// Example: `pgherd man /usr/local/share/man/man1`
    Man(ManArgs),
}

/// `patronictl`: the same commands under the name that scripts know.
#[derive(Debug, Parser)]
#[command(
    name = "patronictl",
    about = "Command-line interface for interacting with Patroni.",
    disable_help_subcommand = true
)]
pub(crate) struct PatronictlArgs {
    #[command(flatten)]
    pub client: pgherd_ctl::ClientArgs,
    #[command(subcommand)]
    pub verb: pgherd_ctl::Command,
}

/// `patroni`: the agent under the name that units and scripts know.
#[derive(Debug, Parser)]
#[command(
    name = "patroni",
    version = pgherd_api::COMPATIBLE_VERSION,
    about = "The agent of one member, with the command line of Patroni."
)]
pub(crate) struct PatroniArgs {
    #[command(flatten)]
    pub agent: AgentArgs,
}

/// What the agent is told (contract §1.2).
#[derive(Debug, ClapArgs)]
pub(crate) struct AgentArgs {
    /// The YAML file, or a folder whose `*.yml` files are laid one over the other in the order of their
    /// names. Without it the environment alone counts (PATRONI_CONFIGURATION, or PATRONI_* variables).
    /// With --generate-* the file that is written; standard output without one.
    #[arg(value_name = "CONFIGFILE")]
    pub config: Option<String>,
    #[command(flatten)]
    pub mode: ModeArgs,
    /// Where --generate-config finds the running server: `host=... port=... user=...` or a URI. Without it the
    /// PG* variables of the environment count.
    #[arg(long, value_name = "DSN")]
    pub dsn: Option<String>,
    /// With --validate-config: ports that are in use are no fault.
    #[arg(short, long)]
    pub ignore_listen_port: bool,
    /// With --validate-config: print the settings, passwords included, when nothing is wrong with them.
    #[arg(short, long)]
    pub print: bool,
    /// With --validate-config: what is odd, such as an unknown key, is a fault.
    #[arg(long)]
    pub strict: bool,
}

/// What to do instead of running; one at most.
#[derive(Debug, ClapArgs)]
#[group(multiple = false)]
pub(crate) struct ModeArgs {
    /// Checks the settings and the host, says everything that is wrong, and ends: 0 when nothing is.
    #[arg(long)]
    pub validate_config: bool,
    /// Writes a sample configuration file.
    #[arg(long)]
    pub generate_sample_config: bool,
    /// Writes the configuration file of a running PostgreSQL.
    #[arg(long)]
    pub generate_config: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
    /// The program that is completed.
    #[arg(long, value_enum, default_value = "pgherd")]
    pub program: Completed,
}

/// A program that shells can complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Completed {
    Pgherd,
    Patronictl,
    Patroni,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ManArgs {
    /// The folder; it is made when it is not there.
    pub folder: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct FenceArgs {
    /// The data directory of the server that is guarded.
    #[arg(long)]
    pub data_dir: PathBuf,
    /// The file in which the agent says until when a primary may run.
    #[arg(long)]
    pub deadline_file: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TetherArgs {
    /// The data directory of the server.
    #[arg(long)]
    pub data_dir: PathBuf,
    /// User and group, as numbers, that the server runs as; without it the tether's own.
    #[arg(long, value_name = "UID:GID", value_parser = account)]
    pub run_as: Option<(u32, u32)>,
    /// The server's program and its arguments.
    #[arg(last = true, required = true)]
    pub server: Vec<OsString>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TetheredArgs {
    /// Process id of the tether.
    #[arg(long)]
    pub parent: i32,
    /// The server's program and its arguments.
    #[arg(last = true, required = true)]
    pub server: Vec<OsString>,
}

fn account(text: &str) -> Result<(u32, u32), String> {
    let numbers = text
        .split_once(':')
        .and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)));
    numbers.ok_or_else(|| "two numbers with a colon between them are wanted".to_owned())
}
