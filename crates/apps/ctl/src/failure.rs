//! Why a command ends early, and the one place that prints it.

use std::error::Error as _;
use std::io;

use pgherd_peers::SetupError;
use pgherd_ports::DcsError;
use pgherd_settings::Faults;

use crate::screen::Screen;

/// Why a command ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It can not be done; the text says why.
    #[error("{0}")]
    Refused(String),
    /// The command line is wrong in a way that only the command can tell.
    #[error("{0}")]
    Usage(String),
    /// The settings are wrong. The faults name their places.
    #[error(transparent)]
    Settings(#[from] Faults),
    /// Certificates can not be used.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The DCS did not do it.
    #[error("{what}")]
    Dcs {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        source: DcsError,
    },
    /// A file or a program outside fails.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// No asynchronous runtime.
    #[error("start the runtime")]
    Runtime(#[source] io::Error),
    /// The operator wants no more: end of input.
    #[error("Aborted!")]
    Aborted,
    /// Standard output takes no more.
    #[error("write to standard output")]
    Output(#[source] io::Error),
    /// Everything is said already.
    #[error("some members were not reached")]
    Said,
}

impl Failure {
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }
}

/// Prints an error with its causes on standard error.
pub(crate) fn print(error: &Failure, screen: &mut Screen) {
    match error {
        Failure::Aborted => screen.complain("Aborted!"),
        Failure::Said => {}
        // whoever closed the pipe has read enough
        Failure::Output(source) if source.kind() == io::ErrorKind::BrokenPipe => {}
        error => {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                text.push_str(": ");
                text.push_str(&cause.to_string());
                source = cause.source();
            }
            screen.complain(&format!("Error: {text}"));
        }
    }
}
