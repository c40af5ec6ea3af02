//! The log of the fence and the tether: lines on stderr in the form of the agent's (contract §1.7), which is
//! where they go.
//!
//! A thread writes them: whoever reads stderr may be frozen, and nobody here waits for that.

use std::fmt::Display;
use std::io::Write as _;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use crate::clock;

/// How long the end of the process waits for its last line.
const LAST_LINE: Duration = Duration::from_secs(1);

/// Where lines are handed in.
#[derive(Debug)]
pub(crate) struct Log {
    name: &'static str,
    lines: Sender<String>,
    written: Receiver<()>,
}

impl Log {
    /// Starts the thread; `name` says whose lines they are. Should there be none, lines are lost and the work
    /// goes on.
    pub(crate) fn start(name: &'static str) -> Self {
        let (lines, handed_in) = mpsc::channel::<String>();
        let (done, written) = mpsc::channel();
        let writer = move || {
            for line in handed_in {
                // Nobody reads it any more: nothing that could be done about that.
                writeln!(std::io::stderr(), "{line}").ok();
            }
            done.send(()).ok();
        };
        drop(std::thread::Builder::new().name("log".into()).spawn(writer));
        Self {
            name,
            lines,
            written,
        }
    }

    /// Something that is as it should be.
    pub(crate) fn info(&self, text: impl Display) {
        self.line("INFO", text);
    }

    /// Something that a person must look at.
    pub(crate) fn error(&self, text: impl Display) {
        self.line("ERROR", text);
    }

    fn line(&self, level: &str, text: impl Display) {
        let wall = clock::wall();
        let millis = wall.as_micros().rem_euclid(1_000_000) / 1_000;
        let stamp = wall.format("%Y-%m-%d %H:%M:%S");
        let line = format!("{stamp},{millis:03} {level}: {}: {text}", self.name);
        self.lines.send(line).ok();
    }

    /// Waits, not for long, until the last line is written.
    pub(crate) fn end(self) {
        drop(self.lines);
        self.written.recv_timeout(LAST_LINE).ok();
    }
}
