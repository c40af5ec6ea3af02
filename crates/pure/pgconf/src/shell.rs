//! Operators' commands: split into words as a shell splits them, without running one.

/// A command that can not be split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShellError {
    /// Nothing to run.
    #[error("the command is empty")]
    Empty,
    /// A quote without its end.
    #[error("the command `{0}` lacks a closing quote")]
    OpenQuote(String),
}

/// The words of `command`: blanks separate, quotes and backslashes group; nothing is expanded.
///
/// # Errors
/// When there is no word, or a quote is not closed.
pub fn split_command(command: &str) -> Result<Vec<String>, ShellError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = command.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => {
                let word = word.get_or_insert_default();
                quoted(&mut letters, word, command)?;
            }
            '"' => {
                let word = word.get_or_insert_default();
                double_quoted(&mut letters, word, command)?;
            }
            '\\' => word.get_or_insert_default().extend(letters.next()),
            letter if letter.is_whitespace() => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    if words.is_empty() {
        return Err(ShellError::Empty);
    }
    Ok(words)
}

fn quoted(
    letters: &mut impl Iterator<Item = char>,
    word: &mut String,
    command: &str,
) -> Result<(), ShellError> {
    for letter in letters {
        if letter == '\'' {
            return Ok(());
        }
        word.push(letter);
    }
    Err(ShellError::OpenQuote(command.to_owned()))
}

fn double_quoted(
    letters: &mut impl Iterator<Item = char>,
    word: &mut String,
    command: &str,
) -> Result<(), ShellError> {
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return Ok(()),
            '\\' => match letters.next() {
                Some(next @ ('"' | '\\' | '$' | '`')) => word.push(next),
                Some(next) => word.extend(['\\', next]),
                None => break,
            },
            letter => word.push(letter),
        }
    }
    Err(ShellError::OpenQuote(command.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        assert_eq!(
            split_command(r#"/bin/sh -c 'echo "$1"' "a \"b\"" c\ d ''"#).unwrap(),
            ["/bin/sh", "-c", "echo \"$1\"", "a \"b\"", "c d", ""]
        );
    }

    #[test]
    fn what_a_shell_would_not_take_is_refused() {
        assert_eq!(split_command("  "), Err(ShellError::Empty));
        assert!(matches!(
            split_command("a 'b"),
            Err(ShellError::OpenQuote(_))
        ));
        assert!(matches!(
            split_command("a \"b"),
            Err(ShellError::OpenQuote(_))
        ));
    }
}
