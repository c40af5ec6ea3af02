//! Completions and manual pages, made from the definition of the command line.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::cli::{Args, Completed, CompletionsArgs, ManArgs, PatroniArgs, PatronictlArgs};

/// Prints the completions of a program for a shell.
pub(crate) fn complete(options: &CompletionsArgs) -> ExitCode {
    let (mut command, name) = match options.program {
        Completed::Pgherd => (Args::command(), "pgherd"),
        Completed::Patronictl => (PatronictlArgs::command(), "patronictl"),
        Completed::Patroni => (PatroniArgs::command(), "patroni"),
    };
    clap_complete::generate(options.shell, &mut command, name, &mut io::stdout());
    ExitCode::SUCCESS
}

/// Answers what the shells of operators ask the original: `bash_source`, at the start of a shell, is for its
/// completions. `bash_complete`, from a script that was kept, gets nothing, and no words about a wrong command line.
pub(crate) fn complete_as_click(asked: &str) -> ExitCode {
    let shell = match asked.split_once('_') {
        // the order of click 7
        Some((shell, "source") | ("source", shell)) => shell.parse().ok(),
        Some(_) | None => None,
    };
    let program = Completed::Patronictl;
    shell.map_or(ExitCode::SUCCESS, |shell| {
        complete(&CompletionsArgs { shell, program })
    })
}

/// Writes a page for each program and command.
pub(crate) fn write(options: &ManArgs) -> ExitCode {
    match pages(&options.folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn pages(folder: &Path) -> io::Result<()> {
    fs_err::create_dir_all(folder)?;
    for command in programs() {
        clap_mangen::generate_to(command, folder)?;
    }
    Ok(())
}

/// Every program that is this file.
fn programs() -> [clap::Command; 5] {
    [
        Args::command(),
        PatronictlArgs::command(),
        PatroniArgs::command(),
        pgherd_companions::barman::command(),
        pgherd_companions::wale::command(),
    ]
}

#[cfg(test)]
mod reference;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_defined_without_contradiction() {
        for command in programs() {
            command.debug_assert();
        }
    }

    #[test]
    fn shells_complete_commands_and_every_command_has_a_page() {
        for shell in ["bash", "zsh", "fish"] {
            let shell: clap_complete::Shell = shell.parse().unwrap();
            let mut text = Vec::new();
            let mut command = PatronictlArgs::command();
            clap_complete::generate(shell, &mut command, "patronictl", &mut text);
            let text = String::from_utf8(text).unwrap();
            assert!(
                text.contains("switchover") && text.contains("scheduled"),
                "{shell}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        pages(folder.path()).unwrap();
        for page in [
            "pgherd.1",
            "pgherd-switchover.1",
            "patronictl-list.1",
            "patroni.1",
        ] {
            let text = fs_err::read_to_string(folder.path().join(page)).unwrap();
            assert!(
                text.starts_with(".ie") || text.contains(".TH"),
                "{page}: {text}"
            );
        }
        // what is not for people has none
        assert!(!folder.path().join("pgherd-fence.1").exists());
    }
}
