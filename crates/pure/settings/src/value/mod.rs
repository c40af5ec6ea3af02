//! The syntax of values, the same everywhere: booleans, integers, sizes, times (contract §2.3).
//!
//! YAML 1.1 and 1.2 read `on`, `0644` and `1_000` differently, so these functions take what either made
//! of them: a text, a number or a boolean.

use serde_json::Value;

/// The unit of a bare size, and the units that sizes may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeUnit {
    /// Bytes.
    Byte,
    /// 1024 bytes.
    Kibibyte,
    /// PostgreSQL's block, 8 kB.
    Block,
    /// 1024 kB.
    Mebibyte,
    /// PostgreSQL's WAL segment, 16 MB.
    Segment,
    /// 1024 MB.
    Gibibyte,
    /// 1024 GB.
    Tebibyte,
}

/// The unit of a bare time, and the units that times may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// `us`.
    Microsecond,
    /// `ms`.
    Millisecond,
    /// `s`.
    Second,
    /// `min`.
    Minute,
    /// `h`.
    Hour,
    /// `d`.
    Day,
}

/// Reads a boolean: on, true, yes, 1, off, false, no, 0, in any case.
pub fn flag(value: &Value) -> Option<bool> {
    match scalar(value)?.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Whether it is the word `never`, in any case.
pub fn is_never(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.trim().eq_ignore_ascii_case("never"))
}

/// Reads an integer: decimal, 0x hexadecimal, 0-leading octal.
pub fn whole(value: &Value) -> Option<i64> {
    let text = scalar(value)?;
    let (number, unit) = leading_number(text.trim())?;
    unit.is_empty().then(|| number.times(1))?
}

/// Reads a size as bytes: a number with TB, GB, MB, kB, B (in any case) or none, which means `bare`.
pub fn bytes(value: &Value, bare: SizeUnit) -> Option<i64> {
    let text = scalar(value)?;
    let (number, unit) = leading_number(text.trim())?;
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" => bare,
        "b" => SizeUnit::Byte,
        "kb" => SizeUnit::Kibibyte,
        "mb" => SizeUnit::Mebibyte,
        "gb" => SizeUnit::Gibibyte,
        "tb" => SizeUnit::Tebibyte,
        _ => return None,
    };
    number.times(unit.bytes())
}

/// Reads a time as microseconds: a number with d, h, min, s, ms, us or none, which means `bare`.
pub fn micros(value: &Value, bare: TimeUnit) -> Option<i64> {
    let text = scalar(value)?;
    let (number, unit) = leading_number(text.trim())?;
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" => bare,
        "us" => TimeUnit::Microsecond,
        "ms" => TimeUnit::Millisecond,
        "s" => TimeUnit::Second,
        "min" => TimeUnit::Minute,
        "h" => TimeUnit::Hour,
        "d" => TimeUnit::Day,
        _ => return None,
    };
    number.times(unit.micros())
}

/// Reads a time as whole seconds, a fraction rounded to the nearest; a bare number is seconds.
pub fn seconds(value: &Value) -> Option<i64> {
    let micros = micros(value, TimeUnit::Second)?;
    Some(micros.saturating_add(500_000).div_euclid(1_000_000))
}

/// A scalar as text, booleans as PostgreSQL writes them; `None` for null, a list or a mapping.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(true) => Some("on".to_owned()),
        Value::Bool(false) => Some("off".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether two values say the same: scalars by their text, so that `"101"` equals `101`; mappings and lists
/// by their members (contract §2.1).
pub fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Null, Value::Null) => true,
        (one, other) => match (scalar(one), scalar(other)) {
            (Some(one), Some(other)) => one == other,
            _ => false,
        },
    }
}

/// A scalar as an argument of a user's script, which expects Python's `True` and `False`.
pub(crate) fn argument(value: &Value) -> Option<String> {
    match value {
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        other => scalar(other),
    }
}

/// Writes bytes with the largest unit that divides them, such as `2GB`.
pub fn show_bytes(bytes: i64) -> String {
    let units = [
        ("TB", SizeUnit::Tebibyte),
        ("GB", SizeUnit::Gibibyte),
        ("MB", SizeUnit::Mebibyte),
        ("kB", SizeUnit::Kibibyte),
    ];
    show(bytes, &units.map(|(name, unit)| (name, unit.bytes())), "B")
}

