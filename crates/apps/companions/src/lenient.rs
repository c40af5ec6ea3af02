//! Command lines with words in them that nobody knows. The agent hands every key of a replica method on as an
//! option, so a program must pass over those that it has no use for.

use std::ffi::OsString;

use clap::Command;

/// The words of `line` that `command` knows, its subcommands' included.
pub(crate) fn known(command: &Command, line: Vec<OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut words = line.into_iter();
    kept.extend(words.next());
    let mut level = command.clone();
    let mut places = places_of(&level);
    while let Some(word) = words.next() {
        let text = word.to_string_lossy().into_owned();
        if let Some(option) = text.strip_prefix("--") {
            let name = option.split('=').next().unwrap_or_default();
            let Some(takes_value) = option_of(&level, name) else {
                continue;
            };
            kept.push(word);
            if takes_value && !option.contains('=') {
                kept.extend(words.next());
            }
        } else if text == "-h" {
            kept.push(word);
        } else if let Some(below) = level.find_subcommand(&text).cloned() {
            places = places_of(&below);
            level = below;
            kept.push(word);
        } else if places > 0 {
            places -= 1;
            kept.push(word);
        }
    }
    kept
}

/// Whether an option is known, and takes a value.
fn option_of(command: &Command, name: &str) -> Option<bool> {
    if name == "help" {
        return Some(false);
    }
    let argument = command.get_arguments().find(|argument| {
        let aliases = argument.get_all_aliases().unwrap_or_default();
        argument.get_long() == Some(name) || aliases.contains(&name)
    })?;
    Some(argument.get_action().takes_values())
}

/// How many words without a name there may be.
fn places_of(command: &Command) -> usize {
    if command.has_subcommands() {
        return 1;
    }
    command.get_positionals().count()
}
