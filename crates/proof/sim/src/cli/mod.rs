//! What the program is asked for, and who does it.

mod long_run;
mod planted;
mod some;

use std::time::Duration;

use pgherd_sim::scenario;
use pgherd_sim::universe::{Archive, Kind, Report};

pub(crate) const USAGE: &str = "\
pgherd-sim --seed N [--count M] [--minutes K] [--without-archive] [--plant BUG] [--transcript] [--commands]
    runs M universes (1) from seed N on, each with K minutes (5) of faults and then peace;
    --without-archive lets PostgreSQL give the number of a timeline twice;
    --plant gives all agents a bug, which docs/simulator.md lists;
    --transcript prints everything that happened, --commands the universe as a scenario
pgherd-sim --for MINUTES [--seed N] [--minutes K] [--without-archive]
    runs universes on all cores for so long, with seeds that the clock gives; prints what it has done
pgherd-sim --hunt BUG|all [--count M]
    runs at most M universes (1000) with a planted bug, until one shows it
pgherd-sim
    runs the first 200 universes
pgherd-sim --scenario FILE
    plays a scenario file and prints its transcript
";

/// So many universes are run when nothing is said, and so many to find a planted bug.
const MANY: u64 = 200;
const HUNT: u64 = 1000;

/// So many lines of a broken universe's transcript are shown.
const TAIL: usize = 80;

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Wanted {
    seed: Option<u64>,
    count: Option<u64>,
    kind: Kind,
    transcript: bool,
    commands: bool,
    scenario: Option<String>,
    /// How long universes are run.
    run_for: Option<Duration>,
    /// The planted bug that is to be found; all of them when it is not named.
    hunt: Option<String>,
}

/// # Errors
/// When the arguments are not understood; the text says which.
pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let mut wanted = Wanted {
        seed: None,
        count: None,
        kind: Kind::lasting(minutes(5)),
        transcript: false,
        commands: false,
        scenario: None,
        run_for: None,
        hunt: None,
    };
    while let Some(flag) = arguments.next() {
        let mut value = || {
            let value = arguments.next();
            value.ok_or_else(|| format!("{flag} wants a value"))
        };
        match flag.as_str() {
            "--seed" => wanted.seed = Some(number(&flag, &value()?)?),
            "--count" => wanted.count = Some(number(&flag, &value()?)?),
            "--minutes" => wanted.kind.span = minutes(number(&flag, &value()?)?),
            "--for" => wanted.run_for = Some(minutes(number(&flag, &value()?)?)),
            "--plant" => wanted.kind.planted = Some(bug(&value()?)?),
            "--hunt" => wanted.hunt = Some(value()?),
            "--transcript" => wanted.transcript = true,
            "--commands" => wanted.commands = true,
            "--without-archive" => wanted.kind.archive = Archive::None,
            "--scenario" => wanted.scenario = Some(value()?),
            other => return Err(format!("`{other}` is no option")),
        }
    }
    Ok(wanted)
}

fn number(flag: &str, value: &str) -> Result<u64, String> {
    value
        .parse()
        .map_err(|_| format!("{flag} wants a number, not `{value}`"))
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

fn bug(name: &str) -> Result<pgherd_sim::planted::Planted, String> {
    pgherd_sim::planted::Planted::named(name)
}

/// # Errors
/// When something broke that must hold, or can not be begun.
pub(crate) fn run(wanted: &Wanted) -> Result<(), String> {
    if let Some(file) = &wanted.scenario {
        return play(file);
    }
    if let Some(bug) = &wanted.hunt {
        return planted::hunt(bug, wanted.count.unwrap_or(HUNT), wanted.kind);
    }
    if let Some(span) = wanted.run_for {
        return long_run::run_for(span, wanted.seed, wanted.kind);
    }
    some::run(wanted)
}

fn play(file: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let (commands, _) = scenario::split(&text);
    print!("{}", scenario::run(commands)?);
    Ok(())
}

/// The end of a broken universe's transcript, what broke, and how to see it again.
fn tell_broken(seed: u64, kind: Kind, report: &Report) {
    let lines: Vec<&str> = report.transcript.lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(TAIL)) {
        println!("{line}");
    }
    for violation in &report.violations {
        println!("{violation}");
    }
    println!("Repeat: {}\n", repeat(seed, kind));
}

fn repeat(seed: u64, kind: Kind) -> String {
    let minutes = kind.span.as_secs() / 60;
    let archive = match kind.archive {
        Archive::Kept => "",
        Archive::None => " --without-archive",
    };
    let plant = kind
        .planted
        .map_or_else(String::new, |bug| format!(" --plant {}", bug.name()));
    format!(
        "cargo run --release -p pgherd-sim -- --seed {seed} --minutes {minutes}{archive}{plant} --transcript"
    )
}
