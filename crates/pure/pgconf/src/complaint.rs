//! What PostgreSQL says of settings that it refuses, read from the messages of `postgres -C`.
//!
//! PostgreSQL itself is the judge of names, types and ranges: whatever its version, it is right. Only names that its file
//! can not hold are told here: one of those makes the whole file unreadable, and nothing is said of the rest.

use std::collections::BTreeMap;

/// Arguments with which PostgreSQL complains in the words that are understood here, whatever the file says of its log: in
/// English, all of it, without a prefix or codes. What is given so goes before the file.
pub const PLAIN_WORDS: [&str; 6] = [
    "lc_messages=C",
    "log_destination=stderr",
    "log_error_verbosity=default",
    "log_line_prefix=",
    "log_min_messages=warning",
    "logging_collector=off",
];

/// One refused setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Complaint {
    /// There is no such parameter in this version.
    Unknown {
        /// Its name.
        name: String,
    },
    /// The value is none of this parameter's.
    Invalid {
        /// Its name.
        name: String,
        /// The value, as far as PostgreSQL tells it.
        value: String,
    },
    /// PostgreSQL says what this is; nobody sets it, as `data_checksums`.
    Fixed {
        /// Its name.
        name: String,
    },
    /// A number beyond the parameter's range.
    OutOfRange {
        /// Its name.
        name: String,
        /// The nearest value allowed, in the parameter's own unit.
        nearest: String,
    },
}

impl Complaint {
    /// All complaints in what `postgres` wrote when it was started with [`PLAIN_WORDS`].
    pub fn parse(messages: &str) -> Vec<Self> {
        let mut complaints = Vec::new();
        for line in messages.lines() {
            match (complaints.last_mut(), parse_line(line)) {
                (_, Some(complaint)) => complaints.push(complaint),
                (Some(last), None) if line.contains("Value exceeds integer range.") => {
                    last.is_beyond_integers();
                }
                (_, None) => {}
            }
        }
        complaints
    }

    /// A complaint for each name that a line of postgresql.conf can not hold, or that would include a file there.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a String>) -> Vec<Self> {
        let unfit = names.into_iter().filter(|name| !fits_a_line(name));
        unfit
            .map(|name| Self::Unknown { name: name.clone() })
            .collect()
    }

    /// Of a number that no integer holds PostgreSQL does not say the range: the integer that is nearest leads to it.
    fn is_beyond_integers(&mut self) {
        if let Self::Invalid { name, value } = self {
            let nearest = if value.starts_with('-') {
                i32::MIN
            } else {
                i32::MAX
            };
            *self = Self::OutOfRange {
                name: std::mem::take(name),
                nearest: nearest.to_string(),
            };
        }
    }

    /// Mends `parameters` as contract §3.2 says: unknown names and invalid values go, numbers are put
    /// into range. Gives the warnings, one for each change made; none when it could mend nothing.
    pub fn mend(complaints: &[Self], parameters: &mut BTreeMap<String, String>) -> Vec<String> {
        let mut warnings = Vec::new();
        for complaint in complaints {
            let warning = match complaint {
                Self::Unknown { name } => parameters.remove(name).map(|_| {
                    format!("parameter {name} is unknown to this PostgreSQL and left out")
                }),
                Self::Invalid { name, .. } => parameters.remove(name).map(|value| {
                    format!("value '{value}' is not valid for parameter {name}, which is left out")
                }),
                Self::Fixed { name } => parameters
                    .remove(name)
                    .map(|_| format!("parameter {name} can not be set in a file and is left out")),
                Self::OutOfRange { name, nearest } => parameters.get_mut(name).map(|value| {
                    let old = std::mem::replace(value, nearest.clone());
                    format!("value '{old}' of parameter {name} is out of range, using {nearest}")
                }),
            };
            warnings.extend(warning);
        }
        warnings
    }
}

fn parse_line(line: &str) -> Option<Complaint> {
    if let Some((_, rest)) = line.split_once("unrecognized configuration parameter \"") {
        return Some(Complaint::Unknown {
            name: until_quote(rest)?,
        });
    }
    if let Some((before, rest)) = line.split_once(" is outside the valid range for parameter \"") {
        let name = until_quote(rest)?;
        let (_, limits) = rest.split_once('(')?;
        let (low, high) = limits.trim_end_matches(')').split_once(" .. ")?;
        let (low, high) = (first_word(low)?, first_word(high)?);
        // Between the log prefix and this stands the value, perhaps with its unit.
        let (_, said) = before.rsplit_once(":  ")?;
        let value: f64 = first_word(said)?.parse().ok()?;
        let below = low.parse::<f64>().is_ok_and(|low| value < low);
        let nearest = if below { low } else { high };
        return Some(Complaint::OutOfRange {
            name,
            nearest: nearest.to_owned(),
        });
    }
    if let Some((_, rest)) = line.split_once("invalid value for parameter \"") {
        let (_, value) = rest.split_once(": \"").unwrap_or_default();
        return Some(Complaint::Invalid {
            name: until_quote(rest)?,
            value: value.trim_end_matches('"').to_owned(),
        });
    }
    let (_, rest) = line.split_once("  parameter \"")?;
    let name = until_quote(rest)?;
    if rest.ends_with("cannot be changed") {
        return Some(Complaint::Fixed { name });
    }
    rest.contains("requires a ").then(|| Complaint::Invalid {
        name,
        value: String::new(),
    })
}

