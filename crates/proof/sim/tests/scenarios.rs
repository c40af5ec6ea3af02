//! Each file below `scenarios/` is a test: its commands must give its transcript, to the byte.
//!
//! `UPDATE=1 cargo nextest run -p pgherd-sim --test scenarios` records transcripts anew.

use std::path::Path;

use pgherd_sim::scenario;

#[expect(
    clippy::needless_pass_by_value,
    reason = "the harness hands the text over"
)]
fn plays(path: &Path, text: String) -> datatest_stable::Result<()> {
    let (commands, recorded) = scenario::split(&text);
    let transcript = match scenario::run(commands) {
        Ok(transcript) => transcript,
        Err(why) => {
            println!("{why}");
            return Err("the scenario does not hold".into());
        }
    };
    if transcript == recorded {
        return Ok(());
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, scenario::join(commands, &transcript))?;
        return Ok(());
    }
    let difference = transcript
        .lines()
        .zip(recorded.lines())
        .position(|(now, then)| now != then)
        .unwrap_or_else(|| transcript.lines().count().min(recorded.lines().count()));
    println!("{transcript}");
    Err(format!(
        "the transcript differs from what was recorded, first in line {}",
        difference + 1
    )
    .into())
}

datatest_stable::harness! {
    { test = plays, root = "../../../scenarios", pattern = r"\.txt$" },
}
