//! Stands in for `pgherd` in the tests: `fence …` is the fence, `tether …` the tether, `agent …` an agent that
//! sets one deadline.

#![expect(
    clippy::print_stdout,
    reason = "what the stand-in prints is its answer"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use pgherd_domain::Moment;
use pgherd_fence::{FenceKeeper, Options, TetherOptions, run, tether, tethered};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["fence", "--data-dir", data_dir, "--deadline-file", file] => {
            let options = Options {
                data_dir: data_dir.into(),
                deadline_file: file.into(),
            };
            match run(&options) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error.to_string()),
            }
        }
        ["tether", "--data-dir", data_dir, "--", ..] => {
            let server = std::env::args_os().skip(5).collect();
            let options = TetherOptions {
                data_dir: data_dir.into(),
                run_as: account(),
                server,
            };
            tether(&options).map_or_else(|error| fail(&error.to_string()), ExitCode::from)
        }
        ["tethered", "--parent", parent, "--", ..] => {
            let server: Vec<_> = std::env::args_os().skip(5).collect();
            let parent = parent.parse().unwrap_or(0);
            fail(&tethered(parent, &server).to_string())
        }
        ["agent", data_dir, deadline] => agent(Path::new(data_dir), deadline),
        _ => fail("usage: stand_in fence --data-dir D --deadline-file F | stand_in agent D NANOS"),
    }
}

/// PostgreSQL refuses root.
fn account() -> Option<(u32, u32)> {
    let text = std::env::var("STAND_IN_RUN_AS").ok()?;
    let (user, group) = text.split_once(':')?;
    Some((user.parse().ok()?, group.parse().ok()?))
}

/// Sets the deadline, says `set`, and then is there until it is killed.
fn agent(data_dir: &Path, deadline: &str) -> ExitCode {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("stand_in"));
    let Ok(nanos) = deadline.parse() else {
        return fail("the deadline is no number");
    };
    let set = FenceKeeper::start(data_dir, program, None).and_then(|mut keeper| {
        keeper.set(Some(Moment::from_nanos(nanos)), Duration::from_secs(2))?;
        Ok(keeper)
    });
    match set {
        Ok(_keeper) => {
            println!("set");
            loop {
                std::thread::park();
            }
        }
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(why: &str) -> ExitCode {
    println!("{why}");
    ExitCode::FAILURE
}
