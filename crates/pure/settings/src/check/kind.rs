//! What values of each kind look like.

use serde_json::Value;

use crate::ProgramOption;
use crate::keys::Kind;
use crate::value::{self, SizeUnit};

/// Texts of a list, or of one text split at commas; `None` when an item is no scalar.
pub(crate) fn list(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => items.iter().map(value::scalar).collect(),
        Value::String(text) => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Some(items.map(str::to_owned).collect())
        }
        Value::Number(_) => Some(vec![value::scalar(value)?]),
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}

/// Whether a value is of a kind. Null fits every kind: the key is as if not given.
///
/// # Errors
/// What is wrong; what is allowed.
pub(crate) fn fits(kind: Kind, given: &Value) -> Result<(), String> {
    if given.is_null() || is_of(kind, given) {
        return Ok(());
    }
    let wanted = wanted(kind);
    match (kind, given) {
        // what stands here may be a password, or one in the wrong place
        (Kind::Secret, _) => Err(format!("is no text; use {wanted}")),
        (Kind::Section | Kind::Mapping, _) => Err(format!("is no mapping; use {wanted}")),
        (Kind::Options, Value::Object(_)) => {
            Err(format!("is a mapping that does not fit; use {wanted}"))
        }
        (_, Value::Object(_)) => Err(format!("is a mapping; use {wanted}")),
        (_, Value::Array(_)) => Err(format!("is a list that does not fit; use {wanted}")),
        (_, Value::String(text)) => Err(format!("`{text}` does not fit; use {wanted}")),
        (_, other) => Err(format!("`{other}` does not fit; use {wanted}")),
    }
}

fn is_of(kind: Kind, given: &Value) -> bool {
    let in_range = |number: Option<i64>, min: i64, max: i64| {
        number.is_some_and(|number| (min..=max).contains(&number))
    };
    match kind {
        Kind::Any => true,
        Kind::Section | Kind::Mapping => given.is_object(),
        Kind::Flag => value::flag(given).is_some(),
        Kind::Whole(min, max) => in_range(value::whole(given), min, max),
        Kind::Bytes(min) => in_range(value::bytes(given, SizeUnit::Byte), min, i64::MAX),
        Kind::SecondsOrNever(min) => {
            value::is_never(given) || in_range(value::seconds(given), min, i64::MAX)
        }
        Kind::Seconds(min) => in_range(value::seconds(given), min, i64::MAX),
        Kind::FileMode => in_range(value::whole(given), 0, 0o777),
        Kind::Text | Kind::Secret => value::scalar(given).is_some(),
        Kind::Ports => value::scalar(given).is_some_and(|text| are_ports(&text)),
        Kind::Choice(words) => value::scalar(given)
            .is_some_and(|given| words.iter().any(|word| word.eq_ignore_ascii_case(&given))),
        Kind::List => list(given).is_some(),
        Kind::Lines => lines(given).is_some(),
        Kind::Texts => given.as_object().is_some_and(|map| {
            map.values()
                .all(|value| value.is_null() || value::scalar(value).is_some())
        }),
        Kind::Options => options(given).is_some(),
    }
}

/// Whether each of them is a port. Nothing is as if not given, where a section is to be switched off.
fn are_ports(text: &str) -> bool {
    let is_port = |port: &str| port.trim().parse().is_ok_and(|port: u16| port != 0);
    text.is_empty() || text.split(',').all(is_port)
}

/// What is allowed, to follow "use".
fn wanted(kind: Kind) -> String {
    let fixed = match kind {
        Kind::Any => "anything",
        Kind::Section | Kind::Mapping => "a mapping of keys to values",
        Kind::Flag => "a boolean: on, off, true, false, yes, no, 1 or 0",
        Kind::Whole(i64::MIN, i64::MAX) => "an integer",
        Kind::Whole(min, i64::MAX) => return format!("an integer of at least {min}"),
        Kind::Whole(min, max) => return format!("an integer from {min} to {max}"),
        Kind::Bytes(min) => {
            return format!("a size of at least {min}, in bytes or with B, kB, MB, GB or TB");
        }
        Kind::Seconds(min) => {
            return format!("a time of at least {min}, in seconds or with us, ms, s, min, h or d");
        }
        Kind::SecondsOrNever(min) => {
            return format!(
                "a time of at least {min}, in seconds or with us, ms, s, min, h or d, or the word never"
            );
        }
        Kind::FileMode => "a file mode from 0 to 0777, octal with a leading zero",
        Kind::Text | Kind::Secret => "a single value",
        Kind::Ports => "a port from 1 to 65535, or several with commas",
        Kind::Choice(words) => return format!("one of {}", words.join(", ")),
        Kind::List => "a list of texts, or one text with commas",
        Kind::Lines => "a list of lines",
        Kind::Texts => "a mapping of names to single values",
        Kind::Options => {
            "a list of `name` and `name: value`, or a mapping of names to single values"
        }
    };
    fixed.to_owned()
}

/// Lines of a list, or of one text.
pub(crate) fn lines(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => items.iter().map(value::scalar).collect(),
        Value::String(text) => Some(text.lines().map(str::to_owned).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// Options of a program (contract §8.2). In a mapping, null and `true` make a flag, `false` makes none.
pub(crate) fn options(value: &Value) -> Option<Vec<ProgramOption>> {
    let mut options = Vec::new();
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                options.extend(option(name, value)?);
            }
        }
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::String(flag) => options.extend(option(flag, &Value::Null)?),
                    Value::Object(map) if map.len() == 1 => {
                        let (name, value) = map.iter().next()?;
                        options.extend(option(name, value)?);
                    }
                    _ => return None,
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    }
    Some(options)
}

fn option(name: &str, value: &Value) -> Option<Option<ProgramOption>> {
    let value = match value {
        Value::Null | Value::Bool(true) => None,
        Value::Bool(false) => return Some(None),
        Value::Number(_) | Value::String(_) => Some(unquoted(&value::scalar(value)?)),
        Value::Array(_) | Value::Object(_) => return None,
    };
    Some(Some(ProgramOption {
        name: name.to_owned(),
        value,
    }))
}

/// A text without one layer of quotes around it.
fn unquoted(text: &str) -> String {
    let inner = ['\'', '"'].iter().find_map(|quote| {
        text.strip_prefix(*quote)
            .and_then(|rest| rest.strip_suffix(*quote))
    });
    inner.unwrap_or(text).to_owned()
}
