//! Which texts stand in YAML without quotes: those that read back as the same text, for readers of YAML 1.2
//! and of YAML 1.1, to whom `on` is a boolean and `1:30` a number.

/// Whether `text` may stand without quotes; in flow style commas and brackets end it.
pub(super) fn is_plain(text: &str, in_flow: bool) -> bool {
    let (Some(first), Some(last)) = (text.chars().next(), text.chars().last()) else {
        return false;
    };
    let starts_document = text.starts_with("---") || text.starts_with("...");
    !starts_document
        && first != ' '
        && last != ' '
        && !needs_escapes(text)
        && !text.contains('\n')
        && has_no_indicator(text, in_flow)
        && !reads_as_something_else(text)
}

/// Whether only double quotes can hold `text`.
pub(super) fn needs_escapes(text: &str) -> bool {
    let is_special = |letter: char| letter != '\n' && !is_printable(letter);
    text.chars().any(is_special) || text.contains(" \n") || text.contains("\n ")
}

/// Whether YAML takes the character as it is.
pub(super) fn is_printable(letter: char) -> bool {
    matches!(letter,
        ' '..='~' | '\u{85}' | '\u{A0}'..='\u{D7FF}' | '\u{E000}'..='\u{FEFE}' | '\u{FF00}'..='\u{FFFD}'
        | '\u{10000}'..='\u{10FFFF}')
        && !matches!(letter, '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Characters that mean something to YAML where they stand.
fn has_no_indicator(text: &str, in_flow: bool) -> bool {
    let mut before = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let ends_word = letters
            .peek()
            .is_none_or(|next| matches!(next, ' ' | '\t' | '\n'));
        let means_something = match (before, letter) {
            (
                None,
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"',
            ) => true,
            (None, '%' | '@' | '`') => true,
            (None, '?' | ':') => in_flow || ends_word,
            (None, '-') => ends_word,
            (Some(_), ',' | '?' | '[' | ']' | '{' | '}') => in_flow,
            (Some(_), ':') => in_flow || ends_word,
            (Some(' ' | '\t'), '#') => true,
            (_, _) => false,
        };
        if means_something {
            return false;
        }
        before = Some(letter);
    }
    true
}

/// Texts that YAML 1.1 reads as null, a boolean, a number, a date, a merge key or a default.
fn reads_as_something_else(text: &str) -> bool {
    const WORDS: [&str; 8] = ["yes", "no", "true", "false", "on", "off", "null", "~"];
    let is_word = WORDS.iter().any(|word| {
        let capital = word.get(..1).map(str::to_uppercase).unwrap_or_default();
        let title = format!("{capital}{}", word.get(1..).unwrap_or_default());
        text == *word || text == word.to_uppercase() || text == title
    });
    is_word || matches!(text, "=" | "<<") || is_number(text) || is_date(text)
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let all = |part: &str, allowed: &str| {
        !part.is_empty() && part.chars().all(|letter| allowed.contains(letter))
    };
    if let Some(hex) = digits.strip_prefix("0x") {
        return all(hex, "0123456789abcdefABCDEF_");
    }
    if let Some(binary) = digits.strip_prefix("0b") {
        return all(binary, "01_");
    }
    if let Some(octal) = digits.strip_prefix("0o") {
        return all(octal, "01234567");
    }
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let starts_with_digit = digits.starts_with(|letter: char| letter.is_ascii_digit());
    if digits.starts_with('0') && all(digits, "01234567_") {
        return true;
    }
    if starts_with_digit
        && !(digits.len() > 1 && digits.starts_with('0'))
        && all(digits, "0123456789_")
    {
        return true;
    }
    is_real(digits) || is_sexagesimal(digits)
}

/// `1.5`, `.5`, `1.`, `1.5e+3`, `1e3`.
fn is_real(digits: &str) -> bool {
    let is_digits = |part: &str| {
        part.chars()
            .all(|letter| letter.is_ascii_digit() || letter == '_')
    };
    let starts = |part: &str| part.starts_with(|letter: char| letter.is_ascii_digit());
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        starts(digits) && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            is_digits(whole)
                && is_digits(fraction)
                && (starts(whole) || (whole.is_empty() && starts(fraction)))
        }
        None => exponent.is_some() && starts(mantissa) && is_digits(mantissa),
    };
    mantissa_fits && exponent_fits
}

/// `1:30`, which YAML 1.1 reads as 90.
fn is_sexagesimal(digits: &str) -> bool {
    let (digits, is_fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (
            whole,
            fraction
                .chars()
                .all(|letter| letter.is_ascii_digit() || letter == '_'),
        ),
        None => (digits, true),
    };
    let mut parts = digits.split(':');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    is_fraction
        && !rest.is_empty()
        && first.starts_with(|letter: char| letter.is_ascii_digit())
        && first
            .chars()
            .all(|letter| letter.is_ascii_digit() || letter == '_')
        && rest
            .iter()
            .all(|part| part.len() <= 2 && part.parse::<u8>().is_ok_and(|part| part < 60))
}

/// `2020-01-01`, with or without a time.
fn is_date(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    };
    let parts: Vec<&str> = date.split('-').collect();
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let [year, month, day] = parts.as_slice() else {
        return false;
    };
    let is_day = year.len() == 4
        && month.len() <= 2
        && day.len() <= 2
        && parts.iter().all(|part| is_digits(part));
    let is_time = |time: &str| {
        time.contains(':')
            && time
                .chars()
                .all(|letter| letter.is_ascii_digit() || ":.+-Z ".contains(letter))
    };
    // without a time only the full form is a date
    is_day && time.map_or(month.len() == 2 && day.len() == 2, is_time)
}
