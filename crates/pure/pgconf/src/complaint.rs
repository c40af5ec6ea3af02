//! What PostgreSQL says of settings that it refuses, read from the messages of `postgres -C` (LC_ALL=C).
//!
//! PostgreSQL itself is the judge of names, types and ranges: whatever its version, it is right.

use std::collections::BTreeMap;

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
    /// All complaints in what `postgres` wrote.
    pub fn parse(messages: &str) -> Vec<Self> {
        messages.lines().filter_map(parse_line).collect()
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
                Self::Invalid { name } => parameters.remove(name).map(|value| {
                    format!("value '{value}' is not valid for parameter {name}, which is left out")
                }),
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
    let (_, rest) = line
        .split_once("invalid value for parameter \"")
        .or_else(|| {
            let requires = line.contains("requires a ");
            line.split_once("  parameter \"").filter(|_| requires)
        })?;
    Some(Complaint::Invalid {
        name: until_quote(rest)?,
    })
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