/// Writes microseconds with the largest unit that divides them, such as `30min`.
pub fn show_micros(micros: i64) -> String {
    let units = [
        ("d", TimeUnit::Day),
        ("h", TimeUnit::Hour),
        ("min", TimeUnit::Minute),
        ("s", TimeUnit::Second),
        ("ms", TimeUnit::Millisecond),
    ];
    show(
        micros,
        &units.map(|(name, unit)| (name, unit.micros())),
        "us",
    )
}

fn show(amount: i64, units: &[(&str, i64)], smallest: &str) -> String {
    for (name, factor) in units {
        if amount != 0 && amount % factor == 0 {
            return format!("{}{name}", amount / factor);
        }
    }
    format!("{amount}{smallest}")
}

impl SizeUnit {
    /// How many bytes one of these is.
    pub const fn bytes(self) -> i64 {
        match self {
            Self::Byte => 1,
            Self::Kibibyte => 1 << 10,
            Self::Block => 8 << 10,
            Self::Mebibyte => 1 << 20,
            Self::Segment => 16 << 20,
            Self::Gibibyte => 1 << 30,
            Self::Tebibyte => 1 << 40,
        }
    }
}

impl TimeUnit {
    /// How many microseconds one of these is.
    pub const fn micros(self) -> i64 {
        match self {
            Self::Microsecond => 1,
            Self::Millisecond => 1_000,
            Self::Second => 1_000_000,
            Self::Minute => 60_000_000,
            Self::Hour => 3_600_000_000,
            Self::Day => 86_400_000_000,
        }
    }
}

/// A number as written: exact where it can be.
enum Number {
    Whole(i64),
    Real(f64),
}

impl Number {
    /// The product, rounded to the nearest; `None` when it does not fit.
    fn times(&self, factor: i64) -> Option<i64> {
        match self {
            Self::Whole(number) => number.checked_mul(factor),
            Self::Real(number) => {
                #[expect(clippy::cast_precision_loss, reason = "factors are far below 2^53")]
                let product = (number * factor as f64).round();
                // 2^62 is exact as a double and far above any setting
                #[expect(clippy::cast_possible_truncation, reason = "checked against 2^62")]
                (product.abs() < 4_611_686_018_427_387_904.0).then_some(product as i64)
            }
        }
    }
}

/// Splits a text into its number and the unit behind it, without the spaces between.
fn leading_number(text: &str) -> Option<(Number, &str)> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let sign = |number: i64| if negative { -number } else { number };
    if let Some(hex) = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        let (hex, unit) = split_at_end(hex, |letter| letter.is_ascii_hexdigit());
        return Some((
            Number::Whole(sign(i64::from_str_radix(hex, 16).ok()?)),
            unit,
        ));
    }
    let (whole, after) = split_at_end(digits, |letter| letter.is_ascii_digit() || letter == '_');
    let is_real = after.starts_with('.') || exponent(after) > 0;
    if !is_real {
        let plain = whole.replace('_', "");
        let radix = if plain.len() > 1 && plain.starts_with('0') {
            8
        } else {
            10
        };
        return Some((
            Number::Whole(sign(i64::from_str_radix(&plain, radix).ok()?)),
            after.trim(),
        ));
    }
    let fraction = after.strip_prefix('.').map_or(0, |rest| {
        1 + split_at_end(rest, |letter| letter.is_ascii_digit()).0.len()
    });
    let end = whole.len() + fraction + exponent(after.get(fraction..)?);
    let real: f64 = digits.get(..end)?.parse().ok()?;
    let real = if negative { -real } else { real };
    real.is_finite()
        .then_some((Number::Real(real), digits.get(end..)?.trim()))
}

/// How many bytes of `text` are an exponent such as `e-3`.
fn exponent(text: &str) -> usize {
    let Some(rest) = text.strip_prefix(['e', 'E']) else {
        return 0;
    };
    let digits = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    match split_at_end(digits, |letter| letter.is_ascii_digit())
        .0
        .len()
    {
        0 => 0,
        count => text.len() - digits.len() + count,
    }
}

fn split_at_end(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|letter| !belongs(letter)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests;
