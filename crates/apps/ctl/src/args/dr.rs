//! Arguments of `dr`.

use std::time::Duration;

use clap::{Args, Subcommand};

/// What is done with two regions.
#[derive(Debug, Clone, Subcommand)]
pub enum Dr {
    /// Shows both regions: who is the primary one, how far the other is behind, what was done before.
    ///
    /// Example: `pgherd dr status --other /etc/pgherd/paris.yml`
    Status(DrStatus),
    /// Makes the standby region the primary one and the primary region its standby, without losing a commit.
    ///
    /// The primary region stops writing first; only when the other one has its last record is that one
    /// promoted. The old region follows without a new copy. Run again, an interrupted one is resumed; --undo
    /// takes it back. Example: `pgherd dr switchover --other /etc/pgherd/paris.yml`
    Switchover(DrSwitchover),
    /// Promotes this standby region because the primary one is lost, and records what may be lost with it.
    ///
    /// Example: `pgherd dr failover --accept-loss --other /etc/pgherd/berlin.yml`
    Failover(DrFailover),
}

/// The other region.
#[derive(Debug, Clone, Args)]
pub struct Other {
    /// The cluster here; the one of the configuration file when none is named.
    pub cluster: Option<String>,
    /// Configuration of the other region: an agent's own file, or one with its DCS only.
    #[arg(long, value_name = "FILE")]
    pub other: Option<String>,
    /// The cluster there; the one of that file when none is named.
    #[arg(long, value_name = "NAME")]
    pub other_cluster: Option<String>,
}

/// Arguments of `dr status`.
#[derive(Debug, Clone, Args)]
pub struct DrStatus {
    /// The other region.
    #[command(flatten)]
    pub regions: Other,
}

/// Arguments of `dr switchover`.
#[derive(Debug, Clone, Args)]
pub struct DrSwitchover {
    /// The other region.
    #[command(flatten)]
    pub regions: Other,
    /// How the old primary region reaches the new one, with commas for several; the addresses of its members
    /// when not given.
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// The port there.
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Seconds that each step may take before it is taken back.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub timeout: u64,
    /// Take an interrupted switchover back: the region that was the primary one becomes it again.
    #[arg(long)]
    pub undo: bool,
    /// Ask nothing.
    #[arg(long)]
    pub force: bool,
}

impl DrSwitchover {
    pub(crate) const fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// Arguments of `dr failover`.
#[derive(Debug, Clone, Args)]
pub struct DrFailover {
    /// The other region, lost as it is; where its DCS still answers it is told to come back as a standby.
    #[command(flatten)]
    pub regions: Other,
    /// What the lost region had and this one has not is given up.
    #[arg(long)]
    pub accept_loss: bool,
    /// Seconds that the promotion may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub timeout: u64,
    /// Ask nothing.
    #[arg(long)]
    pub force: bool,
}
