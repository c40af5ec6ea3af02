//! What is wrong with settings, and where.

use std::fmt;

/// Where a setting was given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of a file, counted from 1; a whole file when it has none.
    File {
        /// The file's name as the caller gave it.
        name: String,
        /// The line.
        line: Option<u64>,
    },
    /// An environment variable.
    Environment(String),
    /// The dynamic configuration in the DCS.
    Dynamic,
    /// Nowhere in particular: the message says it all.
    Nowhere,
}

/// One thing that is wrong or odd: its place, the key's path, what is wrong and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it was given.
    pub place: Place,
    /// The key's path, such as `postgresql.listen`; empty when it is about no key.
    pub path: String,
    /// What is wrong; what is allowed.
    pub problem: String,
}

/// A fault that the settings can live with; a default or another value is used.
pub type Warning = Fault;

/// Everything that is wrong with a set of files, in the order of the text. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct Faults(pub Vec<Fault>);

impl Fault {
    /// Whether `--validate-config` refuses a file for this, although an agent lives with it: what stands there is not
    /// what somebody wants (contract §2.6).
    pub fn refuses_the_file(&self) -> bool {
        self.path.ends_with("connect_address")
            || self
                .problem
                .starts_with("Conflicting configuration between")
            || self.problem.contains(" can't be smaller than ")
    }

    /// A message that stands for itself, in words that operators search logs for.
    pub(crate) fn plain(message: String) -> Self {
        Self {
            place: Place::Nowhere,
            path: String::new(),
            problem: message,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File {
                name,
                line: Some(line),
            } => write!(f, "{name}:{line}  ")?,
            Place::File { name, line: None } => write!(f, "{name}  ")?,
            Place::Environment(name) => write!(f, "{name}  ")?,
            Place::Dynamic => f.write_str("/config  ")?,
            Place::Nowhere => {}
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)
    }
}

fn lines(faults: &[Fault]) -> String {
    faults
        .iter()
        .map(Fault::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
