//! Running a short tool to its end and turning a failure into a sentence with what the tool said.

use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};

/// Runs `argv` to its end and returns what it printed on stdout.
///
/// # Errors
/// When the program cannot be started or ends with anything but 0; the error carries its stderr.
pub(crate) fn run(argv: &[&str]) -> Result<String> {
    let output = output(argv)?;
    if !output.status.success() {
        bail!(
            "`{}` ended with {}: {}",
            argv.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `argv` where failing is fine, as when removing what may be gone already.
pub(crate) fn attempt(argv: &[&str]) -> bool {
    output(argv).is_ok_and(|output| output.status.success())
}

fn output(argv: &[&str]) -> Result<Output> {
    let (program, rest) = argv.split_first().context("an empty command line")?;
    Command::new(program)
        .args(rest)
        .output()
        .with_context(|| format!("cannot run `{program}`; `make setup` installs what is needed"))
}
