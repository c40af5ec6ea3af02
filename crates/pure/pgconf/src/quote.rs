//! Quoting: how a value is written into each kind of text.

/// A line of postgresql.conf: `name = 'value'`, quotes and backslashes doubled (contract §3.4).
pub fn setting_line(name: &str, value: &str) -> String {
    let mut quoted = String::with_capacity(value.len());
    for letter in value.chars() {
        match letter {
            '\'' => quoted.push_str("''"),
            '\\' => quoted.push_str("\\\\"),
            // A string in the file can not span lines; PostgreSQL reads this escape back.
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    format!("{name} = '{quoted}'")
}

/// What [`setting_line`] wrote between the quotes, read back.
pub(crate) fn unquote_setting(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => value.push('\n'),
                Some(other) => value.push(other),
                None => value.push('\\'),
            },
            '\'' => {
                value.push('\'');
                if letters.clone().next() == Some('\'') {
                    letters.next();
                }
            }
            other => value.push(other),
        }
    }
    value
}

/// A name in SQL, quoted whatever it holds.
pub fn sql_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text constant in SQL, safe under either setting of `standard_conforming_strings`.
pub fn sql_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// One word of a POSIX shell, quoted whatever it holds.
pub fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A value in a libpq connection string (PostgreSQL manual, 34.1.1).
pub(crate) fn conninfo_value(value: &str) -> String {
    let plain = !value.is_empty()
        && !value
            .chars()
            .any(|letter| letter.is_whitespace() || matches!(letter, '\'' | '\\'));
    if plain {
        return value.to_owned();
    }
    let escaped = value.replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_double_quotes_and_backslashes_and_read_back() {
        let value = "cp \"%p\" 'a\\b'\nnext";
        let line = setting_line("archive_command", value);
        assert_eq!(line, r#"archive_command = 'cp "%p" ''a\\b''\nnext'"#);
        let inner = line.strip_prefix("archive_command = '").unwrap();
        assert_eq!(unquote_setting(inner.strip_suffix('\'').unwrap()), value);
    }

    #[test]
    fn each_kind_of_text_has_its_own_quotes() {
        assert_eq!(sql_identifier("we\"ird"), "\"we\"\"ird\"");
        assert_eq!(sql_literal("it's"), "'it''s'");
        assert_eq!(sql_literal("a\\b"), " E'a\\\\b'");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
        assert_eq!(conninfo_value("plain"), "plain");
        assert_eq!(conninfo_value(""), "''");
        assert_eq!(conninfo_value("a b'c\\"), "'a b\\'c\\\\'");
    }
}
