//! How a command talks: data and questions on standard output, complaints and questions for passwords on standard
//! error, answers from standard input. Questions look as patronictl's do, for scripts that answer them.

use std::fmt;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pgherd_domain::WallTime;
use pgherd_ports::{Clock as _, SystemClock};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::failure::Failure;

/// The three streams of a command.
pub(crate) struct Screen {
    input: Box<dyn BufRead + Send>,
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    /// A person looks at the output.
    pub(crate) is_terminal: bool,
    /// The operator's time zone.
    pub(crate) zone: TimeZone,
    /// Warnings are wanted.
    pub(crate) warns: bool,
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen")
            .field("is_terminal", &self.is_terminal)
            .finish_non_exhaustive()
    }
}

impl Screen {
    /// The streams of the process.
    pub(crate) fn of_process() -> Self {
        Self {
            input: Box::new(BufReader::new(io::stdin())),
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            is_terminal: io::stdout().is_terminal(),
            zone: TimeZone::system(),
            warns: true,
        }
    }

    /// Other streams.
    #[cfg(test)]
    pub(crate) fn of(
        input: &'static [u8],
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
    ) -> Self {
        Self {
            input: Box::new(input),
            out: Box::new(out),
            err: Box::new(err),
            is_terminal: false,
            zone: TimeZone::UTC,
            warns: true,
        }
    }

    /// Prints a line.
    pub(crate) fn say(&mut self, line: &str) -> Result<(), Failure> {
        self.print(&format!("{line}\n"))
    }

    /// Prints text as it is.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.out
            .write_all(text.as_bytes())
            .map_err(Failure::Output)?;
        self.out.flush().map_err(Failure::Output)
    }

    /// Prints a line on standard error.
    pub(crate) fn complain(&mut self, line: &str) {
        // there is nobody else to tell
        writeln!(self.err, "{line}").ok();
    }

    /// Prints a warning in the form of a log line.
    pub(crate) fn warn(&mut self, text: &str) {
        if !self.warns {
            return;
        }
        let stamp = self.stamp("%Y-%m-%d %H:%M:%S,%3f");
        self.complain(&format!("{stamp} - WARNING - {text}"));
    }

    /// Asks for a text; nothing given means the default, and without one the question comes again.
    pub(crate) fn ask(&mut self, question: &str, default: Option<&str>) -> Result<String, Failure> {
        loop {
            match default {
                Some(default) => self.print(&format!("{question} [{default}]: "))?,
                None => self.print(&format!("{question}: "))?,
            }
            let answer = self.answer()?;
            match (answer.is_empty(), default) {
                (false, _) => return Ok(answer),
                (true, Some(default)) => return Ok(default.to_owned()),
                (true, None) => {}
            }
        }
    }

    /// Asks for a text that is not shown while it is typed. The question is no part of the output, which may be
    /// rows or a configuration on their way into a file.
    pub(crate) fn ask_secret(&mut self, question: &str) -> Result<String, Failure> {
        let echo = Silence::begin();
        let answer = self.secret(question);
        if echo.is_some() {
            // the line break was not shown either
            self.complain("");
        }
        drop(echo);
        answer
    }

    fn secret(&mut self, question: &str) -> Result<String, Failure> {
        loop {
            // there is nobody else to tell
            write!(self.err, "{question}: ").ok();
            self.err.flush().ok();
            let line = self.line()?;
            let answer = line.trim_end_matches(['\r', '\n']);
            if !answer.is_empty() {
                return Ok(answer.to_owned());
            }
        }
    }

    /// Asks a question that is answered by yes or no; nothing given means no.
    pub(crate) fn confirm(&mut self, question: &str) -> Result<bool, Failure> {
        loop {
            self.print(&format!("{question} [y/N]: "))?;
            match self.answer()?.to_lowercase().as_str() {
                "y" | "yes" => return Ok(true),
                "" | "n" | "no" => return Ok(false),
                _ => self.say("Error: invalid input")?,
            }
        }
    }

    /// Everything that is left on standard input.
    pub(crate) fn rest(&mut self) -> Result<String, Failure> {
        let mut text = String::new();
        let read = self.input.read_to_string(&mut text);
        read.map(|_| text).map_err(|source| Failure::Io {
            what: "read standard input".into(),
            source,
        })
    }

    /// The time of day, here, in a pattern of `strftime`.
    pub(crate) fn stamp(&self, pattern: &str) -> String {
        self.local(SystemClock.wall(), pattern)
    }

    /// A moment, here, in a pattern of `strftime`.
    pub(crate) fn local(&self, at: WallTime, pattern: &str) -> String {
        Timestamp::from_microsecond(at.as_micros())
            .map(|stamp| {
                stamp
                    .to_zoned(self.zone.clone())
                    .strftime(pattern)
                    .to_string()
            })
            .unwrap_or_default()
    }

    fn answer(&mut self) -> Result<String, Failure> {
        Ok(self.line()?.trim().to_owned())
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        match self.input.read_line(&mut line) {
            Ok(0) | Err(_) => {
                if self.is_terminal {
                    // the question keeps its line
                    self.complain("");
                }
                Err(Failure::Aborted)
            }
            Ok(_) => Ok(line),
        }
    }
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Silence(Termios);

impl Silence {
    /// `None` when standard input is no terminal.
    fn begin() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent).ok()?;
        Some(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // nothing better can be done with a terminal that is gone
        tcsetattr(io::stdin(), OptionalActions::Flush, &self.0).ok();
    }
}