/// Words as PostgreSQL's reader of files takes them, two with a dot between for a parameter of an extension.
fn fits_a_line(name: &str) -> bool {
    let is_letter =
        |letter: char| letter.is_ascii_alphabetic() || letter == '_' || !letter.is_ascii();
    let is_word = |word: &str| {
        word.starts_with(is_letter)
            && word
                .chars()
                .all(|letter| is_letter(letter) || letter.is_ascii_digit())
    };
    let includes = ["include", "include_dir", "include_if_exists"];
    !includes.contains(&name)
        && match name.split_once('.') {
            Some((extension, name)) => is_word(extension) && is_word(name),
            None => is_word(name),
        }
}

fn until_quote(text: &str) -> Option<String> {
    let (name, _) = text.split_once('"')?;
    Some(name.to_ascii_lowercase())
}

fn first_word(text: &str) -> Option<&str> {
    text.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = r#"2026-11-24 02:16:33.408 GMT [3632] LOG:  unrecognized configuration parameter "foo" in file "/x.conf" line 2
2026-11-24 02:16:33.408 GMT [3632] LOG:  0 8kB is outside the valid range for parameter "shared_buffers" (16 .. 1073741823)
2026-11-24 02:16:33.408 GMT [3632] LOG:  invalid value for parameter "wal_level": "bar"
2026-11-24 02:16:33.408 GMT [3632] HINT:  Available values: minimal, replica, logical.
2026-11-24 02:16:33.408 GMT [3632] LOG:  parameter "fsync" requires a Boolean value
2026-11-24 02:16:33.408 GMT [3632] LOG:  172800 s is outside the valid range for parameter "checkpoint_timeout" (30 s .. 86400 s)
2026-11-24 02:16:33.408 GMT [3632] FATAL:  configuration file "/tmp/pgx/x.conf" contains errors
"#;

    /// As PostgreSQL 15 says it with [`PLAIN_WORDS`].
    const SAID_PLAINLY: &str = r#"LOG:  parameter "data_checksums" cannot be changed
LOG:  invalid value for parameter "work_mem": "100TB"
HINT:  Value exceeds integer range.
LOG:  invalid value for parameter "temp_file_limit": "-9TB"
HINT:  Value exceeds integer range.
LOG:  invalid value for parameter "search_path": "a b c"
DETAIL:  List syntax is invalid.
LOG:  -2 is outside the valid range for parameter "random_page_cost" (0 .. 1.79769e+308)
LOG:  invalid value for parameter "statement_timeout": "a
	b"
FATAL:  configuration file "/tmp/pgx/x.conf" contains errors
"#;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn what_nobody_sets_goes_and_a_number_beyond_integers_is_brought_near_its_range() {
        let mut parameters = map(&[
            ("data_checksums", "on"),
            ("random_page_cost", "-2"),
            ("search_path", "a b c"),
            ("statement_timeout", "a\nb"),
            ("temp_file_limit", "-9TB"),
            ("work_mem", "100TB"),
        ]);
        let warnings = Complaint::mend(&Complaint::parse(SAID_PLAINLY), &mut parameters);
        assert_eq!(warnings.len(), 6, "{warnings:?}");
        assert_eq!(
            parameters,
            map(&[
                ("random_page_cost", "0"),
                ("temp_file_limit", "-2147483648"),
                ("work_mem", "2147483647")
            ])
        );
    }

    #[test]
    fn names_that_would_break_the_file_go_and_all_others_stay() {
        let names = [
            "work_mem",
            "_a1",
            "a.b",
            "é",
            "my-param",
            "foo bar",
            "a.b-c",
            "a.b.c",
            "a.",
            ".a",
            "1a",
            "a.1",
            "a=b",
            "a'b",
            "",
            "a\nb",
            "include",
            "include_dir",
        ]
        .map(str::to_owned);
        let unfit: Vec<Complaint> = names[4..]
            .iter()
            .map(|name| Complaint::Unknown { name: name.clone() })
            .collect();
        assert_eq!(Complaint::of_names(&names), unfit);
    }

    #[test]
    fn settings_that_postgres_refuses_are_left_out_or_put_into_range() {
        let complaints = Complaint::parse(SAID);
        assert_eq!(complaints.len(), 5, "{complaints:?}");
        let given = [
            ("foo", "1"),
            ("shared_buffers", "0"),
            ("wal_level", "bar"),
            ("fsync", "maybe"),
            ("checkpoint_timeout", "2d"),
            ("work_mem", "4MB"),
        ];
        let mut parameters = given
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let warnings = Complaint::mend(&complaints, &mut parameters);
        assert_eq!(warnings.len(), 5, "{warnings:?}");
        let left: Vec<_> = parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            left,
            [
                ("checkpoint_timeout", "86400"),
                ("shared_buffers", "16"),
                ("work_mem", "4MB")
            ]
        );
        assert_eq!(
            Complaint::mend(&complaints, &mut parameters).len(),
            2,
            "what is gone is not mended twice"
        );
    }
}
