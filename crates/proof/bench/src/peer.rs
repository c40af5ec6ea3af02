//! Patroni for a comparison in the same run: fetched once into a Python environment beside the build.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use pgherd_testbed::{AgentProgram, HerdOptions};

/// The release that the figures of the README were taken with.
const VERSION: &str = "4.1.5";

/// The Patroni that the tests have, of the same release; else fetched into `/var/tmp` unless it is there. The server's
/// account must be able to run it.
///
/// # Errors
/// When Python has no `venv` or the package index cannot be reached.
pub fn patroni() -> Result<AgentProgram> {
    if let Some(patroni) = AgentProgram::patroni() {
        return Ok(patroni);
    }
    let dir = PathBuf::from(format!("/var/tmp/pgherd-patroni-{VERSION}"));
    let program = dir.join("bin/patroni");
    if !program.exists() {
        println!("  fetching Patroni {VERSION}");
        // The system's interpreter: one below a home directory is out of the server account's reach.
        run(
            Path::new("/usr/bin/python3"),
            &["-m", "venv", &dir.to_string_lossy()],
        )?;
        let wanted = [
            format!("patroni[etcd3]=={VERSION}"),
            "psycopg[binary]".to_owned(),
        ];
        run(
            &dir.join("bin/pip"),
            &["install", "--quiet", &wanted[0], &wanted[1]],
        )?;
    }
    Ok(AgentProgram::Patroni(program))
}

/// The tightest settings that Patroni accepts (its least ttl is 20 s, its least retry timeout 3 s).
#[must_use]
pub fn tightest(patroni: AgentProgram) -> HerdOptions {
    HerdOptions {
        ttl: 20,
        loop_wait: 1,
        retry_timeout: 3,
        agent: Some(patroni),
        ..HerdOptions::default()
    }
}

fn run(program: &Path, arguments: &[&str]) -> Result<()> {
    let status = Command::new(program).args(arguments).status();
    let status = status.with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(
        status.success(),
        "{} {} ended with {status}",
        program.display(),
        arguments.join(" ")
    );
    Ok(())
}
