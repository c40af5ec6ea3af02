//! What a scalar without quotes means in YAML 1.1, for whose reader the files were written: `on` is a boolean, `0640` is
//! octal, `1:30` counts sixties, and `1e3` is a text.

use serde_json::{Number, Value};

/// The value of a scalar that stands in the file just so; `None` when it is a text.
pub(super) fn bare(text: &str) -> Option<Value> {
    boolean(text)
        .map(Value::Bool)
        .or_else(|| whole(text))
        .or_else(|| real(text))
}

/// What YAML 1.1 calls a boolean and 1.2 does not. (`y` and `n` were in the old standard, but not in the
/// reader that these files were written for.)
fn boolean(text: &str) -> Option<bool> {
    match text {
        "on" | "On" | "ON" | "yes" | "Yes" | "YES" => Some(true),
        "off" | "Off" | "OFF" | "no" | "No" | "NO" => Some(false),
        _ => None,
    }
}

/// An integer. One that is too large for a number keeps its digits, as a text.
fn whole(text: &str) -> Option<Value> {
    let (sign, digits) = signed(text);
    let first = digits.bytes().next()?;
    let in_radix = |digits: &str, radix: u32| {
        let plain = digits.replace('_', "");
        let fits = !plain.is_empty() && plain.chars().all(|digit| digit.is_digit(radix));
        fits.then(
            || match i64::from_str_radix(&format!("{sign}{plain}"), radix) {
                Ok(number) => number.into(),
                Err(_) => Value::String(format!("{sign}{plain}")),
            },
        )
    };
    if let Some(binary) = digits.strip_prefix("0b") {
        in_radix(binary, 2)
    } else if let Some(hex) = digits.strip_prefix("0x") {
        in_radix(hex, 16)
    } else if first == b'0' {
        in_radix(digits, 8)
    } else if first.is_ascii_digit() && digits.contains(':') {
        sixties(digits).map(|number| Value::from(if sign == "-" { -number } else { number }))
    } else if first.is_ascii_digit() {
        in_radix(digits, 10)
    } else {
        None
    }
}

/// `1:30` is 90: every part but the first is below 60.
fn sixties(digits: &str) -> Option<i64> {
    let mut parts = digits.split(':');
    let first = parts.next()?.replace('_', "").parse().ok()?;
    parts.try_fold(first, |number: i64, part| {
        let is_part = (1..=2).contains(&part.len()) && part.bytes().all(|it| it.is_ascii_digit());
        let part: i64 = part.parse().ok().filter(|part| is_part && *part < 60)?;
        number.checked_mul(60)?.checked_add(part)
    })
}

/// A number with a point; an exponent must have its sign.
fn real(text: &str) -> Option<Value> {
    let (_, digits) = signed(text);
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let (whole, fraction) = mantissa.split_once('.')?;
    let are_digits = |text: &str| text.bytes().all(|it| it.is_ascii_digit() || it == b'_');
    let starts = |text: &str| text.bytes().next().is_some_and(|it| it.is_ascii_digit());
    let has_point = starts(whole) || whole.is_empty() && starts(fraction) && digits == text;
    let has_exponent = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']);
        digits.is_some_and(|digits| starts(digits) && !digits.contains('_') && are_digits(digits))
    });
    if !(has_point && has_exponent && are_digits(whole) && are_digits(fraction)) {
        return None;
    }
    let number = text.replace('_', "").parse().ok()?;
    Number::from_f64(number).map(Value::Number)
}

fn signed(text: &str) -> (&str, &str) {
    match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_those_of_yaml_1_1() {
        for (text, value) in [
            ("0", json!(0)),
            ("00", json!(0)),
            ("0640", json!(416)),
            ("-010", json!(-8)),
            ("+7", json!(7)),
            ("1_000", json!(1000)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("1:30", json!(90)),
            ("-1:00:30", json!(-3630)),
            ("12345678901234567890123", json!("12345678901234567890123")),
            ("1.50", json!(1.5)),
            ("-1.5e+3", json!(-1500.0)),
            (".5", json!(0.5)),
            ("5.", json!(5.0)),
        ] {
            assert_eq!(bare(text), Some(value), "{text}");
        }
        for text in [
            "", "-", "089", "0o17", "1e3", "1.5e3", "1:61", "1:", "0:30", "1.2.3", "-.5", "1-2",
            "0x", "_1", "y", "10s", ".", "._5",
        ] {
            assert_eq!(bare(text), None, "{text}");
        }
    }
}
