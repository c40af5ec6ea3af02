//! Under which name the binary was started: one file is all the programs that Patroni installs (contract §1.1).

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use pgherd_companions::{aws, barman, wale};
use pgherd_ctl::Program;

use crate::cli::{Args, Command, PatroniArgs, PatronictlArgs};
use crate::{agent, fence, manual, tether};

/// Every name but our own.
const NAMES: [&str; 6] = [
    "patroni",
    "patronictl",
    "patroni_aws",
    "patroni_barman",
    "patroni_raft_controller",
    "patroni_wale_restore",
];

/// Runs the program that `words`, a whole command line, mean.
pub(crate) fn run(words: Vec<OsString>) -> ExitCode {
    let Some((name, words)) = called(&words) else {
        return pgherd(words);
    };
    match name {
        "patroni" => agent::run(&PatroniArgs::parse_from(words).agent, true),
        "patronictl" => {
            if let Some(asked) = std::env::var_os("_PATRONICTL_COMPLETE") {
                return manual::complete_as_click(&asked.to_string_lossy());
            }
            let args = PatronictlArgs::parse_from(words);
            pgherd_ctl::run(args.verb, &args.client, Program::Patronictl)
        }
        "patroni_aws" => aws::run(&words),
        "patroni_barman" => barman::run(words),
        "patroni_wale_restore" => wale::run(words),
        _ => {
            eprintln!(
                "{name} is not supported: the embedded Raft of Patroni is deprecated; use etcd3, consul, zookeeper or kubernetes"
            );
            ExitCode::FAILURE
        }
    }
}

fn pgherd(words: Vec<OsString>) -> ExitCode {
    let args = Args::parse_from(words);
    match args.command {
        Command::Agent(options) => agent::run(&options, false),
        Command::Fence(options) => fence::run(options),
        Command::Tether(options) => tether::run(options),
        Command::Tethered(options) => tether::become_server(&options),
        Command::Verb(verb) => pgherd_ctl::run(verb, &args.client, Program::Pgherd),
        Command::Completions(options) => manual::complete(&options),
        Command::Man(options) => manual::write(&options),
    }
}

/// The other program that is meant, by the name of the file or by the first word behind it, and its command line.
fn called(words: &[OsString]) -> Option<(&'static str, Vec<OsString>)> {
    let named = |word: &OsString| {
        let name = Path::new(word).file_name()?.to_str()?;
        NAMES.into_iter().find(|known| *known == name)
    };
    let own = words.first()?;
    let behind = |at: usize, fits: fn(&str) -> bool| {
        let word = words.get(at).and_then(|word| word.to_str());
        word.is_some_and(fits)
    };
    let is_own = |word: &str| matches!(word, "fence" | "tether" | "tethered");
    if behind(1, is_own) && behind(2, |word| word.starts_with("--")) {
        // The agent starts its own file as fence and tether, whatever that is called.
        return None;
    }
    if let Some(name) = named(own) {
        return Some((name, words.to_vec()));
    }
    let first = words
        .get(1)
        .filter(|word| !word.to_string_lossy().contains('/'))?;
    named(first).map(|name| (name, words.get(1..).unwrap_or_default().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<(&'static str, Vec<String>)> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let text = |word: OsString| word.to_string_lossy().into_owned();
        called(&words).map(|(name, words)| (name, words.into_iter().map(text).collect()))
    }

    #[test]
    fn the_name_of_the_file_or_the_first_word_tells_the_program() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            found("/usr/bin/patronictl list"),
            Some(("patronictl", words("/usr/bin/patronictl list")))
        );
        assert_eq!(
            found("patroni /etc/patroni.yml"),
            Some(("patroni", words("patroni /etc/patroni.yml")))
        );
        assert_eq!(
            found("pgherd patroni_barman recover"),
            Some(("patroni_barman", words("patroni_barman recover")))
        );
        for line in [
            "pgherd list patroni",
            "pgherd",
            "./pgherd agent patroni",
            "pgherd ./patroni",
            "/usr/bin/patroni fence --data-dir /data",
        ] {
            assert_eq!(found(line), None, "{line}");
        }
    }
}
