//! How a postmaster is started: in a session of its own, by a parent that stays and gives its exit code.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use crate::place::Place;
use crate::run::command;
use crate::server::LocalServer;

/// What starts a postmaster and is its parent.
#[derive(Debug, Clone, Default)]
pub enum Launcher {
    /// setsid(1), which does nothing else.
    #[default]
    Session,
    /// `PROGRAM tether --data-dir DIR [--run-as UID:GID] -- SERVER ARGUMENT…`. Its end ends the postmaster, it
    /// outlives this process, and it becomes the owner of the data directory for the server alone.
    Tether(PathBuf),
}

impl LocalServer {
    /// Starts postmasters with `launcher` from now on.
    #[must_use]
    pub fn launched_by(mut self, launcher: Launcher) -> Self {
        self.place.launch_with(launcher);
        self
    }
}

impl Launcher {
    /// The command that starts the server of `place`, whose arguments are still to be added. What the server
    /// prints goes to `log`, what the launcher itself has to say where our own errors go.
    pub(crate) fn command(&self, place: &Place, log: std::fs::File) -> std::io::Result<Command> {
        let owner = place.owner();
        let mut launch = match self {
            Self::Session => {
                let mut setsid = command("setsid", owner);
                setsid.arg("--wait").stderr(log.try_clone()?);
                setsid
            }
            Self::Tether(program) => {
                // Itself it stays what we are: it reads what only we may.
                let mut myself = owner.clone();
                myself.becomes = false;
                let mut tether = command(&program.to_string_lossy(), &myself);
                tether.arg0("pgherd").arg("tether");
                tether.arg("--data-dir").arg(place.data_dir());
                if owner.becomes {
                    tether
                        .arg(format!("--run-as={}:{}", owner.uid, owner.gid))
                        .env("HOME", &owner.home)
                        .env("USER", &owner.name)
                        .env("LOGNAME", &owner.name);
                }
                tether.arg("--").stderr(Stdio::inherit());
                tether
            }
        };
        launch.arg(place.tool(&place.names().postgres)).stdout(log);
        Ok(launch)
    }
}
