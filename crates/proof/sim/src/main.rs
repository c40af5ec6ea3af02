//! `pgherd-sim`: runs random universes by their seeds, and scenario files.

use std::process::ExitCode;
use std::time::Duration;

use pgherd_sim::scenario;
use pgherd_sim::universe::{self, Archive};

const USAGE: &str = "\
pgherd-sim --seed N [--count M] [--minutes K] [--without-archive] [--transcript] [--commands]
    runs M universes (1) from seed N on, each with K minutes (5) of faults and then peace;
    --without-archive lets PostgreSQL give the number of a timeline twice;
    --transcript prints everything that happened, --commands the universe as a scenario
pgherd-sim
    runs the first 200 universes
pgherd-sim --scenario FILE
    plays a scenario file and prints its transcript
";

/// So many universes are run when nothing is said.
const MANY: u64 = 200;

/// So many lines of a broken universe's transcript are shown.
const TAIL: usize = 80;

/// What was asked for.
#[derive(Debug)]
struct Wanted {
    seed: u64,
    count: u64,
    minutes: u64,
    transcript: bool,
    commands: bool,
    archive: Archive,
    scenario: Option<String>,
}

fn main() -> ExitCode {
    let wanted = match read(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(why) => {
            eprintln!("{why}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let done = match &wanted.scenario {
        Some(file) => play(file),
        None => universes(&wanted),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn read(arguments: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let mut arguments = arguments.peekable();
    let many = arguments.peek().is_none();
    let mut wanted = Wanted {
        seed: 1,
        count: if many { MANY } else { 1 },
        minutes: 5,
        transcript: false,
        commands: false,
        archive: Archive::Kept,
        scenario: None,
    };
    while let Some(flag) = arguments.next() {
        let mut number = || {
            let value = arguments.next().unwrap_or_default();
            value
                .parse()
                .map_err(|_| format!("{flag} wants a number, not `{value}`"))
        };
        match flag.as_str() {
            "--seed" => wanted.seed = number()?,
            "--count" => wanted.count = number()?,
            "--minutes" => wanted.minutes = number()?,
            "--transcript" => wanted.transcript = true,
            "--commands" => wanted.commands = true,
            "--without-archive" => wanted.archive = Archive::None,
            "--scenario" => wanted.scenario = arguments.next(),
            other => return Err(format!("`{other}` is no option")),
        }
    }
    Ok(wanted)
}

fn play(file: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let (commands, _) = scenario::split(&text);
    print!("{}", scenario::run(commands)?);
    Ok(())
}

fn universes(wanted: &Wanted) -> Result<(), String> {
    let span = Duration::from_secs(wanted.minutes * 60);
    let (mut acknowledged, mut promotions, mut broken) = (0, 0, 0);
    for seed in wanted.seed..wanted.seed + wanted.count {
        let report = universe::run(seed, span, wanted.archive)
            .map_err(|why| format!("seed {seed} did not begin: {why}"))?;
        acknowledged += report.acknowledged;
        promotions += report.promotions;
        if wanted.commands {
            print!("{}", report.commands);
        }
        if wanted.transcript {
            print!("{}", report.transcript);
        }
        if report.violations.is_empty() {
            continue;
        }
        broken += 1;
        if !wanted.transcript {
            let lines: Vec<&str> = report.transcript.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(TAIL)) {
                println!("{line}");
            }
        }
        for violation in &report.violations {
            println!("{violation}");
        }
        println!(
            "Repeat: cargo run -p pgherd-sim -- --seed {seed} --minutes {}{} --transcript\n",
            wanted.minutes,
            match wanted.archive {
                Archive::Kept => "",
                Archive::None => " --without-archive",
            }
        );
    }
    println!(
        "{} universes, {promotions} promotions, {acknowledged} acknowledged commits, {broken} broken",
        wanted.count
    );
    if broken == 0 {
        Ok(())
    } else {
        Err(format!("{broken} universes broke what must hold"))
    }
}
