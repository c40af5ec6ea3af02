//! Scenarios: text files with commands above `----` and below it the transcript of what came of them.

mod by_hand;
mod condition;
mod faults;
mod keys;
mod parse;
mod perform;
mod remote;

use std::fmt::Write as _;
use std::time::Duration;

use crate::invariants;
use crate::journal;

use parse::Command;
pub(crate) use perform::Stage;

/// The line between the commands and the transcript.
const LINE: &str = "----";

/// Splits a scenario file into its commands and the transcript that was recorded.
pub fn split(text: &str) -> (&str, &str) {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == LINE {
            let (commands, rest) = text.split_at(at);
            return (commands, rest.strip_prefix(line).unwrap_or_default());
        }
        at += line.len();
    }
    (text, "")
}

/// The file with `transcript` in the place of what was recorded.
pub fn join(commands: &str, transcript: &str) -> String {
    format!("{}\n{LINE}\n{transcript}", commands.trim_end())
}

/// Runs the commands in a universe of their own. Gives the transcript.
///
/// # Errors
/// Commands that are not understood, expectations that do not hold, and broken invariants: each with
/// the transcript so far.
pub fn run(commands: &str) -> Result<String, String> {
    let commands = parse::read(commands)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(play(&commands))
}

async fn play(commands: &[(usize, Command)]) -> Result<String, String> {
    let seed = commands
        .iter()
        .find_map(|(_, command)| match command {
            Command::Seed(seed) => Some(*seed),
            _ => None,
        })
        .unwrap_or(1);
    let mut stage = Stage::new(seed);
    for (number, command) in commands {
        if let Err(why) = stage.perform(command).await {
            let so_far = transcript(&stage);
            return Err(format!("line {number}: {why}\n{so_far}"));
        }
    }
    let Some(herd) = &stage.herd else {
        return Err("there is no `cluster` command".to_owned());
    };
    herd.world.change(invariants::at_the_end);
    let text = transcript(&stage);
    let broken = herd.world.violations();
    if broken.is_empty() {
        return Ok(text);
    }
    let mut why = String::new();
    for violation in broken {
        // Writing to a string can not fail.
        writeln!(why, "{violation}").ok();
    }
    Err(format!("{why}{text}"))
}

fn transcript(stage: &Stage) -> String {
    stage.herd.as_ref().map_or_else(String::new, |herd| {
        herd.world
            .look(|state| journal::render(&state.journal.entries, stage.zero, 1))
    })
}

/// A span as scenarios write it: `500ms`, `31s`, `2m`.
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a span; use for example 500ms, 31s or 2m");
    let digits = text.trim_end_matches(char::is_alphabetic);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    match text.get(digits.len()..) {
        Some("ms") => Ok(Duration::from_millis(number)),
        Some("s") => Ok(Duration::from_secs(number)),
        Some("m") => Ok(Duration::from_secs(number * 60)),
        Some(_) | None => Err(wrong()),
    }
}
